"""Compress vision transformers, convert them to ONNX, TFLite and Core ML, and prove each file right.

Importing this costs nothing; the work is imported when a function is called.
"""

from __future__ import annotations

import sys
from types import ModuleType

from edgevit.api.artifacts import lint, profile, run
from edgevit.api.convert import convert
from edgevit.api.diff import diff
from edgevit.api.doctor import doctor
from edgevit.api.gate import gate
from edgevit.api.quantize import quantize
from edgevit.api.validate import validate
from edgevit.core.errors import (
    DeviceError,
    DeviceLostError,
    EdgevitError,
    InputError,
    MissingDependencyError,
    StepError,
    StepMemoryError,
    StepTimeoutError,
    StorageError,
    UnsupportedError,
    UsageError,
)
from edgevit.core.version import __version__

__all__ = [
    "DeviceError",
    "DeviceLostError",
    "EdgevitError",
    "InputError",
    "MissingDependencyError",
    "StepError",
    "StepMemoryError",
    "StepTimeoutError",
    "StorageError",
    "UnsupportedError",
    "UsageError",
    "__version__",
    "convert",
    "diff",
    "doctor",
    "gate",
    "lint",
    "profile",
    "quantize",
    "run",
    "validate",
]


class _Package(ModuleType):
    """This package, in which `validate` stays the function: importing the part of that name would replace it."""

    def __setattr__(self, name: str, value: object) -> None:
        if name != "validate" or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
