"""Models for Qualcomm's NPU: edgevit's files and ONNX Runtime's own recipe, executed by the emulator.

python -m bench.npu_hexagon --cache DIR --model r2 --images 500
python -m bench.npu_hexagon --cache DIR --model r1 --images 64 --only ours
python -m bench.npu_hexagon --cache DIR --model r3_deit --images 500 --quantsmith QS/bin/python

DIR holds the models of bench.real_models; what is made and executed stays in DIR/npu-MODEL, and is not made again,
nor is what four images gave executed again where a run was cut.
The recipe is `get_qnn_qdq_config` as ONNX Runtime documents it: minimum and maximum, uint8 weights, uint8 or uint16
activations, the same 128 calibration images. Whole graphs alone: the fallback to the CPU is off. HTP computes in float
what it does not take as integers, without a word; the multiply-accumulates in integers show it. An emulator has no
latency.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench._quantization import judge, peers
from bench._quantization.peer_input import Given, given
from bench.real_models import MODELS, flags_of
from edgevit.core._plain import from_plain
from edgevit.core.errors import RefusedError
from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess
from edgevit.registries import METRICS, RUNTIMES
from edgevit.validate.accuracy import measure_accuracy

BITS: Final = {"w8a8": 8, "w8a16": 16}
CHUNK: Final = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One file, executed on HTP.

    Attributes:
        cpu_db: HTP against ONNX Runtime's CPU kernels on the same file.
        integer, narrow: of the model's multiply-accumulates, those in integers and those with 8-bit activations.
    """

    file: str
    images: int
    sqnr_db: float
    agreement: float
    drop_pp: float | None
    cpu_db: float
    integer: float
    narrow: float


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--cache", type=Path, required=True)
    cli.add_argument("--model", choices=MODELS, required=True)
    cli.add_argument("--images", type=int, default=500)
    cli.add_argument("--calibration", type=int, default=128)
    cli.add_argument("--precision", choices=BITS, action="append")
    cli.add_argument("--only", choices=("ours", "peer", "quantsmith"))
    cli.add_argument(
        "--quantsmith", type=Path, help="Python of quantsmith's environment: bench/npu_quantsmith.py"
    )
    cli.add_argument("--processes", type=int, default=2)
    asked = cli.parse_args()
    folder = asked.cache / f"npu-{asked.model}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (asked.cache / asked.model / f"facts-{asked.images}.json").exists():
        where = ("--cache", asked.cache, "--images", asked.images)
        words = map(str, ("prepare", asked.model, *where))
        subprocess.run([sys.executable, "-m", "bench._quantization.judge", *words], check=True)
    for file in files(asked, folder):
        try:
            row = measure(file, asked.cache / asked.model, asked.images, asked.processes)
        except RefusedError as error:
            print(f"{file.name} is refused: {error.message}")
            continue
        file.with_suffix(f".{asked.images}.json").write_text(json.dumps(asdict(row)))
    rows = (Row(**json.loads(path.read_text())) for path in sorted(folder.glob(f"*.{asked.images}.json")))
    print(table(rows))


def files(asked: argparse.Namespace, folder: Path) -> Iterator[Path]:
    """Each file that has not been executed, made where it is not there."""
    precisions = asked.precision or list(BITS)
    if asked.only in (None, "ours"):
        missing = [name for name in precisions if not (folder / f"ours-{name}.onnx").exists()]
        if missing:
            _ours(asked, missing, folder)
    for precision in precisions:
        for tool, make in (("ours", None), ("peer", _peer), ("quantsmith", _quantsmith)):
            file = folder / f"{tool}-{precision}.onnx"
            if asked.only not in (None, tool) or file.with_suffix(f".{asked.images}.json").exists():
                continue
            if tool == "quantsmith" and (asked.quantsmith is None or precision != "w8a8"):
                continue  # it has nothing with 16 bits
            if make is not None and not file.exists():
                make(asked, precision, file)
            if file.exists():
                yield file


def _ours(asked: argparse.Namespace, precisions: list[str], folder: Path) -> None:
    bundle = folder / f"ours-{'-'.join(precisions)}"
    command = [
        sys.executable,
        "-m",
        "edgevit",
        "convert",
        *flags_of(asked.model, asked.cache),
        "--to",
        "onnx",
    ]
    command += ["--precision", ",".join(precisions), "--option", "onnx.backend=qnn"]
    command += ["--overwrite", "-o", str(bundle)]
    command += ["--calibrate", "demo:calibration", "--calibration-count", str(asked.calibration)]
    command += ["--evaluate", "demo:evaluation", "--evaluate-count", "32", "--emulated-count", "2"]
    command += ["--timeout", "7200", "--max-memory", "16"]
    subprocess.run(command, check=False)  # two images decide nothing: the verdict is not this command's
    for precision in precisions:
        (bundle / "onnx" / precision / "model.onnx").rename(folder / f"ours-{precision}.onnx")


def _peer(asked: argparse.Namespace, precision: str, out: Path) -> None:
    from onnxruntime import InferenceSession
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize
    from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config, qnn_preprocess_model

    model: Given = given(asked.model, asked.cache, asked.calibration)
    base, prepared = out.parent / "float.onnx", out.parent / "prepared.onnx"
    peers._onnx(model, base, base)

    name = InferenceSession(str(base), providers=["CPUExecutionProvider"]).get_inputs()[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The images one by one."""

        def __init__(self) -> None:
            self.left = iter(model.calibration[i : i + 1] for i in range(len(model.calibration)))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            image = next(self.left, None)
            return None if image is None else {name: image}

    source = prepared if qnn_preprocess_model(str(base), str(prepared)) else base
    activations = {8: QuantType.QUInt8, 16: QuantType.QUInt16}[BITS[precision]]
    config = get_qnn_qdq_config(
        str(source), Reader(), activation_type=activations, weight_type=QuantType.QUInt8
    )
    quantize(str(source), str(out), config)


def _quantsmith(asked: argparse.Namespace, precision: str, out: Path) -> None:
    """quantsmith's W8A8 of the same float file; what it answers is printed where it makes none."""
    base, images = out.parent / "float.onnx", out.parent / "calibration.npy"
    model: Given = given(asked.model, asked.cache, asked.calibration)
    if not base.exists():
        peers._onnx(model, base, base)
    np.save(images, model.calibration)
    script = Path(__file__).with_name("npu_quantsmith.py")
    subprocess.run([asked.quantsmith, script, base, images, out], check=False)


def measure(file: Path, folder: Path, images: int, processes: int) -> Row:
    """Execute on HTP and on the CPU; the float answers are PyTorch's."""
    facts = judge.facts(folder, images)
    held = np.load(folder / f"images-{images}.npz")
    preprocess = from_plain(Preprocess, facts["preprocess"], "facts")
    htp = on_htp(file, preprocess, held["pixels"], processes)
    cpu = run("onnxruntime", file, preprocess, held["pixels"])
    accuracy = measure_accuracy(held["reference"], htp, held["classes"])
    integer = RUNTIMES.get("qnn").integer_macs(file)
    sqnr = METRICS.get("sqnr").compute
    by_bits = dict(integer.static_by_bits) or {8: integer.static}
    return Row(
        file=file.stem,
        images=images,
        sqnr_db=sqnr(held["reference"], htp, None),
        agreement=accuracy.agreement,
        drop_pp=accuracy.drop_pp,
        cpu_db=sqnr(cpu, htp, None),
        integer=integer.static / facts["macs"],
        narrow=by_bits.get(8, 0) / facts["macs"],
    )


def on_htp(
    file: Path, preprocess: Preprocess, pixels: NDArray[np.uint8], processes: int
) -> NDArray[np.float32]:
    """The logits, float32 (N, classes): those of `CHUNK` images at a time stay on disk, so that a run can be cut."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    kept = file.with_suffix(f".{digest}")
    kept.mkdir(exist_ok=True)
    starts = range(0, len(pixels), CHUNK)
    seen = {start: hashlib.sha256(pixels[start : start + CHUNK].tobytes()).hexdigest() for start in starts}
    paths = {start: kept / f"{seen[start][:16]}.npy" for start in starts}
    missing = [start for start in starts if not paths[start].exists()]
    work = [
        (file, preprocess, pixels, missing[i::processes], paths) for i in range(min(processes, len(missing)))
    ]
    if len(work) == 1:
        _keep(*work[0])
    elif work:
        with get_context("spawn").Pool(len(work)) as pool:
            pool.starmap(_keep, work)
    return np.concatenate([np.load(path) for path in paths.values()])


def _keep(
    file: Path,
    preprocess: Preprocess,
    pixels: NDArray[np.uint8],
    starts: list[int],
    paths: dict[int, Path],
) -> None:
    with RUNTIMES.get("qnn").open(file, RunOptions(1, (), preprocess)) as runner:
        for start in starts:
            values = judge._first(runner.run(pixels[start : start + CHUNK]))
            part = paths[start].with_suffix(".part.npy")
            np.save(part, values)
            part.rename(paths[start])


def run(runtime: str, file: Path, preprocess: Preprocess, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The logits, float32 (N, classes)."""
    with RUNTIMES.get(runtime).open(file, RunOptions(1, (), preprocess)) as runner:
        found = [judge._first(runner.run(pixels[i : i + 10])) for i in range(0, len(pixels), 10)]
    return np.concatenate(found)


def table(rows: Iterator[Row]) -> str:
    """Markdown."""
    lines = [
        "| file | images | SQNR dB | agreement % | drop, points | against the CPU dB | integer MACs | with 8 bits |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        drop = "-" if row.drop_pp is None else f"{row.drop_pp:.2f}"
        lines.append(
            f"| {row.file} | {row.images} | {row.sqnr_db:.1f} | {row.agreement:.1f} | {drop} | {row.cpu_db:.1f} "
            f"| {row.integer:.3f} | {row.narrow:.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
