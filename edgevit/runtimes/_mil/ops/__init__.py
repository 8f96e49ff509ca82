"""MIL operations on PyTorch tensors, one subject per file."""
