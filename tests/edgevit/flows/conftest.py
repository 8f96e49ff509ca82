"""Two models converted once, through the command line, for all tests of this folder."""

from __future__ import annotations

import pytest

from tests.edgevit.flows import _hybrid
from tests.edgevit.flows._converted import Converted, convert_all

# Two blocks are enough for every kind of operator, and convert in a tenth of the time of twelve.
VIT = """
import timm

def vit():
    return timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2, num_classes=10)
"""


IMAGES = ("--calibrate", "demo", "--evaluate", "demo")


@pytest.fixture(scope="session")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """The hybrid for all targets; fp32 and w8 are left to the ViT."""
    bundle = tmp_path_factory.mktemp("hybrid") / "bundle"
    return convert_all(bundle, *_hybrid.MODEL, *_hybrid.LABELS, *IMAGES, precisions=("fp16", "w8a8"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """The whole of the model that the hybrid is a part of, as users convert it first."""
    return convert_all(tmp_path_factory.mktemp("demo") / "bundle", "demo", precisions=("fp16", "w8a8"))


@pytest.fixture(scope="session")
def vit_arguments(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A small ViT with random weights and the demo's classes and images."""
    folder = tmp_path_factory.mktemp("vit")
    (folder / "nets.py").write_text(VIT)
    source = f"python:{folder / 'nets.py'}:vit"
    flags = ("--random-weights", "3", "--image-size", "64", "--labels", str(_hybrid.ASSETS / "labels.txt"))
    return (source, *flags, *IMAGES)


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory, vit_arguments: tuple[str, ...]) -> Converted:
    """The ViT for all targets at four precisions."""
    return convert_all(tmp_path_factory.mktemp("vit") / "bundle", *vit_arguments)


@pytest.fixture(params=["hybrid", "vit", pytest.param("demo", marks=pytest.mark.family)])
def converted(request: pytest.FixtureRequest) -> Converted:
    """Each of them."""
    found: Converted = request.getfixturevalue(request.param)
    return found
