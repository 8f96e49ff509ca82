"""What Arm's Vela and both kinds of LiteRT kernels make of a file for an Ethos-U.

    edgevit convert demo --to tflite --precision fp32 -o dist/float
    edgevit convert demo --to tflite --precision w8a8 --option tflite.backend=ethos-u -o dist/ethos
    edgevit compile --for ethos-u85-1024 --setup
    python -m bench.npu_ethos dist/ethos/tflite/w8a8/model.tflite --float dist/float/tflite/fp32/model.tflite

Operators, multiply-accumulates, cycles and memory are Vela's, as `edgevit compile` reads them; the operators on the CPU
are counted once more in the compiled file. Accuracy is that of the file as LiteRT executes it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edgevit.accelerators.ethos_u import compile_file
from edgevit.core.plugins import CompileRequest, Head
from edgevit.core.runner import RunOptions
from edgevit.formats import tflite_file
from edgevit.runtimes.litert import RUNTIME
from edgevit.steps.samples import read_samples

KERNELS = {"XNNPACK": OpResolverType.AUTO, "reference": OpResolverType.BUILTIN_REF}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--float", type=Path, help="the float file of the same model, for accuracy")
    parser.add_argument("--for", dest="accelerators", default="ethos-u85-1024,ethos-u55-128,ethos-u65-512")
    parser.add_argument("--evaluate", default="demo:evaluation")
    parser.add_argument("--count", type=int, default=500)
    given = parser.parse_args()
    print("| accelerator | operators | MACs | cycles | at | SRAM | DRAM | flash |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for accelerator in given.accelerators.split(","):
        print(_compiled(given.file, accelerator), flush=True)
    if given.float is not None:
        print("\n| kernels | images | SQNR dB | agreement | top-1 | top-1 float |")
        print("| --- | --- | --- | --- | --- | --- |")
        _accuracy(given.file, given.float, given.evaluate, given.count)


def _compiled(path: Path, accelerator: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        report = compile_file(CompileRequest(str(path.absolute()), path.name, accelerator, folder, {}))
        assert report.output is not None
        left = [o for o in tflite_file.read(Path(report.output)).operators if o.kind != "ethos-u"]
    assert len(left) == report.operators.cpu, "the compiled file has other operators than the report says"
    told, placed = report.estimate, report.operators
    sizes = (told.sram_bytes, told.dram_bytes, told.flash_bytes)
    cells = (
        accelerator,
        f"{placed.npu} of {placed.npu + placed.cpu}",
        f"{report.macs.share:.1%}",
        f"{told.cycles:,}",
        f"{told.clock_hz / 1e6:g} MHz, {told.system}, {told.memory}",
        *(f"{size / 1024:.0f} KiB" for size in sizes),
    )
    return f"| {' | '.join(cells)} |"


def _accuracy(path: Path, reference: Path, images: str, count: int) -> None:
    contents = RUNTIME.contents(reference)
    with RUNTIME.open(reference, RunOptions(threads=1)) as runner:
        preprocess = runner.preprocess  # type: ignore[attr-defined]
        head = Head(labels=contents.labels, classes=len(contents.labels))
        read = read_samples(images, head, preprocess, count, False, lambda _: None)
        wanted = runner.run(read.pixels)[contents.outputs[0].name].astype(np.float64)
    labels = read.labels
    for name, kernels in KERNELS.items():
        given = _run(path, kernels, read.pixels)
        sqnr = 10 * np.log10((wanted**2).sum() / ((wanted - given) ** 2).sum())
        same = (wanted.argmax(1) == given.argmax(1)).mean()
        right = [f"{(one.argmax(1) == labels).mean():.1%}" for one in (given, wanted)]
        print(f"| {name} | {len(given)} | {sqnr:.1f} | {same:.1%} | {right[0]} | {right[1]} |", flush=True)


def _run(path: Path, kernels: OpResolverType, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The real values of the first output; the input takes the image's bytes as int8."""
    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    entry, leave = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = leave["quantization"]
    found = []
    for image in pixels:
        taken = image if entry["dtype"] == np.uint8 else (image.astype(np.int16) - 128).astype(np.int8)
        interpreter.set_tensor(entry["index"], taken[None])
        interpreter.invoke()
        found.append((interpreter.get_tensor(leave["index"])[0].astype(np.float64) - zero) * scale)
    return np.stack(found)


if __name__ == "__main__":
    main()
