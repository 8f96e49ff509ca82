"""The variables that the process of the tests was given, and those that libraries have left in it since.

Some libraries set variables when they are imported or used. A shell has none of them, and commands must not see them:
from the first one on, the servers of `tests._command` would take the environment of each command for another one, and
every step of every command would import PyTorch anew.
"""

from __future__ import annotations

import os
from typing import Final

GIVEN: Final = frozenset(os.environ)
left_behind: Final[set[str]] = set()


def look() -> None:
    """Between two tests: what is new then was set by no test, which would have undone it."""
    left_behind.update(os.environ.keys() - GIVEN)
