"""How devices are reached, one plug-in a file."""
