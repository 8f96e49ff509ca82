"""What the tests of the gate share: a comparison with rules from no file, and what it found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench._gate import drawn as d
from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.results.gate import Check, GateReport
from edgevit.core.settings.gate_policy import Policy, make
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import gate as flow
from edgevit.flows._gate.shipped import open_bundle

RECIPE = Recipe(model="drawn")
Document = dict[str, Any]


def policy(**flags: Any) -> Policy:
    return make(flags, folder=Path("/"))


def held(bundle: Path, baseline: Path, rules: Policy | None = None) -> GateReport:
    return flow.gate(open_bundle(bundle), baseline, rules or policy(), RECIPE)


def closed(report: GateReport, outcome: Any = "regressed") -> set[str]:
    return {check.name for check in report.of(outcome)}


def one(report: GateReport, name: str) -> Check:
    (found,) = (check for check in report.checks if check.name == name)
    return found


def damaged(file: Path, change: Callable[[Document], object]) -> None:
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def forged(
    bundle: Path,
    report: Callable[[Document], object] = lambda data: None,
    answers: Callable[[Document], object] = lambda data: None,
) -> Path:
    """Change the report or the answers as a hostile hand would: all hashes hold."""
    damaged(bundle / "outcomes.json", answers)
    digest = sha256_of(bundle / "outcomes.json")
    damaged(bundle / "report.json", lambda data: (data["outcomes"].update(sha256=digest), report(data)))
    return d.seal(bundle)
