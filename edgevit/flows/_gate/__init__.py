"""The gate: bundles read and held together, timed beside each other, and shown."""
