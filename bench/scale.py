"""Memory and time of conversions against the size of the model, as a Markdown table.

python -m bench.scale REPORT ...

Each REPORT is what `edgevit convert MODEL --random-weights 1 --jobs 1 --json` printed. The limit is 4 times
the model's size in fp32 and 2 GiB; seconds per million parameters count loading, export, planning and one
target's conversions to all precisions named, the fp32 file that the others are held against included.
Leaves with code 1 if a conversion took more memory than the limit, or a file did not pass.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgevit.core.results.report import Report
from edgevit.report import json

COLUMNS = (
    "model",
    "parameters M",
    "target",
    "precisions",
    "prepare GB",
    "convert GB",
    "limit GB",
    "s per M",
    "fidelity dB",
    "verdict",
)
_PREPARING = ("load", "export", "calibrate", "quantize")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("reports", type=Path, nargs="+")
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + " --- |" * len(COLUMNS))
    held = True
    for path in cli.parse_args().reports:
        held &= _rows(json.read(path))
    sys.exit(int(not held))


def _rows(report: Report) -> bool:
    """Print a line for each target; whether all held."""
    millions = report.model.parameters / 1e6
    limit = 16 * report.model.parameters + (2 << 30)
    memory = report.peak_memory_bytes
    assert memory is not None and memory.prepare is not None
    preparing = sum(getattr(report.timings_s, name) or 0.0 for name in _PREPARING)
    held = memory.prepare <= limit
    for target, peak in memory.convert.items():
        files = [a for a in report.artifacts if a.target == target]
        fidelity = [
            f"{a.fidelity.sqnr_db:.0f}" for a in files if a.fidelity and a.fidelity.sqnr_db is not None
        ]
        verdicts = sorted({a.verdict for a in files})
        held &= peak <= limit and verdicts == ["pass"]
        cells = (
            report.model.name,
            f"{millions:.0f}",
            target,
            ", ".join(a.precision for a in files),
            f"{memory.prepare / 1e9:.2f}",
            f"{peak / 1e9:.2f}",
            f"{limit / 1e9:.2f}",
            f"{(preparing + report.timings_s.convert[target]) / millions:.2f}",
            ", ".join(fidelity),
            ", ".join(verdicts),
        )
        print("| " + " | ".join(cells) + " |")
    return held


if __name__ == "__main__":
    main()
