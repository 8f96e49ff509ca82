"""Core ML: the target, and the parts that write its files."""

from converters.coreml.target import TARGET

__all__ = ["TARGET"]
