"""A conversion to all targets, and what it left behind."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests._command import edgevit

PRECISIONS = ("fp32", "fp16", "w8", "w8a8")
EVALUATED, CALIBRATED = 32, 32


@dataclass(frozen=True)
class Converted:
    """A bundle, the call that made it, and what it printed."""

    arguments: tuple[str, ...]
    done: subprocess.CompletedProcess[str]
    bundle: Path
    precisions: tuple[str, ...]

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads(self.done.stdout))

    def file(self, target: str, precision: str) -> Path:
        (found,) = (self.bundle / target / precision).glob("model.*")
        return found


def convert_all(bundle: Path, *arguments: str, precisions: tuple[str, ...] = PRECISIONS) -> Converted:
    """Run it once for all targets, with few images of the demo."""
    given = (*arguments, "--calibration-count", str(CALIBRATED), "--evaluate-count", str(EVALUATED))
    done = edgevit("convert", *given, "--precision", ",".join(precisions), "-o", bundle, "--json")
    return Converted(given, done, bundle, precisions)
