"""For which generation of Qualcomm's NPU a file is executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgevit.core import metadata_keys
from edgevit.core.errors import UsageError
from edgevit.formats.htp import DEFAULT, architecture


def architecture_of(metadata: Mapping[str, str], path: Path, wanted: str = "") -> str:
    """`wanted`, else what the file was made for, else the default.

    Raises:
        UsageError: `wanted` is unknown, or what the file says.
    """
    said = metadata.get(metadata_keys.HTP_ARCH, "")
    try:
        return architecture(wanted or said or DEFAULT)
    except UsageError as error:
        where = "" if wanted else f"{path}: "
        raise UsageError(f"{where}{error.message}", error.hint) from error
