"""What lies on disk: looked at before it is read, read within limits, written whole or not at all."""
