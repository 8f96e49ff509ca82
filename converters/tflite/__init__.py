"""TFLite: the target, and the parts that write its files."""

from converters.tflite.target import TARGET

__all__ = ["TARGET"]
