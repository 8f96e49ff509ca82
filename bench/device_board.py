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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench.device_latency import described
from edgevit.core._plain import to_plain
from edgevit.core.disk.documents import read_json
from edgevit.core.results.device import OperatorTime
from edgevit.core.results.report import ArtifactReport, Report, from_json
from edgevit.devices.runtimes import is_for
from edgevit.flows._devices.measure import Options, operators_of
from edgevit.flows._devices.sessions import session_on
from edgevit.steps.artifacts import find_artifacts


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
    print(*(f"\n{device.device}: {note}" for device in report.devices for note in device.notes))
    found = dict(operators_on(args.device, args.bundle))
    plain = {name: [to_plain(operator) for operator in listed] for name, (_, listed) in found.items()}
    (args.output / "operators.json").write_text(json.dumps(plain))
    for name, (executed_by, listed) in found.items():
        print(operators(name, executed_by, listed))


def operators_on(device: str, bundle: Path) -> Iterator[tuple[str, tuple[str, tuple[OperatorTime, ...]]]]:
    """Of each file that is for the device its name, what executes it there, and its operators; one run is enough."""
    with session_on(device) as session:
        for found in find_artifacts(bundle):
            if not is_for(session.fingerprint, found.path.suffix[1:]):
                continue
            file = described(found.path)
            path = session.store.put(file.path)
            times, untold = operators_of(session, file, path, 1, Options(threads=1))
            label = untold if times is None else times.executed_by
            yield f"{found.target}/{found.precision}", (label, () if times is None else times.operators)


def answers(report: Report) -> str:
    """A row for each file on each device: how near its answers are to those here, and both to the float model."""
    rows = []
    for artifact in report.artifacts:
        for there in artifact.devices:
            name = f"`{artifact.target}/{artifact.precision}`"
            if there.loss is None or there.total is None or artifact.total is None:
                rows.append(
                    (name, there.executed_by or "no", *["; ".join(there.reasons) or "not here"], *[""] * 5)
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
                    f"{_share(artifact.integer_mac_fraction)} / {_share(there.integer_mac_fraction)}",
                    f"{artifact.partitions or '-'} / {there.partitions or '-'}",
                )
            )
    columns = (
        "file",
        "executed there by",
        "SQNR there/here, dB",
        "agreement",
        "SQNR to float here / there",
        "top-1",
        "integer MACs here / there",
        "delegate parts",
    )
    return _markdown(columns, rows)


def operators(name: str, executed_by: str, listed: Sequence[OperatorTime]) -> str:
    """How many operators of each kind there are, what executes them there, and what of it is in integers."""
    counts = Counter((operator.type, operator.by) for operator in listed)
    macs: Counter[tuple[str, str]] = Counter()
    for operator in listed:
        macs[operator.type, operator.by] += operator.static_macs + operator.dynamic_macs
    rows = [
        (kind, by, str(count), f"{macs[kind, by] / 1e6:.2f}" if macs[kind, by] else "")
        for (kind, by), count in counts.most_common()
    ]
    columns = ("operator", "by", "number", "M MACs in integers")
    return "\n".join((f"\n`{name}`: {executed_by}\n", _markdown(columns, rows)))


def _top1(artifact: ArtifactReport, there: float | None) -> str:
    here = artifact.accuracy.top1 if artifact.accuracy else None
    return "" if here is None or there is None else f"{here:.2f} / {there:.2f} %"


def _share(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:.1f} %"


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
