"""From a graph and calibration images to plans: calibrate, decide, keep sensitive layers in float."""
