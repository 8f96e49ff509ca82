"""Files of other tools that end in another activation, or want other pixels, than the model: named, not just failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from edgevit.core.outputs import OutputKind
from edgevit.core.precisions import Precision
from edgevit.core.results.report import ArtifactReport, Limits
from edgevit.flows._assemble import artifact_report
from edgevit.models._preprocess import override
from edgevit.steps import execute
from edgevit.steps.messages import Built, ExecuteRequest, Prepared
from edgevit.validate.floors import Origin
from tests.edgevit.flows import _tiny

NORMALISED = {"mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"}
MEAN, STD = (
    torch.tensor([float(v) for v in NORMALISED[k].split(",")]).reshape(3, 1, 1) for k in ("mean", "std")
)
NET = """
import torch

class Net(torch.nn.Module):
    \"\"\"Trained by hand: the score of each class is a contrast of the image's mean colours.\"\"\"
    def __init__(self, columns=4):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = torch.nn.Conv2d(3, 16, 8, 8), torch.nn.Linear(64, columns)
        with torch.no_grad():
            self.head.weight.mul_(20)

    def forward(self, image):
        return self.head(torch.nn.functional.gelu(self.stem(image)).flatten(1))

class One(Net):
    def __init__(self):
        super().__init__(1)
"""
made: dict[str, Any] = {}
exec(NET, made)

Before = Callable[[torch.Tensor], torch.Tensor]


class Around(torch.nn.Module):
    """The net with something before and behind it."""

    def __init__(self, net: torch.nn.Module, before: Before, behind: Before) -> None:
        super().__init__()
        self.net, self.before, self.behind = net, before, behind

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.behind(self.net(self.before(image)))


@dataclass(frozen=True)
class Case:
    """A model that was prepared, and the folder with its files."""

    prepared: Prepared
    work: Path
    net: torch.nn.Module

    def export(self, name: str, before: Before, behind: Before, example: torch.Tensor) -> Path:
        path = self.work / f"{name}.onnx"
        module = Around(self.net, before, behind).eval()
        torch.onnx.export(
            module, (example,), path, input_names=["input"], output_names=["prob"], dynamo=False
        )
        return path

    def judge(self, path: Path, precision: str, limits: Limits, **fed: str) -> ArtifactReport:
        built = Built("onnx", Precision(precision), 0.0, str(path))
        request = ExecuteRequest(
            work=str(self.work),
            runtime="onnxruntime",
            threads=1,
            files=(built,),
            graphs={},
            fp32=None,
            preprocess=override(self.prepared.spec.preprocess, fed),
            reference=self.prepared.output_kind,
        )
        (done,) = execute.execute(request, lambda event: None).files
        return artifact_report(self.work, self.prepared, built, done, None, None, limits, Origin(), path.name)


def case(folder: Path, factory: str, classes: int) -> Case:
    (folder / "nets.py").write_text(NET)
    coarse = np.random.default_rng(0).integers(0, 256, (64, 2, 2, 3), np.uint8)
    np.savez(folder / "images.npz", images=coarse.repeat(8, 1).repeat(8, 2), labels=np.arange(64) % classes)
    found = _tiny.prepared(
        folder,
        folder / "work",
        model=f"python:{folder / 'nets.py'}:{factory}",
        random_weights=None,
        preprocess=[f"{key}={value}" for key, value in NORMALISED.items()],
        precision="fp32",
        calibrate=None,
        evaluate=str(folder / "images.npz"),
    )
    return Case(found, folder / "work", made[factory]().eval())


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case(tmp_path_factory.mktemp("four"), "Net", 4)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case(tmp_path_factory.mktemp("one"), "One", 2)


def same(image: torch.Tensor) -> torch.Tensor:
    return image


PLANES = torch.zeros(1, 3, 16, 16)


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        (lambda x: x.softmax(-1), "ends in a softmax, the float model gives logits"),
        (lambda x: x.log_softmax(-1), "ends in a log-softmax, the float model gives logits"),
        (lambda x: x.sigmoid(), "ends in a sigmoid, the float model gives logits"),
    ],
)
def test_another_activation_is_compared_where_both_are_alike(four: Case, behind: Before, words: str) -> None:
    found = four.judge(
        four.export("ends", same, behind, PLANES), "fp32", Limits(min_agreement=99, max_drop=50)
    )
    assert found.verdict == "pass", found.reasons
    assert found.total is not None and found.total.sqnr_db > 80
    assert found.accuracy is not None and found.accuracy.agreement == 100
    assert words in found.compared_as and any(words in note for note in found.notes)


@pytest.mark.parametrize(
    ("before", "example", "flags", "fed"),
    [
        (lambda x: (x - MEAN) / STD, PLANES, "--file-preprocess normalize=0..1", {"normalize": "0..1"}),
        (
            lambda x: (x / 255 - MEAN) / STD,
            PLANES,
            "--file-preprocess normalize=0..255",
            {"normalize": "0..255"},
        ),
        (
            lambda x: x.flip(1),
            PLANES,
            "--file-preprocess color=bgr --file-preprocess mean=0.406,0.456,0.485 --file-preprocess std=",
            {"color": "bgr", "mean": "0.406,0.456,0.485", "std": "0.225,0.224,0.229"},
        ),
        (
            lambda x: (x.flip(1) - MEAN) / STD,
            PLANES,
            "--file-preprocess color=bgr --file-preprocess normalize=0..1",
            {"color": "bgr", "normalize": "0..1"},
        ),
    ],
)
def test_another_input_is_named_and_with_it_the_file_passes(
    four: Case, before: Before, example: torch.Tensor, flags: str, fed: dict[str, str]
) -> None:
    path = four.export("wants", before, same, example)
    found = four.judge(path, "fp32", Limits())
    assert found.verdict == "fail"
    assert found.reasons[0].startswith("the file expects another input than the model: it has ")
    assert f" dB against the model with {flags}" in found.reasons[0]
    assert four.judge(path, "fp32", Limits(), **fed).verdict == "pass"


def test_pixels_with_the_channels_last_and_the_normalisation_inside(four: Case) -> None:
    def before(image: torch.Tensor) -> torch.Tensor:
        return (image.float().permute(0, 3, 1, 2) / 255 - MEAN) / STD

    path = four.export("uint8", before, lambda x: x.softmax(-1), torch.zeros(1, 16, 16, 3, dtype=torch.uint8))
    found = four.judge(path, "fp32", Limits())
    assert found.verdict == "pass", found.reasons
    assert found.total is not None and found.total.sqnr_db > 80


def test_a_wrong_file_stays_wrong_and_nothing_explains_it(four: Case) -> None:
    found = four.judge(four.export("wrong", same, lambda x: (-x).softmax(-1), PLANES), "fp32", Limits())
    assert found.verdict == "fail" and found.explanation == ""
    assert "lost precision" in found.reasons[0]


def test_a_good_quantized_file_of_another_tool_passes(four: Case) -> None:
    path = four.work / "good-int8.onnx"
    quantize_dynamic(
        four.export("plain", same, same, PLANES), path, weight_type=QuantType.QInt8, per_channel=True
    )
    found = judge_unplanned(four, path, Limits())
    assert found.verdict == "pass", (found.reasons, found.total, found.accuracy)


def judge_unplanned(given: Case, path: Path, limits: Limits) -> ArtifactReport:
    """As a file of unknown origin whose precision was guessed."""
    return given.judge(path, "w8", limits)


def test_one_number_in_any_shape_and_as_a_probability(one: Case) -> None:
    assert one.prepared.output_kind == OutputKind("binary")
    for name, behind in {"flat": lambda x: x.flatten(), "prob": lambda x: x.sigmoid().squeeze(1)}.items():
        found = one.judge(one.export(name, same, behind, PLANES), "fp32", Limits(min_agreement=99))
        assert found.verdict == "pass", (name, found.reasons)
        assert found.accuracy is not None and found.accuracy.agreement == 100
