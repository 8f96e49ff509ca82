"""edgevit's own files for the comparison, one `edgevit convert` for each target and precision."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from bench.real_models import flags_of
from edgevit.core.precisions import PRECISIONS
from edgevit.registries import TARGETS

# All files are judged on the benchmark's images by bench._judge; convert executes and judges on these alone.
EVALUATION: Final = 128
TIMEOUT: Final = 4 * 3600


def precisions(target: str) -> tuple[str, ...]:
    """What the target can write, in the order of the command line's help."""
    able = TARGETS.get(target).precisions
    return tuple(precision for precision in PRECISIONS if precision in able)


def folder_of(folder: Path, target: str, precision: str) -> Path:
    """Where the bundle and its report are kept."""
    return folder / target / f"ours-{precision}"


def file_of(folder: Path, target: str, precision: str) -> Path:
    """The artifact, as `edgevit convert` lays it out."""
    suffix = TARGETS.get(target).suffix
    return folder_of(folder, target, precision) / "bundle" / target / precision / f"model.{suffix}"


def make(model: str, precision: str, out: Path, cache: Path, calibration: int) -> None:
    """Convert; `made.json` keeps the seconds of calibrating and deciding, and the verdict or the error."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [sys.executable, "-m", "edgevit", "convert", *flags_of(model, cache)]
    command += ["--to", out.parent.name, "--precision", precision]
    command += ["--calibrate", "demo:calibration", "--calibration-count", str(calibration)]
    command += ["--evaluate", "demo:evaluation", "--evaluate-count", str(EVALUATION)]
    command += ["--jobs", "1", "--timeout", str(TIMEOUT), "--json", "-o", str(out / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (out / "log.txt").write_text(done.stderr)
    (out / "made.json").write_text(json.dumps(_told(done.stdout, done.stderr, precision)))


def _told(text: str, log: str, precision: str) -> dict[str, Any]:
    try:
        report = json.loads(text)
    except ValueError:
        return {"error": log.strip()[-200:] or "edgevit ended without a report"}
    if "error" in report:
        return {"error": report["error"]["message"][:200]}
    found = [a for a in report["artifacts"] if a["precision"] == precision]
    if not found or found[0]["path"] is None:
        return {"error": found[0]["reasons"][0][:200] if found else "the target cannot hold it"}
    seconds = report["timings_s"]["calibrate"] + report["timings_s"]["quantize"]
    quantized = precision not in ("fp32", "fp16")
    verdict = found[0]["verdict"]
    reasons = "" if verdict == "pass" else ": " + "; ".join(found[0]["reasons"])[:200]
    return {"seconds": seconds if quantized else 0.0, "note": "" if verdict == "pass" else verdict + reasons}
