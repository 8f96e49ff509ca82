"""ONNX: the target, and the parts that write its files."""

from converters.onnx.target import TARGET

__all__ = ["TARGET"]
