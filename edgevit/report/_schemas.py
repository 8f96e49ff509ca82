"""JSON Schemas of what edgevit writes for programs, made from the dataclasses: `python -m edgevit.report._schemas`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgevit.core._plain import written
from edgevit.core.disk.manifest import Manifest
from edgevit.core.results.compiled import CompilerReport
from edgevit.core.results.gate import GateReport
from edgevit.core.results.layers import Difference
from edgevit.core.results.lint import LintResult
from edgevit.core.results.outcomes import Outcomes
from edgevit.core.results.report import Report
from edgevit.core.settings.made_with import MadeWith
from edgevit.core.version import SchemaVersion
from edgevit.quant.plan_file import StoredPlan

FOLDER: Final = Path(__file__).resolve().parent.parent / "schemas"


@dataclass(frozen=True, slots=True)
class PlanFile:
    """plan.json: what a run's plans were made with, and one entry for each target and precision."""

    schema_version: SchemaVersion
    made_with: MadeWith | None
    plans: tuple[StoredPlan, ...]


_KINDS: Final[dict[str, type]] = {
    "report": Report,
    "outcomes": Outcomes,
    "manifest": Manifest,
    "plan": PlanFile,
    "diff": Difference,
    "gate": GateReport,
    "lint": LintResult,
    "compile": CompilerReport,
}


def names() -> tuple[str, ...]:
    """The files that have a schema, without their suffix."""
    return tuple(_KINDS)


def render(name: str) -> str:
    """The schema of one file.

    Every field of this version is required, since a written file holds them all; unknown fields are
    allowed in report and manifest, since adding one is free.
    """
    from pydantic import TypeAdapter

    schema = TypeAdapter(_KINDS[name]).json_schema(mode="serialization")
    holds = {field.name for field in written(_KINDS[name])}
    schema["properties"] = {key: value for key, value in schema["properties"].items() if key in holds}
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part["required"] = list(part["properties"])
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"edgevit {name}.json"}
    return json.dumps(head | {k: v for k, v in schema.items() if k != "title"}, indent=2) + "\n"


def write() -> None:
    """Write all schemas into the package."""
    FOLDER.mkdir(exist_ok=True)
    for name in _KINDS:
        (FOLDER / f"{name}.schema.json").write_text(render(name), encoding="utf-8")


if __name__ == "__main__":
    write()
