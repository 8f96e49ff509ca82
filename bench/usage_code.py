"""Compile and run the Kotlin of USAGE.md, and parse its Swift.

python -m bench.usage_code --wheel kotlin_jupyter_kernel-0.19.0.944-py3-none-any.whl --work DIR

Pages of every kind are rendered: each output, with and without labels, several of them, each way to resize, both
colour orders, grey and each type of input. Their Kotlin files are compiled as printed, by the real compiler, against
`usage_stubs`: classes with the signatures of Android, CameraX, ONNX Runtime and LiteRT. Then `upright` and `floats` run
on images that are held as Android holds them (one of them a hardware bitmap, one turned), and are compared with Pillow
as calibration uses it, and the answers of further outputs with numpy. The app of `examples/phone_app` is compiled too.
Leaves with code 1 if something does not compile or a value is off by more than one of 255. The images keep away from
black and white, so that no filter overshoots: which of its two passes Pillow makes and clips first has changed between
its versions.

The wheel carries the compiler: `pip download --no-deps kotlin-jupyter-kernel`. A JDK has to be installed. There is no
Swift compiler for this: where `tree_sitter_swift` is installed, the Swift is parsed with that grammar, and that is all
that is known about it.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from calibration.preprocess import to_pixels
from edgevit.core.outputs import Activation, OutputKind, Task, probabilities
from edgevit.core.precisions import Precision
from edgevit.core.results import report as r
from edgevit.core.types import Preprocess, TensorSpec
from edgevit.report import usage

STUBS: Final = Path(__file__).with_name("usage_stubs")
APPS: Final = Path(__file__).parents[1] / "examples" / "phone_app"
SIZES: Final = ((97, 61), (40, 130), (24, 20), (300, 225))  # (width, height)
DEGREES: Final = (0, 0, 90, 270)
LOGITS: Final = (0.3, -0.4, 0.9)
FILTERS: Final = ("nearest", "bilinear", "bicubic", "lanczos")


@dataclass(frozen=True)
class Page:
    """One rendered page: its name is a Kotlin package; `heads` are its further outputs."""

    name: str
    preprocess: Preprocess
    dtype: usage.InputDtype
    text: str
    heads: Sequence[OutputKind]


def main() -> None:
    """Render, compile, run, compare, parse."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--wheel", type=Path, required=True, help="of kotlin-jupyter-kernel")
    cli.add_argument("--work", type=Path, required=True, help="an empty folder")
    asked = cli.parse_args()
    pages = list(_pages())
    jars = _jars(asked.wheel, asked.work / "jars")
    _compile(pages, jars, asked.work)
    off, wrong = _run(pages, jars, asked.work)
    print(f"{len(pages)} pages compiled; the largest difference to Pillow is {off:.2f} of 255")
    print(f"the largest difference to a probability of numpy is {wrong:.1e}")
    broken = _swift(pages)
    sys.exit(off > 1.01 or wrong > 1e-6 or bool(broken))


def _pages() -> Iterator[Page]:
    kinds = [
        OutputKind(task, activation) for task, activation in product(get_args(Task), get_args(Activation))
    ]
    for i, (kind, labels) in enumerate(product(kinds, (0, 3))):
        yield _page(f"answer{i}", Preprocess(32, 32, (36, 36)), kind, labels, "float32")
    # One number alone ends in no softmax.
    deciding = [k for k in kinds if k.decides and (k.task != "binary" or k.activation in ("none", "sigmoid"))]
    for dtype, labels in product(get_args(usage.InputDtype), (0, 3)):
        yield _page(
            f"heads_{dtype}{labels}", Preprocess(32, 32, (36, 36)), OutputKind(), labels, dtype, deciding
        )
    for i, kind in enumerate(deciding):
        yield _page(f"head{i}", Preprocess(32, 32, (36, 36)), OutputKind("regression"), 0, "float32", [kind])
    resizes = (((30, 30), True), ((30, 40), True), ((34, 26), False), ((20, 20), True))
    for i, (filter_, (resize, shorter)) in enumerate(product(FILTERS, resizes)):
        made = Preprocess(28, 24, resize, shorter, color="bgr" if i % 2 else "rgb")
        yield _page(f"resize{i}", replace(made, interpolation=filter_), OutputKind(), 3, "float32")
    for i, (filter_, resize) in enumerate(product(FILTERS, ((28, 24), (34, 26)))):
        made = Preprocess(28, 24, resize, False, color="bgr" if i % 2 else "rgb", border=(124, 116, 104))
        yield _page(f"border{i}", replace(made, interpolation=filter_), OutputKind(), 3, "float32")
    grey = Preprocess(28, 24, (34, 30), color="gray", mean=(0.4,), std=(0.2,))
    for dtype in get_args(usage.InputDtype):
        yield _page(f"input_{dtype}", Preprocess(32, 32, (36, 36)), OutputKind(), 3, dtype)
        yield _page(f"grey_{dtype}", grey, OutputKind(), 3, dtype)
    for filter_ in FILTERS:
        yield _page(f"grey_{filter_}", replace(grey, interpolation=filter_), OutputKind(), 3, "float32")


def _page(
    name: str,
    p: Preprocess,
    kind: OutputKind,
    labels: int,
    dtype: usage.InputDtype,
    others: Sequence[OutputKind] = (),
) -> Page:
    steps = (None, None) if dtype == "float32" else (0.1, -3)
    heads = tuple(r.HeadSummary(f"head_{i}", 3, other) for i, other in enumerate(others))
    names = ("logits", *(head.name for head in heads), *(("embedding",) if heads else ()))
    outputs = tuple(TensorSpec(output, (1, 3), dtype, *steps) for output in names)
    files = tuple(
        r.ArtifactReport(
            target, Precision.FP16, "pass", path=f"{target}/fp16/model.{suffix}", outputs=outputs
        )
        for target, suffix in (("onnx", "onnx"), ("tflite", "tflite"), ("coreml", "mlpackage"))
    )
    report = r.Report(
        model=r.ModelSummary("model", "demo", 1, 1, "ab", p, labels, output=kind, heads=heads),
        samples=r.SampleSets(),
        reference=r.Reference(None, None, 0),
        artifacts=files,
        timings_s=r.Timings(0.0, 0.0),
        environment=r.Environment({}, "", "", 1),
    )
    return Page(name, p, dtype, usage.render(report, lambda _: dtype), others)


def blocks(text: str, language: str) -> list[str]:
    """The code of the page in that language, a whole file each."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def _jars(wheel: Path, folder: Path) -> str:
    if not folder.exists():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if name.endswith(".jar")])
    return ":".join(map(str, sorted(folder.rglob("*.jar"))))


def _compile(pages: list[Page], jars: str, work: Path) -> None:
    source = work / "source"
    for page in pages:
        for code in blocks(page.text, "kotlin"):
            name = re.match(r"// (\w+\.kt)\n", code)
            assert name, f"a Kotlin file without its name in the first line: {code[:60]}"
            file = source / page.name / name[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"package {page.name}\n{code}")
    (source / "Main.kt").write_text(_main(pages))
    java = sorted(map(str, STUBS.rglob("*.java")))
    subprocess.run(["javac", "-d", work / "stubs", *java], check=True)
    kotlin = ["java", "-Xmx2g", "-cp", jars, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-reflect"]
    given = [*STUBS.rglob("*.kt"), *(APPS / "android" / "app").rglob("*.kt"), source]
    subprocess.run(
        [*kotlin, "-no-stdlib", "-cp", f"{work / 'stubs'}:{jars}", "-d", work / "made", *given], check=True
    )


def _main(pages: list[Page]) -> str:
    """Reads images, writes what the pages' `floats` make of them, in the order of pages and images.

    Then what the pages' `READERS` make of LOGITS: how many answers, the index and the probability of each.
    """
    calls = "\n".join(
        f"    for ((image, degrees) in images) write({page.name}.floats({page.name}.upright(image, degrees){order}))"
        for page in pages
        if page.dtype == "float32"
        for order in ((", true", ", false") if page.preprocess.channels == 3 else ("",))
    )
    reads = "\n".join(
        f"    for (read in {page.name}.READERS.values) read(logits, names).let {{ found ->\n"
        "        out.writeFloat(found.size.toFloat())\n"
        "        for (answer in found) write(floatArrayOf(answer.index.toFloat(), answer.probability))\n    }"
        for page in pages
        if page.heads
    )
    return f"""import android.graphics.Bitmap
import java.io.DataInputStream
import java.io.DataOutputStream
import java.io.File

fun main(args: Array<String>) {{
    val out = DataOutputStream(File(args[1]).outputStream().buffered())
    val input = DataInputStream(File(args[0]).inputStream().buffered())
    val images = List(input.readInt()) {{ i ->
        val degrees = input.readInt()
        val width = input.readInt()
        val height = input.readInt()
        val config = if (i == 1) Bitmap.Config.HARDWARE else Bitmap.Config.ARGB_8888
        Bitmap.createBitmap(IntArray(width * height) {{ input.readInt() }}, width, height, config) to degrees
    }}
    fun write(values: FloatArray) = values.forEach(out::writeFloat)
{calls}
    val logits = floatArrayOf({", ".join(f"{value}f" for value in LOGITS)})
    val names = listOf("a", "b", "c")
{reads}
    out.close()
}}
"""


def _run(pages: list[Page], jars: str, work: Path) -> tuple[float, float]:
    """The largest difference to Pillow, in steps of 1 / 255, and to a probability."""
    rng = np.random.default_rng(0)
    images = [rng.integers(64, 193, (height, width, 3), np.uint8) for width, height in SIZES]
    given, made = work / "images", work / "floats"
    with given.open("wb") as file:
        file.write(np.array([len(images)], ">i4").tobytes())
        for image, degrees in zip(images, DEGREES, strict=True):
            height, width, _ = image.shape
            wide = image.astype(np.int64)
            argb = (255 << 24) + (wide[..., 0] << 16) + (wide[..., 1] << 8) + wide[..., 2]
            file.write(np.array([degrees, width, height], ">i4").tobytes())
            file.write(argb.astype(np.uint32).astype(">u4").tobytes())
    classes = f"{work / 'made'}:{work / 'stubs'}:{jars}"
    subprocess.run(["java", "-cp", classes, "MainKt", given, made], check=True)
    values = np.fromfile(made, ">f4")
    turned = [np.rot90(image, -degrees // 90) for image, degrees in zip(images, DEGREES, strict=True)]
    worst = 0.0
    for page in pages:
        if page.dtype == "float32":
            channels = page.preprocess.channels
            for planar, image in product((True, False) if channels == 3 else (True,), turned):
                size = channels * page.preprocess.height * page.preprocess.width
                worst = max(worst, _steps(values[:size], image, page.preprocess, planar))
                values = values[size:]
    wrong = 0.0
    for kind in (kind for page in pages for kind in page.heads):
        count = int(values[0])
        found, values = values[1 : 1 + 2 * count].reshape(count, 2), values[1 + 2 * count :]
        given = np.array([LOGITS[:1] if kind.task == "binary" else LOGITS])
        wanted = np.exp(given[0]) if kind.activation == "log-softmax" else probabilities(given, kind)[0]
        order = np.argsort(-wanted, kind="stable")
        if kind.task == "multi-label":
            order = np.flatnonzero(wanted > 0.5)
        assert found[:, 0].astype(int).tolist() == order.tolist(), (kind, found, wanted)
        wrong = max(wrong, float(np.abs(found[:, 1] - wanted[order]).max(initial=0)))
    assert not len(values)
    return worst, wrong


def _steps(found: NDArray[np.floating], image: NDArray[np.uint8], p: Preprocess, planar: bool) -> float:
    """The largest difference to what calibration makes of that image, in steps of 1 / 255."""
    pixels = to_pixels(np.ascontiguousarray(image), p)
    flip = slice(None, None, -1 if planar and p.color == "bgr" else 1)
    mean, std = (np.array(values)[:: -1 if p.color == "bgr" else 1][flip] for values in (p.mean, p.std))
    shape = (p.channels, p.height, p.width) if planar else (p.height, p.width, p.channels)
    values = found.reshape(shape).transpose(1, 2, 0) if planar else found.reshape(shape)
    return float(np.abs((values * std + mean) * 255 - pixels[..., flip]).max())


def _swift(pages: list[Page]) -> int:
    """How many files do not parse."""
    if importlib.util.find_spec("tree_sitter_swift") is None:
        print("Swift: not parsed, tree_sitter_swift is not installed")
        return 0
    import tree_sitter
    import tree_sitter_swift

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))
    app = {file.read_text() for file in (APPS / "ios").glob("*.swift")}
    files = sorted(app | {code for page in pages for code in blocks(page.text, "swift")})
    broken = [code for code in files if parser.parse(code.encode()).root_node.has_error]
    for code in broken:
        print(f"Swift that does not parse:\n{code}")
    print(f"Swift: {len(files) - len(broken)} of {len(files)} files parse; none was compiled")
    return len(broken)


if __name__ == "__main__":
    main()
