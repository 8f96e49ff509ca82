"""Keras 3 files on the PyTorch backend."""
