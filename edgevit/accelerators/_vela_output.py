"""What Vela writes, read back: its summary, its database of operators, and its warnings."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from edgevit.core.errors import StepError

# What it calls an operator that it leaves as it is.
_LEFT: Final = "Passthrough"
_WARNING: Final = re.compile(r"^Warning \(supported operators\) operator: [^,]+, ofm: '(.*)'$")
_REASON: Final = "Reason: "
# It names the tensor; the operator is named already.
_TENSOR: Final = re.compile(r"(unsupported DataType \w+) \(.*\)$")
_HINT: Final = "this version of edgevit reads what another version of Vela writes: report it"


def summary(folder: Path) -> Mapping[str, str]:
    """The one row of its summary, by column.

    Raises:
        StepError: it is not there.
    """
    found = list(folder.glob("*_summary_*.csv"))
    if len(found) != 1:
        raise StepError(f"Vela wrote {len(found)} summaries instead of one", _HINT)
    with found[0].open(encoding="utf-8", newline="") as text:
        return next(csv.DictReader(text))


def on_cpu(database: Path, operators: int) -> tuple[int, ...]:
    """Indices of the file's operators that stay on the CPU, in its order.

    Its table `perf` has what is executed, `source` the operators of the file, where `ext_key` is an operator's index.

    Args:
        operators: how many the file has.

    Raises:
        StepError: the tables are not as they were.
    """
    try:
        tables = {
            table.get("name"): list(csv.DictReader((table.text or "").strip().splitlines()))
            for table in ElementTree.parse(database).getroot().iter("table")
        }
        index_of = {row["id"]: int(row["ext_key"]) for row in tables["source"]}
        left = {index_of[row["source_id"]] for row in tables.get("perf", []) if row["operator"] == _LEFT}
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise StepError(f"Vela's database of operators cannot be read: {error!r}", _HINT) from error
    if any(not 0 <= index < operators for index in left):
        raise StepError("Vela's database names operators that the file does not have", _HINT)
    return tuple(sorted(left))


def reasons(said: str) -> Mapping[str, str]:
    """Name of an operator's first output -> why it stays on the CPU, and which rule says so."""
    found: dict[str, str] = {}
    lines = said.splitlines()
    for index, line in enumerate(lines):
        warning = _WARNING.match(line)
        if warning is None:
            continue
        text: list[str] = []
        for following in lines[index + 1 :]:
            if not following.strip() or _WARNING.match(following):
                break
            text.append(_TENSOR.sub(r"\1", following.strip().removeprefix(_REASON).rstrip(".")))
        found.setdefault(warning[1], "; ".join(text))
    return found
