"""Planted faults are found at the right module in each format, and where there is none, none is found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgevit.core.results.layers import Difference
from edgevit.steps.diff.axes import layouts
from tests._command import edgevit
from tests.edgevit.flows import _faulty, _hybrid
from tests.edgevit.flows._converted import Converted

# Net -> the planted faults in execution order, as (module, kinds of site that may show it).
PLANTED = {
    "vit": ("blocks.0.attn.proj", "blocks.0.norm2", "blocks.1.attn", "blocks.1.mlp.fc1"),
    "hybrid": ("deep", "norm", "query", "key", "mix"),
}


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _faulty.write_nets(tmp_path_factory.mktemp("nets"))


def wrong_modules(found: Difference) -> tuple[str, ...]:
    return tuple(dict.fromkeys(layer.module.removesuffix(".qkv") for layer in found.layers if layer.wrong))


@pytest.mark.parametrize(
    ("target", "net"),
    [
        *((target, "vit") for target in ("onnx", "tflite", "coreml")),
        ("onnx", "hybrid"),
        *(pytest.param(target, "hybrid", marks=pytest.mark.family) for target in ("tflite", "coreml")),
    ],
)
def test_four_planted_faults_are_found_and_nothing_else(
    target: str, net: str, nets: Path, tmp_path: Path
) -> None:
    path = _faulty.convert(_faulty.load(nets, f"faulty_{net}"), target, "fp32", tmp_path)
    found = _faulty.compare(path, target, nets, net)
    assert found.matched_by == "name" and wrong_modules(found) == PLANTED[net]
    first = found.first_wrong
    assert first is not None and first.module == PLANTED[net][0]
    assert first.input_sqnr_db is not None and first.input_sqnr_db > 100 and ".py:" in first.line
    assert all(layer.sqnr_db > 100 for layer in found.layers if not layer.wrong)


@pytest.mark.parametrize(
    ("fault", "module"),
    [
        pytest.param("transposed", "blocks.0.attn.proj", marks=pytest.mark.family),
        ("epsilon", "blocks.0.norm2"),
        pytest.param("swapped", "blocks.1.attn.qkv", marks=pytest.mark.family),
        ("biasless", "blocks.1.mlp.fc1"),
    ],
)
def test_fault_in_a_file_of_another_tool_is_found_by_value(
    fault: str, module: str, nets: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    faulty = _faulty.modules(nets)["faulty_vit"]((fault,))
    torch.onnx.export(faulty, (torch.zeros(1, 3, 32, 32),), path, dynamo=True, verbose=False)
    found = _faulty.compare(path, "onnx", nets, "vit")
    assert found.matched_by == "value" and found.first_wrong is not None
    assert found.first_wrong.module == module


def test_right_file_of_another_tool_has_no_wrong_layer(nets: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        _faulty.modules(nets)["vit"](), (torch.zeros(1, 3, 32, 32),), path, dynamo=True, verbose=False
    )
    found = _faulty.compare(path, "onnx", nets, "vit")
    assert found.first_wrong is None and found.compared > 20
    assert "blocks.1.mlp.fc2:linear" in {layer.site for layer in found.layers}


@pytest.mark.parametrize("precision", ["fp16", pytest.param("w8", marks=pytest.mark.family), "w8a8"])
@pytest.mark.parametrize("target", ["onnx", "tflite", "coreml"])
def test_bundle_of_edgevit_has_no_wrong_layer(
    target: str, precision: str, vit: Converted, vit_arguments: tuple[str, ...]
) -> None:
    source = vit_arguments[0].removeprefix("python:").rpartition(":")
    nets, factory = Path(source[0]), source[2]
    path = vit.file(target, precision)
    found = _faulty.compare(path, target, nets, factory, size=64, random_weights=3)
    assert (found.precision, found.matched_by) == (precision, "name")
    # ONNX computes attention as one operator, so its inner layers are not there.
    assert found.first_wrong is None and found.compared > 20


@pytest.mark.parametrize("target", ["onnx", pytest.param("tflite", marks=pytest.mark.family)])
def test_int8_outputs_of_trained_convolutions_are_no_fault(target: str, hybrid: Converted) -> None:
    """The coarsest layer of a file that passes every check: 8 bits for its weights and its output."""
    done = edgevit("diff", hybrid.file(target, "w8a8"), "--reference", *_hybrid.MODEL, "--json")
    assert done.returncode == 0, done.stdout[-2000:]


def test_transposed_product_is_not_read_as_the_right_one() -> None:
    (only,) = layouts((3, 7, 7), (1, 3, 7, 7))
    values = torch.arange(147.0).reshape(3, 7, 7)
    assert torch.equal(only.read(values), values[None])


def test_channels_last_is_read_as_channels_first() -> None:
    image = torch.randn(1, 8, 5, 6)
    stored = image.permute(0, 2, 3, 1)
    readings = [layout.read(stored.contiguous()) for layout in layouts((1, 5, 6, 8), (1, 8, 5, 6))]
    assert any(torch.equal(reading, image) for reading in readings)
    merged = [layout.read(stored.reshape(30, 8)) for layout in layouts((30, 8), (1, 8, 5, 6))]
    assert any(torch.equal(reading, image) for reading in merged)


def test_compared_layers_carry_the_fields_of_the_contract(nets: Path, tmp_path: Path) -> None:
    path = _faulty.convert(_faulty.load(nets, "hybrid"), "onnx", "fp16", tmp_path)
    found = _faulty.compare(path, "onnx", nets, "hybrid")
    assert found.first_wrong is None and found.compared > 8
    assert (found.artifact, found.precision, found.images) == (path.name, "fp16", 2)
    assert found.layers[0].input_sqnr_db == 200 and found.compared == len(found.layers)
