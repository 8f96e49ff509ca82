"""Files on devices: measured, executed, and as columns of a report."""
