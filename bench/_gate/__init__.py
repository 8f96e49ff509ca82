"""What the simulations of the gate share."""
