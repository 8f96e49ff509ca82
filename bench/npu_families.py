"""Every family in small, all activations in 16 bits, executed by the emulator of HTP and held against PyTorch.

python -m bench.npu_families --cache DIR                    all families that are not in DIR yet, then the table
python -m bench.npu_families --cache DIR --only swin,levit  those whose name contains one of these
python -m bench.npu_families --cache DIR --table            the table alone

Weights are random and seeded, ranges those of 16 images, weights rounded to nearest, and by GPTQ where that is
not enough. Each family is a process of its
own: a crash of the compiler is a row of the table. A row below 40 dB, or a file that HTP refuses, is named with its
reason.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np
import torch

from edgevit.core.errors import EdgevitError
from edgevit.core.pixels import normalise
from edgevit.core.precisions import Precision
from edgevit.core.runner import RunOptions
from edgevit.core.types import Stats
from edgevit.graph.adapt import adapt
from edgevit.program import graph_file
from edgevit.program.sites import total_macs
from edgevit.quant._site import Choices
from edgevit.quant.algorithms import gptq, kmeans, minmax, nearest, npu_operators
from edgevit.quant.plan import make_plan
from edgevit.quant.simulate import simulate
from edgevit.registries import REWRITES, RUNTIMES, TARGETS
from edgevit.steps.planning.calibrate import observe
from tests._sqnr import sqnr
from tests.families import _convert
from tests.families._timm import FAMILIES, Family

OPTIONS: Final = {"backend": "qnn"}
PRECISION: Final = Precision.W8A16
CALIBRATION, JUDGED = 16, 4
LIMIT_DB: Final = 40.0
TIMEOUT_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class Row:
    """What came back of one family; `reason` where no file was executed."""

    family: str
    simulated_db: float | None = None
    executed_db: float | None = None
    integer_macs: float | None = None
    operators: int | None = None
    seconds: float = 0.0
    reason: str = ""


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--cache", type=Path, required=True)
    cli.add_argument("--only", default="")
    cli.add_argument("--table", action="store_true")
    cli.add_argument("--again", action="store_true", help="also what is in DIR already")
    asked = cli.parse_args()
    asked.cache.mkdir(parents=True, exist_ok=True)
    texts = asked.only.split(",")
    for family in FAMILIES:
        path = asked.cache / f"{family.name}.json"
        if asked.table or not any(text in family.name for text in texts):
            continue
        if asked.again or not path.exists():
            row = apart(family)
            path.write_text(json.dumps(asdict(row)))
            print(row, flush=True)
    print(table([Row(**json.loads(p.read_text())) for p in sorted(asked.cache.glob("*.json"))]))


def apart(family: Family) -> Row:
    """The row of a family, made in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_send, args=(family.name, theirs))
    begin = time.perf_counter()
    process.start()
    theirs.close()
    try:
        if ours.poll(TIMEOUT_S):
            found: Row = ours.recv()
            return found
        reason = f"no answer within {TIMEOUT_S:.0f} s"
    except EOFError:
        process.join()
        reason = f"the process ended with {process.exitcode}"
    finally:
        process.kill()
    return Row(family.name, seconds=time.perf_counter() - begin, reason=reason)


def _send(name: str, channel: Connection) -> None:
    torch.set_num_threads(1)
    channel.send(measure(next(family for family in FAMILIES if family.name == name)))


def measure(family: Family) -> Row:
    begin, simulated = time.perf_counter(), None
    try:
        size = (family.size, family.size)
        model = _convert.load(family.source, size=size, classes=family.classes, **family.args)
        with tempfile.TemporaryDirectory() as folder:
            exported = _convert.export(model, Path(folder), JUDGED)
            graph = graph_file.load(exported.graph)
            npu_operators.ALGORITHM.apply(graph, Stats({}, 0))
            capabilities = TARGETS.get("onnx").capabilities(PRECISION, OPTIONS)
            assert capabilities is not None
            rng = np.random.default_rng(3)
            pixels = rng.integers(0, 256, (CALIBRATION, *size, 3), np.uint8)
            pixels[:JUDGED] = exported.pixels[:JUDGED]
            images = torch.from_numpy(normalise(pixels, model.spec.preprocess))
            stats = observe(graph, images, ("minmax",), lambda event: None, (capabilities,))
            judged = min(JUDGED, len(exported.pixels))
            wanted = exported.reference[0][:judged]
            for rounding in (nearest.ALGORITHM, gptq.ALGORITHM):
                choices = Choices(minmax.ALGORITHM, rounding, kmeans.ALGORITHM)
                plan = make_plan(graph, stats, images, capabilities, choices)
                simulated = sqnr(wanted, simulate(graph, plan, images[:judged])[0].numpy())
                if simulated > LIMIT_DB + 0.5:
                    break
            macs = total_macs(graph)
            target = TARGETS.get("onnx")
            graph = adapt(graph, {n: REWRITES.get(n) for n in REWRITES.names()}, "onnx", True, ())
            path = Path(folder) / "model.onnx"
            target.write(target.prepare(graph, model.spec, OPTIONS), PRECISION, plan, path)
            runtime = RUNTIMES.get("qnn")
            with runtime.open(path, RunOptions(threads=1)) as runner:
                found = runner.run(exported.pixels[:judged])[model.spec.outputs[0].name]
            integer = runtime.integer_macs(path)
    except EdgevitError as error:
        seconds = time.perf_counter() - begin
        return Row(family.name, simulated, seconds=seconds, reason=" ".join(error.message.split()))
    except Exception as error:  # noqa: BLE001 - a fault of ours is a row too
        seconds = time.perf_counter() - begin
        return Row(family.name, simulated, seconds=seconds, reason=f"{type(error).__name__}: {error}")
    return Row(
        family.name,
        simulated,
        sqnr(wanted, found.reshape(wanted.shape)),
        (integer.static + integer.dynamic) / macs,
        sum(count for _, count in integer.operators),
        time.perf_counter() - begin,
    )


def table(rows: list[Row]) -> str:
    lines = [
        "| family | simulated dB | HTP dB | MACs in integers | operators | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if row.executed_db is None:
            db = "" if row.simulated_db is None else f"{row.simulated_db:.1f}"
            lines.append(f"| {row.family} | {db} | - | - | - | {row.reason[:160]} |")
            continue
        assert row.simulated_db is not None and row.integer_macs is not None
        low = "below 40 dB" if row.executed_db < LIMIT_DB else ""
        lines.append(
            f"| {row.family} | {row.simulated_db:.1f} | {row.executed_db:.1f} | {row.integer_macs:.3f} "
            f"| {row.operators} | {low} |"
        )
    good = sum(row.executed_db is not None and row.executed_db >= LIMIT_DB for row in rows)
    return "\n".join((*lines, f"\n{good} of {len(rows)} families at {LIMIT_DB:.0f} dB or more"))


if __name__ == "__main__":
    sys.exit(main())
