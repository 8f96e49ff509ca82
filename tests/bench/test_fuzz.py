"""The harness tells every kind of ending apart, and 200 mutants end in an answer or in an input error."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench._fuzz import seeds as fuzz_seeds
from bench._fuzz.kinds import Kind
from bench._fuzz.mutate import mutate
from bench.fuzz import fuzz
from edgevit.core.errors import InputError, UnsupportedError
from tests._command import ROOT


def fail(error: Exception) -> None:
    raise error


WAYS: dict[str, Any] = {
    "input error": lambda: fail(InputError("no")),
    "could not": lambda: fail(UnsupportedError("no")),
    "foreign": lambda: fail(KeyError("x")),
    "parent crash": lambda: fail(KeyError("x")),
    "memory": lambda: bytearray(1 << 42),
    "hang": lambda: time.sleep(60),
    "crash": lambda: os.kill(os.getpid(), signal.SIGUSR1),
    "code run": lambda: os.system("true"),
}


def end(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """Read the valid file, and end as asked on any other."""
    if Path(request["path"]).read_bytes() != b"valid":
        WAYS[request["way"]]()
    return {}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_end_has_its_name(way: str, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"valid")

    def reads(place: Path) -> tuple[tuple[str, dict[str, Any]], ...]:
        return (("tests.bench.test_fuzz:end", {"path": str(place / "file.bin"), "way": way}),)

    kind = Kind("test", ("file.bin",), reads, in_parent=way == "parent crash")
    assert {outcome.verdict for outcome in fuzz([kind], tmp_path, 3, 0, wall_s=1.0)} - {"read"} == {way}


def test_what_loads_a_planted_pickle_leaves_a_mark(tmp_path: Path) -> None:
    for index in range(20):
        with contextlib.suppress(Exception):
            pickle.loads(mutate(Random(index), "weights.pth", b"", tmp_path / "ran"))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["a.json", "a.toml", "a.npz", "a.safetensors", "a.onnx"])
def test_the_same_seed_makes_the_same_mutants(name: str, tmp_path: Path) -> None:
    made = [[mutate(Random(index), name, b'{"a": [1]}', tmp_path) for index in range(40)] for _ in range(2)]
    assert made[0] == made[1] and len(set(made[0])) > 20


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small valid files, made without a conversion."""
    from edgevit.core.disk import manifest
    from edgevit.core.foreign import json_text
    from edgevit.core.types import Preprocess
    from edgevit.formats import preprocess_json
    from tests.edgevit.runtimes.litert import _tflite_files

    place = tmp_path_factory.mktemp("fuzz") / "seeds"
    (place / "bundle").mkdir(parents=True)
    fuzz_seeds.samples(place)
    fuzz_seeds.texts(place)
    (place / "bundle" / "USAGE.md").write_text("text")
    made = manifest.build(
        place / "bundle", "edgevit", manifest.ManifestModel("m", "demo", "0"), {"to": "onnx"}
    )
    (place / "bundle" / "manifest.json").write_text(json_text(manifest.to_json(made)))
    square = Preprocess(2, 2, (2, 2))
    notes = {
        "edgevit.preprocess": preprocess_json.dumps(square, "NHWC").encode(),
        "edgevit.labels": json_text([str(index) for index in range(12)]).encode(),
    }
    for name in ("plain", "w8a8"):
        _tflite_files.image_model(place / f"{name}.tflite", notes)
        _save_onnx(place / f"{name}.onnx", square)
    return place


def _save_onnx(path: Path, preprocess: Any) -> None:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from edgevit.formats import preprocess_json

    weight = numpy_helper.from_array(np.ones((12, 3), np.float32), "weight")
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        ],
        "seed",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 2, 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    notes = {
        "edgevit.preprocess": preprocess_json.dumps(preprocess, "NCHW"),
        "edgevit.labels": '["a", "b", "c"]',
    }
    helper.set_model_props(model, notes)
    onnx.save(model, path)


KINDS = ("onnx", "tflite", "images", "npz images", "manifest", "recipe", "labels.json")


def test_two_hundred_mutants_end_in_an_answer_or_an_input_error(seeds: Path, tmp_path: Path) -> None:
    chosen = [text for kind in KINDS for text in ("--kind", kind)]
    command = [sys.executable, "-m", "bench.fuzz", "--count", "203", "--seed", "1", *chosen]
    done = subprocess.run(
        [*command, "--seeds", str(seeds), "--keep", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = re.findall(r"^\| all \| (.*) \|$", done.stdout, re.MULTILINE)
    mutants, read, refused, *_ = map(int, row.split(" | "))
    assert mutants == 203 and read > 10 and refused > 100
