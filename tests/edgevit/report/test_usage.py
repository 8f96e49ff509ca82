from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from edgevit.core.outputs import OutputKind, Task
from edgevit.core.results.report import HeadSummary, OtherResize, Report
from edgevit.core.types import Preprocess, TensorSpec
from edgevit.report import usage

P = Preprocess(
    6, 8, (10, 10), color="bgr", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), interpolation="bilinear"
)


def for_files(report: Report, paths: list[str], preprocess: Preprocess = P) -> Report:
    artifacts = tuple(replace(report.artifacts[0], path=path) for path in paths)
    return replace(report, artifacts=artifacts, model=replace(report.model, preprocess=preprocess))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


# What Kotlin has without an import, as far as the pages use it.
KOTLIN = re.compile(
    r"""Array|AutoCloseable|and|Boolean|Double|DoubleArray|Float|FloatArray|Int|IntArray|ByteArray|List|String|Unit
    |also|apply|arrayOfNulls|as|class|const|continue|data|else|emptyList|false|floatArrayOf|intArrayOf|for|fun|generateSequence|if
    |in|inline|is|it|listOf|longArrayOf|Map|mapOf|null|object|override|Pair|private|return|setOf|shr|to|true|until|val|var
    |when""",
    re.VERBOSE,
)


EXTENSIONS = frozenset(("roundToInt",))  # functions that stand behind a dot and yet need an import


def check_files(text: str) -> None:
    """Every Kotlin and Swift block is one file with a name of its own: its imports once, before all else.

    In a Kotlin file every name that is used without a dot before it is imported there, declared in one of the files,
    or the language's own, and every import is used.
    """
    kotlin, swift = blocks(text, "kotlin"), blocks(text, "swift")
    names = [code.splitlines()[0] for code in (*kotlin, *swift)]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"// \w+\.(kt|swift)", name) for name in names)
    for code in (*kotlin, *swift):
        head = re.match(r"//.*\n((?:import [\w.]+\n)*)", code)
        assert head is not None
        imports = head[1].splitlines()
        assert len(set(imports)) == len(imports) == len(re.findall(r"^import ", code, re.MULTILINE))
        for left, right in ("()", "{}", "[]"):
            assert code.count(left) == code.count(right)
    bodies = [re.sub(r"/\*.*?\*/|//[^\n]*|\"[^\"]*\"", "", code, flags=re.DOTALL) for code in kotlin]
    declared = {
        name
        for body in bodies
        for found in re.findall(
            r"(?:fun |val |var |class |for \()(\w+)|(\w+)\s*:\s*[(\w]|(\w+)\s*(?:,\s*(\w+)\s*)?->"
            r"|\((\w+), (\w+)\) ->|([a-z]\w*) =",
            body,
        )
        for name in found
    }
    for body in bodies:
        imported = {line.rsplit(".", 1)[1] for line in re.findall(r"^import ([\w.]+)", body, re.MULTILINE)}
        rest = re.sub(r"^import .*", "", body, flags=re.MULTILINE)
        used = set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", rest))
        members = set(re.findall(r"\.(\w+)", rest))
        assert imported <= used | members and members & EXTENSIONS <= imported
        assert not {name for name in used - declared - imported if not KOTLIN.fullmatch(name)}


def identity(path: Path) -> None:
    """An ONNX file whose logits are its input, flattened."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, -1])
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["image", "shape"], ["logits"])],
        "identity",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, P.height, P.width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3 * P.height * P.width])],
        [shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    labels = [f"class {i}" for i in range(3 * P.height * P.width)]
    helper.set_model_props(model, {"edgevit.labels": json.dumps(labels)})
    onnx.save(model, path)


@pytest.mark.parametrize("size", [(20, 15), (15, 20), (31, 17)])
def test_the_python_snippet_feeds_what_the_model_was_trained_on(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as tv

    monkeypatch.chdir(tmp_path)
    Path("onnx/fp16").mkdir(parents=True)
    identity(Path("onnx/fp16/model.onnx"))
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(pixels)
    image.save("image.png")

    names: dict[str, Any] = {}
    for code in blocks(usage.render(for_files(report, ["onnx/fp16/model.onnx"])), "python"):
        exec(compile(code, "USAGE.md", "exec"), names)  # the page's own code
    label, logits = names["classify"]("image.png")

    resized = tv.center_crop(tv.resize(image, 10, InterpolationMode.BILINEAR), [P.height, P.width])
    planes = torch.from_numpy(np.array(resized)).permute(2, 0, 1)[[2, 1, 0]].float() / 255
    expected = tv.normalize(planes, list(P.mean), list(P.std)).reshape(-1).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert label == f"class {int(expected.argmax())}"


@pytest.mark.parametrize("orient", ["none", "exif"])
def test_the_python_snippet_turns_images_as_the_files_say(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orient: Literal["none", "exif"]
) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side
    Image.fromarray(pixels).save("image.png", exif=exif)
    size = (6, 8) if orient == "exif" else (8, 6)
    preprocess = replace(P, height=size[0], width=size[1], resize=size, shorter_side=False, orient=orient)
    text = usage.render(for_files(report, ["onnx/fp16/model.onnx"], preprocess))
    names: dict[str, Any] = {}
    exec(compile(blocks(text, "python")[0], "USAGE.md", "exec"), names)  # the page's own code
    upright = np.rot90(pixels, -1) if orient == "exif" else pixels
    np.testing.assert_array_equal(names["crop"]("image.png"), upright)
    assert ("EXIF orientation, made RGB" in text) == (orient == "exif")
    assert ("no EXIF orientation was applied" in text) == (orient == "none")


def test_the_page_of_a_model_without_labels_speaks_of_none(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("onnx/fp16").mkdir(parents=True)
    identity(Path("onnx/fp16/model.onnx"))
    Image.new("RGB", (10, 10)).save("image.png")
    made = for_files(report, ["onnx/fp16/model.onnx"])
    text = usage.render(replace(made, model=replace(made.model, labels=0)))
    assert "edgevit.labels" not in text
    names: dict[str, Any] = {}
    for code in blocks(text, "python"):
        exec(compile(code, "USAGE.md", "exec"), names)  # the page's own code
    best, logits = names["classify"]("image.png")
    assert best == logits.argmax()


def test_every_python_snippet_compiles_and_every_path_is_named(report: Report) -> None:
    paths = ["onnx/fp16/model.onnx", "tflite/fp16/model.tflite", "coreml/fp16/model.mlpackage"]
    text = usage.render(for_files(report, paths))
    for code in blocks(text, "python"):
        compile(code, "USAGE.md", "exec")
    assert all(text.count(path) >= 3 for path in paths)


def test_only_targets_with_a_file_have_a_section(report: Report) -> None:
    text = usage.render(for_files(report, ["onnx/fp16/model.onnx"]))
    assert "Swift" not in text
    assert "litert" not in text


def test_the_systems_that_run_core_ml_files_are_named_where_there_is_one(report: Report) -> None:
    text = usage.render(for_files(report, ["coreml/lut4/model.mlpackage"]))
    assert "`w4`, `lut4` and `lut6` need iOS 18" in " ".join(text.split())
    assert "iOS 18" not in usage.render(for_files(report, ["onnx/w4/model.onnx"]))


def test_a_file_that_passed_is_preferred(report: Report) -> None:
    artifacts = (
        replace(report.artifacts[0], path="onnx/w8a8/model.onnx", verdict="fail"),
        replace(report.artifacts[0], path="onnx/fp16/model.onnx", verdict="pass"),
    )
    assert 'InferenceSession("onnx/fp16/model.onnx"' in usage.render(replace(report, artifacts=artifacts))


def test_squashing_is_described_and_done(report: Report) -> None:
    squash = replace(P, shorter_side=False, resize=(7, 9))
    text = usage.render(for_files(report, ["onnx/fp16/model.onnx"], squash))
    assert "resized to 9 x 7 pixels (width x height," in text
    assert "size = [9, 7]" in text
    assert "centre(image.width, 9, WIDTH)" in text and "centre(image.height, 7, HEIGHT)" in text


@pytest.mark.parametrize(
    ("resize", "border"), [((10, 10), None), ((9, 13), None), ((6, 8), (1, 2, 3)), ((9, 9), (0, 0, 255))]
)
@pytest.mark.parametrize("size", [(20, 15), (15, 20), (31, 17), (37, 37)])
def test_the_crop_is_the_one_of_calibration(
    report: Report,
    tmp_path: Path,
    size: tuple[int, int],
    resize: tuple[int, int],
    border: tuple[int, int, int] | None,
) -> None:
    from calibration.preprocess import to_pixels

    preprocess = replace(P, resize=resize, border=border, shorter_side=border is None)
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8))
    image.save(tmp_path / "image.png")
    names: dict[str, Any] = {}
    exec(blocks(usage.render(for_files(report, ["onnx/fp16/model.onnx"], preprocess)), "python")[0], names)
    np.testing.assert_array_equal(names["crop"](tmp_path / "image.png"), to_pixels(image, preprocess))


def test_a_model_name_cannot_inject_markup(report: Report) -> None:
    named = for_files(report, ["onnx/fp16/model.onnx"])
    text = usage.render(replace(named, model=replace(named.model, name="a\n# b <script> `c`")))
    assert text.splitlines()[0] == r"# Using a \# b \<script\> \`c\`"


def test_a_path_cannot_leave_its_code(report: Report) -> None:
    from markdown_it import MarkdownIt

    path = "on`nx/``w8 | <b>\u202e\n# x/model.onnx"
    text = usage.render(for_files(report, [path, "coreml/fp16/model.mlpackage"]))
    page = MarkdownIt().enable("table").parse(text)
    inline = [child for token in page for child in token.children or ()]
    shown = [child.content for child in inline if child.type == "code_inline"]
    assert r"on`nx/``w8 | <b>\u202e\n# x/model.onnx" in shown
    assert not [token for token in (*page, *inline) if token.type.startswith("html")]
    python = blocks(text, "python")[1]
    literals = [n.value for n in ast.walk(ast.parse(python)) if isinstance(n, ast.Constant)]
    assert path in literals and "\u202e" not in text


@pytest.mark.parametrize(
    ("kind", "values", "labels", "expected", "words"),
    [
        (OutputKind(), [0.5, 3.0, -1.0], 3, "b", "one logit per class"),
        (OutputKind("single-label", "softmax"), [0.1, 0.2, 0.7], 3, "c", "ends in a softmax: apply none"),
        (OutputKind("binary"), [-0.1], 2, "a", "above 0 it is the answer"),
        (OutputKind("binary"), [0.1], 2, "b", "above 0 it is the answer"),
        (OutputKind("binary", "sigmoid"), [0.4], 2, "a", "above 0.5 it is the answer"),
        (OutputKind("binary", "sigmoid"), [0.6], 0, 1, "above 0.5 it is the answer"),
        (OutputKind("multi-label"), [0.4, -0.4, 0.1], 3, ["a", "c"], "every label above 0 is in the image"),
        (OutputKind("multi-label", "sigmoid"), [0.4, 0.6, 0.5], 0, [1], "every label above 0.5"),
        (OutputKind("regression"), [41.5], 0, None, "the model's own values"),
    ],
)
def test_the_answer_is_read_as_what_the_output_is(
    report: Report,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: OutputKind,
    values: list[float],
    labels: int,
    expected: object,
    words: str,
) -> None:
    """The page's own Python code on a file that gives these values for every image."""
    monkeypatch.chdir(tmp_path)
    Path("onnx/fp16").mkdir(parents=True)
    constant = helper.make_tensor("values", TensorProto.FLOAT, [1, len(values)], values)
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    axes = helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 1])
    nodes = [
        helper.make_node("ReduceSum", ["image", "axes"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "shape"], ["flat"]),
        helper.make_node("Add", ["flat", "values"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, P.height, P.width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(values)])],
        [constant, zero, axes, shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"edgevit.labels": json.dumps(list("abc")[:labels])})
    onnx.save(model, "onnx/fp16/model.onnx")
    Image.fromarray(np.zeros((P.height, P.width, 3), np.uint8)).save("image.png")

    told = for_files(report, ["onnx/fp16/model.onnx"])
    text = usage.render(replace(told, model=replace(told.model, output=kind, labels=labels)))
    assert words in text
    names: dict[str, Any] = {}
    for code in blocks(text, "python"):
        exec(compile(code, "USAGE.md", "exec"), names)  # the page's own code
    found = names["classify"]("image.png")
    given = found if expected is None else found[1]
    np.testing.assert_allclose(given, values, rtol=1e-6)
    assert expected is None or found[0] == expected


@pytest.mark.parametrize("task", ["single-label", "binary", "multi-label", "regression", "features"])
@pytest.mark.parametrize("labels", [0, 3])
def test_every_page_is_code_whatever_the_output_is(report: Report, task: Task, labels: int) -> None:
    paths = ["onnx/fp16/model.onnx", "tflite/fp16/model.tflite", "coreml/fp16/model.mlpackage"]
    told = for_files(report, paths)
    text = usage.render(replace(told, model=replace(told.model, output=OutputKind(task), labels=labels)))
    for code in blocks(text, "python"):
        ast.parse(code)
    check_files(text)
    assert ("argmax" in text) == (task == "single-label") and "NAME" not in text


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8"])
@pytest.mark.parametrize("labels", [0, 3])
def test_every_head_is_read_in_every_language(report: Report, dtype: usage.InputDtype, labels: int) -> None:
    heads = {
        "colour": (OutputKind(), "singleLabelLogits"),
        "lit": (OutputKind("binary", "sigmoid"), "binarySigmoid"),
        "tags": (OutputKind("multi-label"), "multiLabelLogits"),
        "form": (OutputKind(), "singleLabelLogits"),
    }
    steps = {"scale": 0.25, "zero_point": -3} if dtype != "float32" else {}
    outputs = tuple(TensorSpec(name, (1, 3), dtype, **steps) for name in ("logits", "embedding", *heads))
    made = for_files(
        report, ["onnx/w8/model.onnx", "tflite/w8a8/model.tflite", "coreml/fp16/model.mlpackage"]
    )
    told = replace(
        made,
        artifacts=tuple(replace(artifact, outputs=outputs) for artifact in made.artifacts),
        model=replace(
            made.model,
            labels=labels,
            heads=tuple(HeadSummary(name, 3, kind) for name, (kind, _) in heads.items()),
        ),
    )
    text = usage.render(told, lambda _: dtype)
    check_files(text)
    kotlin, swift = "".join(blocks(text, "kotlin")), "".join(blocks(text, "swift"))
    for name, (_, reader) in heads.items():
        assert f'"{name}" to ::{reader},' in kotlin and f'"{name}": {reader},' in swift
        assert (
            kotlin.count(f"fun {reader}(") == swift.count(f"func {reader}(") == 1
        )  # two outputs of a kind share it
    assert kotlin.count("fun runHeads(") == 3 and swift.count("func runHeads(") == 1
    assert kotlin.count("Pair(0.25f, -3)") == (0 if dtype == "float32" else len(heads))
    assert all(f'        "{spec.name}",' in kotlin for spec in outputs)  # LiteRT wants a buffer for each
    unknown = replace(told, artifacts=tuple(replace(artifact, outputs=()) for artifact in made.artifacts))
    text = usage.render(unknown, lambda _: "float32")
    check_files(text)
    assert "".join(blocks(text, "kotlin")).count("fun runHeads(") == 2


@pytest.mark.parametrize("interpolation", ["nearest", "bicubic"])
@pytest.mark.parametrize("grey", [False, True])
def test_every_page_is_code_where_the_image_has_a_border(
    report: Report, interpolation: str, grey: bool
) -> None:
    own = (
        Preprocess(6, 8, (6, 8), color="gray", mean=(0.4,), std=(0.2,)) if grey else replace(P, resize=(6, 8))
    )
    border = (77,) if grey else (7, 8, 9)
    made = replace(own, shorter_side=False, interpolation=interpolation, border=border)
    files = ["onnx/fp16/model.onnx", "tflite/fp16/model.tflite", "coreml/fp16/model.mlpackage"]
    text = usage.render(for_files(report, files, made))
    check_files(text)
    assert f"centred in 8 x 6 pixels of the colour {', '.join(map(str, border))}." in text
    assert "import Vision" not in text and f"CIColor(red: {border[0]} / 255" in text
    assert ("BORDER = 77" if grey else "BORDER = intArrayOf(7, 8, 9)") in text


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(("resize", "shorter"), [((10, 10), True), ((9, 13), True), ((9, 7), False)])
def test_every_page_is_code_however_the_image_is_made(
    report: Report, interpolation: str, resize: tuple[int, int], shorter: bool
) -> None:
    made = replace(P, resize=resize, shorter_side=shorter, interpolation=interpolation)
    text = usage.render(for_files(report, ["onnx/fp16/model.onnx", "tflite/fp16/model.tflite"], made))
    check_files(text)
    assert f"computes Pillow's {interpolation} resize" in text or interpolation == "nearest"


@pytest.mark.parametrize(
    ("agreement", "words"),
    [
        (96.875, "the float model gives the same answer on 96.9 % of them, and differs by 25.3 dB"),
        (None, "one: the float model differs by 25.3 dB"),
    ],
)
def test_the_page_says_how_much_the_filter_matters_where_it_was_measured(
    report: Report, agreement: float | None, words: str
) -> None:
    made = for_files(report, ["onnx/fp16/model.onnx"])
    assert "filter of the resize matters" not in usage.render(made)
    reference = replace(made.reference, other_resize=OtherResize("bicubic", 32, 25.31, agreement))
    text = " ".join(usage.render(replace(made, reference=reference)).split())
    assert (
        "32 of the evaluation images were also resized with the bicubic filter instead of the bilinear"
        in text
    )
    assert words in text


def test_a_missing_import_is_found(report: Report) -> None:
    text = usage.render(for_files(report, ["onnx/fp16/model.onnx", "tflite/fp16/model.tflite"]))
    lines = [
        line for code in blocks(text, "kotlin") for line in code.splitlines() if line.startswith("import")
    ]
    assert len(lines) > 20
    for line in lines:
        with pytest.raises(AssertionError):
            check_files(text.replace(line + "\n", "", 1))


@pytest.mark.parametrize("path", ["onnx/w8/model.onnx", "tflite/w8/model.tflite"])
def test_a_page_names_the_versions_of_what_it_uses_and_no_others(report: Report, path: str) -> None:
    (build,) = blocks(usage.render(for_files(report, [path])), "gradle")
    assert ("com.google.ai.edge.litert:litert:2." in build) == path.endswith("tflite")
    assert ("com.microsoft.onnxruntime:onnxruntime-android:1." in build) == path.endswith("onnx")


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_file_that_takes_pixels_is_given_pixels(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: usage.InputDtype
) -> None:
    """The page's own Python on a file that takes (1, HEIGHT, WIDTH, 3) uint8 and gives them back."""
    monkeypatch.chdir(tmp_path)
    paths = ["onnx/w8a8/model.onnx", "tflite/w8a8/model.tflite"]
    text = usage.render(for_files(report, paths), lambda _: dtype)
    check_files(text)
    assert "MEAN" not in "".join(blocks(text, "kotlin"))
    assert f"bytes(image, zero = {128 if dtype == 'int8' else 0})" in text
    if dtype == "int8":
        (line,) = re.findall(r"image = (.* \^ 128.*)  #", text)
        names = {"np": np, "crop": lambda _: np.array([0, 127, 128, 255], np.uint8), "path": ""}
        np.testing.assert_array_equal(eval(line, names), np.array([-128, -1, 0, 127], np.int8))
        return
    Path("onnx/w8a8").mkdir(parents=True)
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, -1])
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "shape"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, P.height, P.width, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3 * P.height * P.width])
    model = helper.make_model(
        helper.make_graph(nodes, "pixels", [image], [logits], [shape]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    labels = [f"class {i}" for i in range(3 * P.height * P.width)]
    helper.set_model_props(model, {"edgevit.labels": json.dumps(labels)})
    onnx.save(model, paths[0])
    pixels = np.random.default_rng(0).integers(0, 256, (10, 10, 3), np.uint8)
    Image.fromarray(pixels).save("image.png")
    names: dict[str, Any] = {}
    for code in blocks(text, "python")[:2]:
        exec(compile(code, "USAGE.md", "exec"), names)  # the page's own code
    np.testing.assert_array_equal(names["classify"]("image.png")[1], pixels[2:8, 1:9].reshape(-1))


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_integers_that_a_file_gives_become_real_numbers(report: Report, dtype: str) -> None:
    """With the file's own scale and zero point, in Python and in both Kotlin classes."""
    ends: dict[str, Any] = {
        "inputs": (TensorSpec("image", (1, 6, 8, 3), dtype, 1 / 255, -128 if dtype == "int8" else 0),),
        "outputs": (TensorSpec("logits", (1, 4), dtype, 0.25, -3 if dtype == "int8" else 125),),
    }
    made = for_files(report, ["tflite/w8a8/model.tflite"])
    text = usage.render(replace(made, artifacts=(replace(made.artifacts[0], **ends),)))
    check_files(text)
    step = "steps[it]" if dtype == "int8" else "steps[it].toUByte().toInt()"
    assert text.count(f"0.25f * ({step} - {'(-3)' if dtype == 'int8' else 125})") == 2
    assert f"as {dtype}{', each less 128' if dtype == 'int8' else ''}; what comes after" in text
    (line,) = re.findall(r"logits = (scale .*)", text)
    given = np.array([[0, 1, 2, 3]], dtype)
    names: dict[str, Any] = {"np": np, "scale": 0.25, "zero_point": 2, "output": {"index": 0}}
    names["interpreter"] = SimpleNamespace(get_tensor=lambda _: given)
    np.testing.assert_allclose(eval(line, names), [-0.5, -0.25, 0, 0.25])


def test_a_page_for_grey_images_makes_them_grey_and_one_for_bands_shows_none(report: Report) -> None:
    gray = Preprocess(6, 8, (10, 10), color="gray", mean=(0.4,), std=(0.2,))
    paths = ["onnx/fp16/model.onnx", "tflite/fp16/model.tflite", "coreml/fp16/model.mlpackage"]
    text = usage.render(for_files(report, paths, gray))
    assert '.convert("L")' in text and "an image is made grey" in text
    for code in blocks(text, "python"):
        ast.parse(code)
    check_files(text)
    kotlin, swift = "".join(blocks(text, "kotlin")), "".join(blocks(text, "swift"))
    assert "longArrayOf(1, 1, HEIGHT" in kotlin and "planar" not in kotlin and "3 *" not in kotlin
    assert "kCVPixelFormatType_OneComponent8" in swift and "32BGRA" not in swift
    # the page's own weights against Pillow's, on every shade of each colour and some between
    (line,) = re.findall(r"return \((.*) \+ 32768\) shr 16", kotlin)
    weights = [int(number) for number in re.findall(r"\d{4,}", line)]
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    ours = (colours.astype(np.int64) @ weights + 32768) >> 16
    np.testing.assert_array_equal(ours, np.asarray(Image.fromarray(colours).convert("L")))
    bands = Preprocess(6, 8, (10, 10), color="bands", mean=(0.4,) * 5, std=(0.2,) * 5)
    text = usage.render(for_files(report, paths, bands))
    assert not blocks(text, "kotlin") and not blocks(text, "swift")
    assert "prepare an array (height, width, 5)" in text and not blocks(text, "python")
