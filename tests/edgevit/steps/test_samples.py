"""One digest for the pictures of a set, another one for what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from edgevit.core.plugins import Head
from edgevit.core.results.report import SampleSet
from edgevit.core.types import Preprocess
from edgevit.steps.samples import read_samples


def read(folder: Path, labels: tuple[str, ...]) -> SampleSet:
    found = read_samples(
        str(folder), Head(labels, len(labels)), Preprocess(8, 8, (8, 8)), None, False, lambda n: None
    )
    assert found.described is not None
    return found.described


def test_the_order_of_the_classes_changes_the_digest_of_the_labels_alone(tmp_path: Path) -> None:
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((8, 8, 3), 40 * number, np.uint8)).save(tmp_path / name / "x.png")
    first, again, turned = (
        read(tmp_path, order) for order in (("cat", "dog"), ("cat", "dog"), ("dog", "cat"))
    )
    assert first == again
    assert first.pictures == turned.pictures and first.digest != turned.digest
    Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(tmp_path / "dog" / "x.png")
    other = read(tmp_path, ("cat", "dog"))
    assert other.pictures != first.pictures and other.digest != first.digest
