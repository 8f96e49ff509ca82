"""One bundle on an arm64 board, real or emulated: its answers there against those here, and who executes its operators.

bench/emulated_board.sh BOARD 2299
PATH=BOARD/bin:$PATH python -m bench.device_board dist/demo --reference demo --evaluate demo --images 200 \\
    --device ssh://board-2299 -o build/board

Prints Markdown. Times of an emulated processor mean nothing and are left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgevit.core._plain import from_plain
from edgevit.core.disk.documents import read_json
from edgevit.core.results.profile import FileProfile
from edgevit.core.results.report import ArtifactReport, Report, from_json


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("bundle", type=Path)
    cli.add_argument("--reference", required=True, metavar="MODEL")
    cli.add_argument("--evaluate", required=True, metavar="SAMPLES")
    cli.add_argument("--images", type=int, default=200)
    cli.add_argument("--device", required=True, metavar="WHERE")
    cli.add_argument("-o", "--output", type=Path, required=True, help="gets the report and the operators")
    args, rest = cli.parse_known_args()
    args.output.mkdir(parents=True, exist_ok=True)
    samples = ["--evaluate", args.evaluate, "--evaluate-count", str(args.images)]
    proof = args.output / "proof"
    _edgevit(
        "validate",
        args.bundle,
        *(
            "--reference",
            args.reference,
            *samples,
            "--device",
            args.device,
            "-o",
            proof,
            "--overwrite",
            *rest,
        ),
    )
    report = from_json(read_json(proof / "report.json", "a report"))
    print(answers(report))
    told = _edgevit("profile", args.bundle, "--device", args.device, "--runs", "1", "--json")
    (args.output / "profile.json").write_text(told)
    for file in (from_plain(FileProfile, found, "profile") for found in json.loads(told)["files"]):
        print(operators(file))


def answers(report: Report) -> str:
    """A row for each file on each device: how near its answers are to those here, and both to the float model."""
    rows = []
    for artifact in report.artifacts:
        for there in artifact.devices:
            name = f"`{artifact.target}/{artifact.precision}`"
            if there.loss is None or there.total is None or artifact.total is None:
                rows.append(
                    (name, there.executed_by or "no", *["; ".join(there.reasons) or "not here"], "", "", "")
                )
                continue
            rows.append(
                (
                    name,
                    there.executed_by or "",
                    f"{there.loss.sqnr_db:.1f}",
                    _percent(there.loss.agreement),
                    f"{artifact.total.sqnr_db:.1f} / {there.total.sqnr_db:.1f}",
                    _top1(artifact, there.accuracy.top1 if there.accuracy else None),
                )
            )
    columns = (
        "file",
        "executed there by",
        "SQNR there/here, dB",
        "agreement",
        "SQNR to float here / there",
        "top-1",
    )
    return _markdown(columns, rows)


def operators(file: FileProfile) -> str:
    """How many operators of each kind there are, and what executes them there."""
    counts = Counter((operator.type, operator.by) for operator in file.operators)
    rows = [(kind, by, str(count)) for (kind, by), count in counts.most_common()]
    title = (
        f"\n`{file.artifact}`: {file.executed_by or file.reason}{'; ' + file.untold if file.untold else ''}\n"
    )
    return "\n".join((title, _markdown(("operator", "by", "number"), rows)))


def _top1(artifact: ArtifactReport, there: float | None) -> str:
    here = artifact.accuracy.top1 if artifact.accuracy else None
    return "" if here is None or there is None else f"{here:.2f} / {there:.2f} %"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} %"


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _edgevit(*words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "edgevit", *map(str, words)], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
