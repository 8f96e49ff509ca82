"""The artifacts of report.json as a Markdown table, for docs/benchmarks.md.

python -m bench.table dist/demo/report.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgevit.core.results.report import ArtifactReport
from edgevit.report import json

COLUMNS = (
    "target",
    "precision",
    "MB",
    "top-1 %",
    "drop [95 %]",
    "agreement %",
    "compression dB",
    "fidelity dB",
    "floor dB",
    "worst site dB",
    "total dB",
    "int MACs",
    "p50 against fp32",
    "verdict",
)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("report", type=Path)
    report = json.read(cli.parse_args().report)
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + " --- |" * len(COLUMNS))
    for artifact in report.artifacts:
        print("| " + " | ".join(_cells(artifact)) + " |")


def _cells(a: ArtifactReport) -> tuple[str, ...]:
    accuracy, fidelity, ratio = a.accuracy, a.fidelity, a.latency and a.latency.ratio_to_fp32
    drop = "-"
    if accuracy and accuracy.drop_pp is not None and accuracy.drop_ci95 is not None:
        drop = "{:.2f} [{:.2f}, {:.2f}]".format(accuracy.drop_pp, *accuracy.drop_ci95)
    return (
        a.target,
        a.precision,
        "-" if a.size_bytes is None else f"{a.size_bytes / 1e6:.2f}",
        _number(accuracy and accuracy.top1, 2),
        drop,
        _number(accuracy and accuracy.agreement, 2),
        _number(a.compression and a.compression.sqnr_db),
        _number(fidelity and fidelity.sqnr_db),
        _number(fidelity and fidelity.floor_db),
        _number(fidelity and fidelity.site_min_db),
        _number(a.total and a.total.sqnr_db),
        _number(a.integer_mac_fraction, 3),
        "-" if not ratio else "{:.2f} [{:.2f}, {:.2f}]".format(ratio.value, *ratio.ci95),
        a.verdict,
    )


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
