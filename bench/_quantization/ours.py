"""edgevit's own files for the comparison: one `edgevit convert` for each precision, to all targets that have it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from bench.real_models import flags_of
from edgevit.core.precisions import Precision
from edgevit.registries import TARGETS

# All files are judged on the benchmark's images by the judge; convert executes and judges on these alone.
EVALUATION: Final = 32
TIMEOUT: Final = 4 * 3600
MEMORY: Final = "16"  # GB: activations of a ViT-S on 128 images are beyond the 8 that are usual
_FLOATS: Final = ("fp32", "fp16")
_TOGETHER: Final = "calibrating and deciding took the same {seconds:.0f} s for {count} plans together"


def precisions(target: str) -> tuple[str, ...]:
    """What the target can write, in the order of the command line's help."""
    able = TARGETS.get(target).precisions
    return tuple(precision for precision in Precision if precision in able)


def folder_of(folder: Path, target: str, precision: str) -> Path:
    """Where the results of one file are kept."""
    return folder / target / f"ours-{precision}"


def file_of(folder: Path, target: str, precision: str) -> Path:
    """The artifact, as `edgevit convert` lays it out."""
    suffix = TARGETS.get(target).suffix
    return _conversion(folder, precision) / "bundle" / target / precision / f"model.{suffix}"


def make(model: str, precision: str, out: Path, cache: Path, calibration: int) -> None:
    """Convert, unless that was done: `made.json` keeps the seconds to quantize, and the verdict or the error."""
    folder = _conversion(out.parent.parent, precision)
    if not (folder / "report.json").exists():
        _convert(model, precision, folder, cache, calibration)
    out.mkdir(parents=True, exist_ok=True)
    texts = ((folder / name).read_text() for name in ("report.json", "log.txt"))
    (out / "made.json").write_text(json.dumps(_told(*texts, out.parent.name, precision)))


def _conversion(folder: Path, precision: str) -> Path:
    """Where a conversion leaves its bundle: one for both float precisions, and one for each other."""
    return folder / "ours" / ("float" if precision in _FLOATS else precision)


def _convert(model: str, precision: str, folder: Path, cache: Path, calibration: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "edgevit", "convert", *flags_of(model, cache)]
    command += ["--precision", ",".join(_FLOATS if precision in _FLOATS else (precision,))]
    command += ["--calibrate", "demo:calibration", "--calibration-count", str(calibration)]
    command += ["--evaluate", "demo:evaluation", "--evaluate-count", str(EVALUATION)]
    command += ["--timeout", str(TIMEOUT), "--max-memory", MEMORY, "--json", "-o", str(folder / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (folder / "log.txt").write_text(done.stderr)
    (folder / "report.json").write_text(done.stdout)


def _told(text: str, log: str, target: str, precision: str) -> dict[str, Any]:
    try:
        report = json.loads(text)
    except ValueError:
        return {"error": log.strip()[-200:] or "edgevit ended without a report"}
    if "error" in report:
        return {"error": report["error"]["message"][:200]}
    found = [a for a in report["artifacts"] if (a["target"], a["precision"]) == (target, precision)]
    if not found or found[0]["path"] is None:
        return {"error": found[0]["reasons"][0][:200] if found else "the target cannot hold it"}
    if precision in _FLOATS:
        return {"seconds": 0.0, "note": _verdict(found[0])}
    seconds = report["timings_s"]["calibrate"] + report["timings_s"]["quantize"]
    count = sum(a["precision"] not in _FLOATS for a in report["artifacts"])
    together = _TOGETHER.format(seconds=seconds, count=count)
    return {"seconds": seconds, "note": "; ".join(filter(None, (_verdict(found[0]), together)))}


def _verdict(artifact: dict[str, Any]) -> str:
    """Nothing if it passed, else the verdict with its reasons."""
    if artifact["verdict"] == "pass":
        return ""
    return f"{artifact['verdict']}: {'; '.join(artifact['reasons'])[:200]}"
