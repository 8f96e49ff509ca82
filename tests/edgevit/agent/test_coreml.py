"""The agent's Core ML part against a stand-in for coremltools: it has not been run on a Mac yet.

The stand-in takes coremltools' place in the processes of the real agent, on this machine. What it offers is checked
against the names and arguments of the coremltools that is installed here.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevit.agent.feed import Feed
from edgevit.core.errors import DeviceError
from edgevit.core.results.device import OperatorTime
from edgevit.core.runner import DeviceFile, DeviceOutput
from edgevit.devices.session import Chunk, Session
from edgevit.flows._devices.sessions import session_on
from edgevit.validate.operator_times import by_module

STAND_IN = Path(__file__).parent / "_stand_in"
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), np.uint8)
FEED = Feed("NCHW", False, (0.5,) * 3, (0.25,) * 3)
UNITS = {"all": "Neural Engine", "cpu_only": "CPU", "cpu_and_gpu": "GPU", "cpu_and_ne": "Neural Engine"}
OPERATIONS = [
    {"name": "w", "type": "const"},
    {"name": "stem.conv:conv", "type": "conv", "cost": 0.5},
    {"name": "blocks.0.attn.qkv:linear", "type": "linear", "cost": 0.375},
    {"name": "blocks.0.attn:softmax", "type": "softmax", "cost": 0.125, "cpu": True},
]
SITES = {str(one["name"]): str(one["name"]) for one in OPERATIONS if one["type"] != "const"}


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(STAND_IN))
        with session_on("local") as opened:
            yield opened


def package(folder: Path, **told: Any) -> Path:
    path = folder / "model.mlpackage"
    path.mkdir()
    content = {"input": "image", "outputs": [{"name": "logits"}], "operations": OPERATIONS, **told}
    (path / "model.json").write_text(json.dumps(content))
    return path


def file_of(feed: Feed = FEED, *outputs: str, classes: tuple[str, ...] = ()) -> DeviceFile:
    return DeviceFile(feed, (4, 6, 3), tuple(DeviceOutput(name) for name in outputs or ("logits",)), classes)


def executed(session: Session, folder: Path, path: Path, file: DeviceFile) -> tuple[list[np.ndarray], str]:
    np.save(folder / "pixels.npy", PIXELS)
    chunk = Chunk(session.store.put_array(folder / "pixels.npy"), folder / "found.npz")
    label = session.execute(
        session.store.put(path), file, (chunk,), threads=0, unit="all", timeout=60.0, done=lambda *_: None
    )
    with np.load(chunk.outputs) as found:
        return [found[name] for name in found.files], label


def test_a_tensor_is_normalised_and_every_output_comes_back_in_the_files_order(
    session: Session, tmp_path: Path
) -> None:
    path = package(tmp_path, outputs=[{"name": "logits"}, {"name": "double", "times": 2}])
    found, label = executed(session, tmp_path, path, file_of(FEED, "logits", "double"))
    wanted = ((PIXELS / 255 - 0.5) / 0.25).sum(axis=(1, 2))
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found[1], 2 * wanted, rtol=1e-5, atol=1e-4)
    assert label.startswith("Core ML macOS") and label.endswith(" all")


def test_a_classifier_takes_an_image_and_gives_probabilities_by_name(
    session: Session, tmp_path: Path
) -> None:
    labels = ["zebra", "ape", "cat"]
    outputs = [{"name": "classLabel", "label_of": labels}, {"name": "probabilities", "labels": labels}]
    path = package(tmp_path, image=True, outputs=outputs)
    file = file_of(
        Feed("image", False, (), ()), "classLabel", "probabilities", classes=("ape", "cat", "zebra")
    )
    found, _ = executed(session, tmp_path, path, file)
    red, green, blue = PIXELS.astype(float).sum(axis=(1, 2)).T
    np.testing.assert_allclose(found[1], np.stack([green, blue, red], 1))
    assert list(found[0]) == [labels[index] for index in np.stack([red, green, blue]).argmax(0)]


@pytest.mark.parametrize("unit", ["all", "cpu_only"])
def test_a_package_is_timed_cold_and_warm(session: Session, unit: str, tmp_path: Path) -> None:
    asked = {"runs": 3, "seconds": 0.0, "threads": 0, "cpus": (), "unit": unit, "timeout": 60.0}
    (timed,) = session.time({session.store.put(package(tmp_path)): file_of()}, **asked).files  # type: ignore[arg-type]
    assert timed.load_ms > 100, "the stand-in takes 100 ms to compile"
    assert timed.load_warm_ms is not None and 0 < timed.load_warm_ms < 100
    assert timed.executed_by.endswith(" " + unit) and len(timed.wall_ms) == 3


@pytest.mark.parametrize(("unit", "shown"), UNITS.items())
def test_the_plan_says_which_unit_each_operation_would_run_on(
    session: Session, unit: str, shown: str, tmp_path: Path
) -> None:
    path = session.store.put(package(tmp_path))
    asked = {"runs": 3, "threads": 0, "cpus": (), "unit": unit, "timeout": 60.0}
    found = session.operators(path, file_of(), **asked)  # type: ignore[arg-type]
    assert found.operators == (
        OperatorTime("stem.conv:conv", "conv", shown, None, 0.5),
        OperatorTime("blocks.0.attn.qkv:linear", "linear", shown, None, 0.375),
        OperatorTime("blocks.0.attn:softmax", "softmax", "CPU", None, 0.125),
    )
    modules = by_module(found.operators, SITES)
    assert [(one.name, one.ms, one.share) for one in modules] == [
        ("stem", None, 0.5),
        ("blocks.0.attn", None, 0.5),
    ]


def test_what_is_no_ml_program_has_no_plan(session: Session, tmp_path: Path) -> None:
    path = session.store.put(package(tmp_path, operations=[]))
    with pytest.raises(DeviceError, match="ML programs alone"):
        session.operators(path, file_of(), runs=1, threads=0, cpus=(), unit="all", timeout=60.0)


def test_an_error_of_core_ml_is_told(session: Session, tmp_path: Path) -> None:
    path = session.store.put(package(tmp_path, image=True))  # which then gets a tensor
    with pytest.raises(DeviceError, match="on local: "):
        session.time({path: file_of()}, runs=1, seconds=0.0, threads=0, cpus=(), unit="all", timeout=60.0)


def test_the_stand_in_offers_what_coremltools_has() -> None:
    """Read, not imported: that takes seconds."""
    found = importlib.util.find_spec("coremltools")
    assert found is not None and found.origin is not None
    folder = Path(found.origin).parent
    assert folder.parent != STAND_IN, "this is the real one"
    paths = ("__init__.py", "models/model.py", "models/_compiled_model.py", "models/compute_plan.py")
    classes = {
        node.name: node
        for path in (*paths, "models/compute_device.py")
        for node in ast.parse((folder / path).read_text()).body
        if isinstance(node, ast.ClassDef)
    }

    def arguments(kind: str, method: str) -> list[str]:
        methods = [node for node in classes[kind].body if isinstance(node, ast.FunctionDef)]
        return [argument.arg for node in methods if node.name == method for argument in node.args.args]

    def fields(kind: str) -> set[str]:
        nodes = [node.target for node in classes[kind].body if isinstance(node, ast.AnnAssign)]
        return {node.id for node in nodes if isinstance(node, ast.Name)}

    units = [node.targets[0] for node in classes["ComputeUnit"].body if isinstance(node, ast.Assign)]
    assert {ast.unparse(unit) for unit in units} >= {unit.upper() for unit in UNITS}
    for kind in ("MLModel", "CompiledMLModel"):
        assert "compute_units" in arguments(kind, "__init__")
        assert arguments(kind, "predict")[:2] == ["self", "data"]
    assert arguments("MLModel", "get_compiled_model_path") == arguments("MLModel", "get_spec") == ["self"]
    assert arguments("MLComputePlan", "load_from_path") == ["cls", "path", "compute_units"]
    for name in ("get_compute_device_usage", "get_estimated_cost"):
        asked = arguments("MLComputePlan", name + "_for_mlprogram_operation")
        assert asked == ["self", "operation"]
    assert "program" in fields("MLModelStructure")
    assert "functions" in fields("MLModelStructureProgram")
    assert "block" in fields("MLModelStructureProgramFunction")
    assert "operations" in fields("MLModelStructureProgramBlock")
    assert {"operator_name", "outputs"} <= fields("MLModelStructureProgramOperation")
    assert "name" in fields("MLModelStructureProgramNamedValueType")
    assert "preferred_compute_device" in fields("MLComputePlanDeviceUsage")
    assert fields("MLComputePlanCost") == {"weight"}
    assert {"MLCPUComputeDevice", "MLGPUComputeDevice", "MLNeuralEngineComputeDevice"} <= set(classes)
