"""The whole job through the command line: a model in, twelve files out, each executed and judged."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

import edgevit as api
from edgevit.core._plain import from_plain
from edgevit.core.results.outcomes import Answers, Outcomes, unpack, unpack_names
from tests._command import ROOT, edgevit, steps_forked
from tests.edgevit.flows._converted import EVALUATED, Converted
from tests.edgevit.flows._hybrid import ASSETS, MEAN, SIZE, STD

TARGETS = ("onnx", "tflite", "coreml")
LEAST_DB = {"fp32": 80, "fp16": 40, "w8": 30, "w8a8": 22}
SMALL_RUN = ("--to", "onnx", "--calibration-count", "16", "--json")

Artifact = dict[str, Any]


def artifacts(report: dict[str, Any]) -> dict[tuple[str, str], Artifact]:
    return {(found["target"], found["precision"]): found for found in report["artifacts"]}


def test_json_is_one_object_that_the_schema_accepts_and_the_bundle_holds(converted: Converted) -> None:
    assert converted.done.returncode == 0, converted.done.stderr
    schema = json.loads((ROOT / "edgevit" / "schemas" / "report.schema.json").read_text())
    jsonschema.validate(json.loads(converted.done.stdout), schema)
    assert converted.report == json.loads((converted.bundle / "report.json").read_text())
    assert "Traceback" not in converted.done.stderr


def test_every_file_is_there_was_executed_and_passes(converted: Converted) -> None:
    found = artifacts(converted.report)
    assert set(found) == {(target, precision) for target in TARGETS for precision in converted.precisions}
    for artifact in found.values():
        assert artifact["executed_by"] and (artifact["verdict"], artifact["reasons"]) == ("pass", [])
        assert (converted.bundle / artifact["path"]).exists()
        assert artifact["accuracy"]["n"] == EVALUATED
        assert (artifact["latency"] is None) == artifact["executed_by"].startswith("coreml-reference")
    names = {"manifest.json", "report.json", "report.html", "plan.json", "plan.safetensors", "USAGE.md"}
    names |= {"outcomes.json"}
    assert {path.name for path in converted.bundle.iterdir()} == names | set(TARGETS)


def test_the_answers_of_each_image_give_the_figures_of_the_report(converted: Converted) -> None:
    """Counted once more from the file, and named by report.json with its digest."""
    path, report = converted.bundle / "outcomes.json", converted.report
    assert report["outcomes"] == {
        "path": "outcomes.json",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    data = json.loads(path.read_text())
    jsonschema.validate(data, json.loads((ROOT / "edgevit" / "schemas" / "outcomes.schema.json").read_text()))
    found = from_plain(Outcomes, data, "outcomes.json")
    evaluated = report["samples"]["evaluate"]
    assert (found.path, found.digest, found.count) == (evaluated["path"], evaluated["digest"], EVALUATED)
    assert len(unpack_names(found.names, EVALUATED, "names")) == EVALUATED

    def column(answers: Answers, name: str) -> Any:
        return unpack(getattr(answers, name), EVALUATED, name)

    labels = unpack(found.labels, EVALUATED, "labels") if found.labels else None
    right = column(found.reference, "correct")
    assert np.array_equal(right, column(found.reference, "answer") == labels)
    assert 100 * right.mean() == report["reference"]["top1"]
    figures = artifacts(report)
    assert {(a.target, a.precision) for a in found.artifacts} == set(figures)
    for answers in found.artifacts:
        accuracy = figures[answers.target, answers.precision]["accuracy"]
        now = column(answers, "correct")
        same = column(answers, "answer") == column(found.reference, "answer")
        assert (int((right & ~now).sum()), int((~right & now).sum())) == (
            accuracy["lost"],
            accuracy["gained"],
        )
        assert 100 * same.mean() == pytest.approx(accuracy["agreement"])
        assert 100 * column(answers, "top5").mean() == pytest.approx(accuracy["top5"])
        assert (column(answers, "margin") >= 0).all()


def test_every_precision_is_as_close_to_the_float_model_as_it_should_be(converted: Converted) -> None:
    for (_, precision), artifact in artifacts(converted.report).items():
        assert artifact["total"]["sqnr_db"] >= LEAST_DB[precision]


def test_every_file_computes_what_was_promised(converted: Converted) -> None:
    """The contract's fidelity, worked out here once more from the figures of the report."""
    for (_, precision), artifact in artifacts(converted.report).items():
        fidelity = artifact["fidelity"]
        if precision == "w8a8":
            assert fidelity["sqnr_db"] >= fidelity["floor_db"] - 2
            assert artifact["total"]["sqnr_db"] >= artifact["compression"]["sqnr_db"] - 1
            sites = artifact["sites"]
            exact = [s["db"] >= 45 or (s["max_steps"] == 1 and s["off_fraction"] <= 0.005) for s in sites]
            assert sites and all(exact)
            worst = min(sites, key=lambda site: site["db"])
            assert (fidelity["site_min"], fidelity["site_min_db"]) == (worst["site"], worst["db"])
        else:
            in_half = precision == "fp16" or (precision == "w8" and artifact["compute"] == "float16")
            assert fidelity["sqnr_db"] >= (40 if in_half else 80)


def test_compressed_files_are_smaller_than_their_float_file(converted: Converted) -> None:
    found = artifacts(converted.report)
    for target in TARGETS:
        sizes = {precision: found[target, precision]["size_bytes"] for precision in converted.precisions}
        # Half of a file this small is graph and metadata; the ViT is held to more below.
        assert sizes["w8a8"] < 0.8 * sizes["fp16"]
        if "fp32" in sizes:
            assert sizes["fp16"] < 0.6 * sizes["fp32"] and sizes["w8"] < 0.4 * sizes["fp32"]
            assert sizes["w8a8"] < 0.4 * sizes["fp32"]


def test_integers_are_really_there(hybrid: Converted, vit: Converted) -> None:
    for least, report in (
        ({"onnx": 0.85, "tflite": 0.75, "coreml": 0.85}, hybrid.report),
        (dict.fromkeys(TARGETS, 0.5), vit.report),
    ):
        for (target, precision), artifact in artifacts(report).items():
            share = artifact["integer_mac_fraction"]
            assert share >= least[target] if precision == "w8a8" else share == 0
            assert (artifact["weight_bytes"].get("int8", 0) > 0) == precision.startswith("w8")


def demo_images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The evaluated images at the hybrid's size, normalised (float32 NCHW), as pixels, and their classes."""
    with np.load(ASSETS / "evaluation.npz") as stored:
        chosen = [index * len(stored["images"]) // EVALUATED for index in range(EVALUATED)]
        small, labels = stored["images"][chosen], stored["labels"][chosen]
    pixels = np.stack(
        [Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC) for image in small]
    )
    inputs = (pixels.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)), pixels, labels


@pytest.mark.parametrize("precision", ["fp16", "w8a8"])
def test_another_reader_of_the_onnx_file_gets_the_same_top1(hybrid: Converted, precision: str) -> None:
    import onnxruntime

    inputs, _, labels = demo_images()
    session = onnxruntime.InferenceSession(hybrid.file("onnx", precision), providers=["CPUExecutionProvider"])
    classes = [session.run(["logits"], {"image": image[None]})[0].argmax() for image in inputs]
    told = artifacts(hybrid.report)["onnx", precision]["accuracy"]["top1"]
    assert told == pytest.approx(100 * np.mean(classes == labels))


@pytest.mark.parametrize("precision", ["fp16", "w8a8"])
def test_another_reader_of_the_tflite_file_gets_the_same_top1(hybrid: Converted, precision: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    inputs, _, labels = demo_images()
    interpreter = Interpreter(model_path=str(hybrid.file("tflite", precision)), num_threads=2)
    interpreter.allocate_tensors()
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    classes = []
    for image in inputs:
        interpreter.set_tensor(entry["index"], image.transpose(1, 2, 0)[None])
        interpreter.invoke()
        classes.append(interpreter.get_tensor(result["index"]).argmax())
    told = artifacts(hybrid.report)["tflite", precision]["accuracy"]["top1"]
    assert told == pytest.approx(100 * np.mean(classes == labels))


def test_missed_limit_is_exit_1_with_reasons_and_the_files_are_the_same_to_the_bit(
    vit: Converted, tmp_path: Path
) -> None:
    # Those of the others are compared in tests/converters, where they need not be converted anew.
    targets = ("onnx",)
    limited = ("--precision", "w8a8", "--evaluate-count", "8", "--min-sqnr", "200", "--json")
    limited += ("--to", ",".join(targets))
    done = edgevit("convert", *vit.arguments, *limited, "-o", tmp_path / "again")
    assert done.returncode == 1, done.stderr
    found, before = artifacts(json.loads(done.stdout)), artifacts(vit.report)
    assert set(found) == {(target, "w8a8") for target in targets}
    for pair, artifact in found.items():
        assert artifact["verdict"] == "fail" and "the limit is 200 dB" in artifact["reasons"][0]
        assert artifact["sha256"] == before[pair]["sha256"]
    assert edgevit("verify", tmp_path / "again").returncode == 0


@pytest.mark.family
def test_precisions_may_stand_in_any_order(vit_arguments: tuple[str, ...], tmp_path: Path) -> None:
    order = ("--precision", "fp16,fp32", "--evaluate-count", "4", "-o", tmp_path / "out")
    done = edgevit("convert", *vit_arguments, *order, *SMALL_RUN)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["artifacts"]
    assert [(a["precision"], a["verdict"]) for a in found] == [("fp16", "pass"), ("fp32", "pass")]


@pytest.fixture(scope="module")
def pruned(vit_arguments: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """Half of the hidden neurons gone, and 64 images to show a limit that they could show if none changed."""
    bundle = tmp_path_factory.mktemp("pruned") / "out"
    given = (*vit_arguments, "--precision", "fp32", "--prune", "mlp=0.5")
    limited = ("--evaluate-count", "64", "--max-drop", "5", "-o", str(bundle), *SMALL_RUN)
    return Converted(given, edgevit("convert", *given, *limited), bundle, ("fp32",))


def test_too_few_images_for_a_limit_are_exit_4(pruned: Converted) -> None:
    assert pruned.done.returncode == 4, pruned.done.stderr
    (artifact,) = pruned.report["artifacts"]
    assert artifact["verdict"] == "inconclusive" and artifact["accuracy"]["lost"] > 0
    assert any("too few to decide" in r and "images like these would" in r for r in artifact["reasons"])
    assert pruned.file("onnx", "fp32").exists()


def test_pruned_model_is_smaller_and_its_file_computes_what_is_left(
    vit: Converted, pruned: Converted
) -> None:
    report = pruned.report
    # Two blocks of width 192 with 768 hidden neurons: half of them goes, in both layers.
    assert vit.report["model"]["parameters"] - report["model"]["parameters"] == 2 * 384 * (192 + 1 + 192)
    assert vit.report["model"]["macs"] - report["model"]["macs"] == 2 * 384 * (192 + 192) * 17
    (artifact,) = report["artifacts"]
    assert artifact["size_bytes"] < 0.9 * artifacts(vit.report)["onnx", "fp32"]["size_bytes"]
    assert artifact["fidelity"]["sqnr_db"] >= 80
    assert artifact["total"]["sqnr_db"] == pytest.approx(artifact["compression"]["sqnr_db"], abs=0.1)
    assert len(report["prune"]) == 2


def test_function_gives_the_report_that_is_in_the_bundle(tmp_path: Path) -> None:
    net = "nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.Flatten(), nn.Linear(32, 4))"
    (tmp_path / "nets.py").write_text(f"from torch import nn\n\ndef net():\n    return {net}\n")
    with steps_forked():
        report = api.convert(
            f"python:{tmp_path / 'nets.py'}:net",
            random_weights=3,
            image_size=16,
            preprocess={"normalize": "0..1"},
            to=["onnx"],
            output=tmp_path / "out",
        )
    (artifact,) = report.artifacts
    assert (artifact.target, artifact.precision, artifact.verdict) == ("onnx", "fp16", "pass")
    assert report.samples.evaluate is None and artifact.accuracy is None
    assert artifact.fidelity is not None and artifact.fidelity.sqnr_db >= 40
    stored = json.loads((tmp_path / "out" / "report.json").read_text())
    assert stored["artifacts"][0]["sha256"] == artifact.sha256
