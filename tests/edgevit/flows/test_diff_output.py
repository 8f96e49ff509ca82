"""A file that ends otherwise than its model, or takes other pixels, is named; a fault in it is still found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgevit.core.layers import Difference
from edgevit.core.pixels import normalise
from edgevit.flows._samples import read_samples
from edgevit.flows.diff import verdict
from tests._sqnr import sqnr
from tests.edgevit.flows import _faulty

Function = Callable[[torch.Tensor], torch.Tensor]
MEAN, STD = (torch.tensor(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
BEHIND: dict[str, Function] = {
    "softmax": lambda x: x.softmax(-1),
    "log-softmax": lambda x: x.log_softmax(-1),
    "sigmoid": lambda x: x.sigmoid(),
}
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
    path = _faulty.write_nets(tmp_path_factory.mktemp("nets"))
    path.write_text(
        _faulty.NETS + "\n\ndef ending():\n    return nn.Sequential(hybrid(), nn.Softmax(-1)).eval()\n"
    )
    return path


def export(net: torch.nn.Module, before: Function, behind: Function, folder: Path) -> Path:
    path = folder / "model.onnx"
    image = torch.zeros(1, 3, _faulty.SIZE, _faulty.SIZE)
    torch.onnx.export(Around(net, before, behind).eval(), (image,), path, dynamo=False)
    return path


def compared(
    nets: Path,
    folder: Path,
    before: Function = same,
    behind: Function = same,
    net: str = "hybrid",
    **fed: str,
) -> Difference:
    path = export(_faulty.modules(nets)[net](), before, behind, folder)
    return _faulty.compare(path, "onnx", nets, "hybrid", fed=fed)


def logits(nets: Path) -> torch.Tensor:
    model = _faulty.load(nets, "hybrid")
    pixels = read_samples("synthetic:2", (), model.spec.preprocess, 2, False, lambda n: None)[0]
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
    (head,) = (layer for layer in found.layers if layer.site == "head:linear")
    assert head.sqnr_db == pytest.approx(right, abs=0.06) == head.total_sqnr_db


def test_a_reference_that_ends_in_a_softmax_and_a_file_that_gives_logits(nets: Path, tmp_path: Path) -> None:
    found = _faulty.compare(
        export(_faulty.modules(nets)["hybrid"](), same, lambda x: x + OFF, tmp_path), "onnx", nets, "ending"
    )
    wanted = logits(nets)
    assert found.same and "the file gives logits, the float model ends in a softmax" in found.compared_as
    right = sqnr(wanted.softmax(-1), (wanted + OFF).softmax(-1))
    assert found.compared_as.endswith(f"they agree to {right:.1f} dB")


def test_faults_before_a_softmax_are_found(nets: Path, tmp_path: Path) -> None:
    found = compared(nets, tmp_path, behind=lambda x: (-x).softmax(-1))
    assert not found.same and found.first_wrong is not None and found.first_wrong.module == "head"
    found = compared(nets, tmp_path, behind=BEHIND["softmax"], net="faulty_hybrid")
    assert found.first_wrong is not None and found.first_wrong.module == "deep" and found.explanation == ""


@pytest.mark.parametrize("behind", [same, BEHIND["softmax"]])
def test_another_input_differs_and_with_what_is_named_it_agrees(
    behind: Function, nets: Path, tmp_path: Path
) -> None:
    found = compared(nets, tmp_path, lambda x: (x - MEAN) / STD, behind)
    assert not found.same and "with --file-preprocess normalize=0..1 it has" in verdict(found)
    assert compared(nets, tmp_path, lambda x: (x - MEAN) / STD, behind, normalize="0..1").same
