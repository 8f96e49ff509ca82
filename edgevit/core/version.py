"""The version of edgevit, and that of the documents that it writes."""

from typing import Final, Literal

__version__: Final = "0.1.0"

# Of report, manifest, plan, diff and everything that `--json` prints. It rises when a name in one of them changes.
SchemaVersion = Literal[2]
SCHEMA_VERSION: Final[SchemaVersion] = 2
