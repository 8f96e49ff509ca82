"""coremltools as its documentation says that it is on a Mac: as much of it as the agent uses, for tests elsewhere.

A package holds `model.json`: its input, its outputs, and the plan of its operations.
"""

from enum import Enum

from . import models as models

__version__ = "9.0"


class ComputeUnit(Enum):
    ALL = 1
    CPU_AND_GPU = 2
    CPU_ONLY = 3
    CPU_AND_NE = 4
