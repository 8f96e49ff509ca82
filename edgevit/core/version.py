"""The version of edgevit, for the package and for what it writes."""

from typing import Final

__version__: Final = "0.1.0"
