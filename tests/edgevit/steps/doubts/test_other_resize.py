"""The float model on images that were resized with another filter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from edgevit.core.outputs import LOGITS, OutputKind
from edgevit.core.plugins import Head
from edgevit.core.types import Preprocess, TorchModel
from edgevit.steps.doubts.other_resize import other_resize
from edgevit.steps.samples import open_samples
from tests.edgevit.graph._small import model_of, randomised


def model(preprocess: Preprocess) -> TorchModel:
    torch.manual_seed(0)
    head = nn.Sequential(nn.Flatten(), nn.Linear(3 * preprocess.height * preprocess.width, 4))
    made = model_of(randomised(head), size=preprocess.height)
    return replace(made, spec=replace(made.spec, preprocess=preprocess))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index in range(40):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(tmp_path / f"{index:02}.png")
    return tmp_path


def test_both_filters_are_pillows_and_the_images_are_spread(folder: Path) -> None:
    p = Preprocess(16, 16, (16, 16), interpolation="bicubic")
    loaded = model(p)
    samples = open_samples(str(folder), Head(), "evaluate")
    found = other_resize(samples, loaded, LOGITS, None)
    assert found is not None and (found.interpolation, found.n) == ("bilinear", 32)

    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (p.mean, p.std))
    logits = []
    for filter_ in (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR):
        rows = []
        for index in range(32):
            image = Image.open(folder / f"{index * 40 // 32:02}.png").resize((16, 21), filter_)
            pixels = np.asarray(image.crop((0, 2, 16, 18)), np.float32)  # (21 - 16) / 2, rounded half to even
            rows.append((torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / std)
        with torch.no_grad():
            logits.append(loaded.module(torch.stack(rows)).double())
    before, after = logits
    sqnr = 10 * torch.log10(before.square().sum() / (before - after).square().sum())
    assert found.sqnr_db == pytest.approx(float(sqnr), abs=0.01)
    same = (before.argmax(1) == after.argmax(1)).double().mean()
    assert found.agreement == pytest.approx(100 * float(same))


def test_a_model_that_decides_nothing_has_no_agreement_and_few_images_are_enough(folder: Path) -> None:
    p = Preprocess(16, 16, (16, 16), interpolation="bilinear")
    samples = open_samples(str(folder), Head(), "evaluate")
    found = other_resize(samples, model(p), OutputKind("features"), 5)
    assert found is not None
    assert (found.interpolation, found.n, found.agreement) == ("bicubic", 5, None)


def test_nothing_is_said_where_no_image_is_resized(folder: Path) -> None:
    p = Preprocess(16, 16, (30, 30))  # the shorter side of each image
    samples = open_samples(str(folder), Head(), "evaluate")
    assert other_resize(samples, model(p), LOGITS, None) is None
