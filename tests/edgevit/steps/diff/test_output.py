"""A file that ends otherwise than its model, or takes other pixels, is named; a fault in it is still found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgevit.core.pixels import normalise
from edgevit.core.plugins import Head
from edgevit.core.results.layers import Difference
from edgevit.flows.diff import verdict
from edgevit.steps.samples import read_samples
from tests._sqnr import sqnr
from tests.edgevit.flows import _faulty

Function = Callable[[torch.Tensor], torch.Tensor]
MEAN, STD = (torch.tensor(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
BEHIND: dict[str, Function] = {
    "softmax": lambda x: x.softmax(-1),
    "log-softmax": lambda x: x.log_softmax(-1),
    "sigmoid": lambda x: x.sigmoid(),
}
NETS = """
import torch
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 16, 16), nn.GELU(), nn.Flatten(), nn.Linear(64, 5)).eval()


def ending():
    return nn.Sequential(*net(), nn.Softmax(-1)).eval()
"""
# Far more than rounding and less than a fault, so that the figure that is told has one right value.
OFF = torch.tensor([2e-3, 0, 0, -1e-3, 0])


class Around(torch.nn.Module):
    """A net with something before and behind it."""

    def __init__(self, net: torch.nn.Module, before: Function, behind: Function) -> None:
        super().__init__()
        self.net, self.before, self.behind = net, before, behind

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.behind(self.net(self.before(image)))


def same(value: torch.Tensor) -> torch.Tensor:
    return value


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nets") / "nets.py"
    path.write_text(NETS)
    return path


def export(net: torch.nn.Module, before: Function, behind: Function, folder: Path) -> Path:
    path = folder / "model.onnx"
    image = torch.zeros(1, 3, _faulty.SIZE, _faulty.SIZE)
    torch.onnx.export(Around(net, before, behind).eval(), (image,), path, dynamo=False)
    return path


def compared(
    nets: Path, folder: Path, before: Function = same, behind: Function = same, fed: str | None = None
) -> Difference:
    path = export(_faulty.modules(nets)["net"](), before, behind, folder)
    return _faulty.compare(path, "onnx", nets, "net", fed={} if fed is None else {"normalize": fed})


def logits(nets: Path) -> torch.Tensor:
    model = _faulty.load(nets, "net")
    pixels = read_samples("synthetic:2", Head(), model.spec.preprocess, 2, False, lambda n: None).pixels
    with torch.no_grad():
        return torch.as_tensor(model.module(torch.from_numpy(normalise(pixels, model.spec.preprocess))))


@pytest.mark.parametrize("ends", BEHIND)
def test_a_model_that_ends_otherwise_is_the_same_and_said_to_be(
    ends: str, nets: Path, tmp_path: Path
) -> None:
    behind, wanted = BEHIND[ends], logits(nets)
    found = compared(nets, tmp_path, behind=lambda x: behind(x + OFF))
    right = sqnr(behind(wanted), behind(wanted + OFF))
    assert found.same and found.first_wrong is None and found.explanation == "", verdict(found)
    assert f"the file ends in a {ends}, the float model gives logits" in found.compared_as
    told = float(found.compared_as.split(" agree to ")[1].removesuffix(" dB"))
    assert told == pytest.approx(right, abs=0.06)
    (head,) = (layer for layer in found.layers if layer.site == "3:linear")
    assert head.sqnr_db == pytest.approx(right, abs=0.06) == head.total_sqnr_db


def test_a_reference_that_ends_in_a_softmax_and_a_file_that_gives_logits(nets: Path, tmp_path: Path) -> None:
    found = _faulty.compare(
        export(_faulty.modules(nets)["net"](), same, lambda x: x + OFF, tmp_path), "onnx", nets, "ending"
    )
    wanted = logits(nets)
    assert found.same and "the file gives logits, the float model ends in a softmax" in found.compared_as
    right = sqnr(wanted.softmax(-1), (wanted + OFF).softmax(-1))
    assert found.compared_as.endswith(f"they agree to {right:.1f} dB")


def test_faults_before_a_softmax_are_found(nets: Path, tmp_path: Path) -> None:
    found = compared(nets, tmp_path, behind=lambda x: (-x).softmax(-1))
    assert not found.same and found.first_wrong is not None and found.first_wrong.module == "3"
    biasless = _faulty.modules(nets)["net"]()
    biasless[0].bias.data.zero_()
    found = _faulty.compare(export(biasless, same, BEHIND["softmax"], tmp_path), "onnx", nets, "net")
    assert found.first_wrong is not None and found.first_wrong.module == "0" and found.explanation == ""


@pytest.mark.parametrize("behind", [same, BEHIND["softmax"]])
def test_another_input_differs_and_with_what_is_named_it_agrees(
    behind: Function, nets: Path, tmp_path: Path
) -> None:
    found = compared(nets, tmp_path, lambda x: (x - MEAN) / STD, behind)
    assert not found.same and "against the model with --file-preprocess normalize=0..1" in verdict(found)
    assert compared(nets, tmp_path, lambda x: (x - MEAN) / STD, behind, "0..1").same
