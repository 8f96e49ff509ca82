"""Every computed value of an .mlpackage, with its site where the package has a table of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgevit.core import metadata_keys
from edgevit.core.disk.documents import parse_json
from edgevit.core.disk.reading import reads
from edgevit.core.errors import InputError
from edgevit.core.runner import FileValue
from edgevit.formats.mlpackage import AGAIN
from edgevit.runtimes._mil.read import read_mil, type_name

_REAL = ("fp16", "fp32")


@reads("Core ML package", AGAIN)
def read_values(path: Path) -> tuple[FileValue, ...]:
    """The real-valued ones that depend on the input, in execution order. Nothing is executed.

    Raises:
        InputError, UnsupportedError, MissingDependencyError: as `read_mil`; InputError also for a
            table of sites that is none.
    """
    file = read_mil(path)
    where = f"{path}: its table of sites"
    table = parse_json(file.metadata.get(metadata_keys.SITES, "{}"), where, AGAIN)
    if not isinstance(table, dict):
        raise InputError(f"{where} is no JSON object", AGAIN)
    sites_at: dict[str, list[str]] = {}
    for site, value in table.items():
        sites_at.setdefault(str(value), []).append(str(site))
    found: list[FileValue] = []
    depends = {file.input.name}
    for operation in file.operations:
        if not depends & _names(operation.inputs.values()):
            continue
        depends |= {value.name for value in operation.outputs}
        for value in operation.outputs:
            if type_name(value) in _REAL:
                elements = math.prod(int(n) for n in value.shape)
                sites = sites_at.get(value.name, [""])
                found += [FileValue(value.name, site, elements) for site in sites]
    return tuple(found)


def _names(inputs: Iterable[Any]) -> set[str]:
    """Names of what enters an operation: single values, and lists of them."""
    several = (given if isinstance(given, list | tuple) else (given,) for given in inputs)
    return {value.name for values in several for value in values if value is not None}
