"""Two models converted once, through the command line, for all tests of this folder."""

from __future__ import annotations

import pytest

from tests.edgevit.flows._converted import ASSETS, Converted, convert_all

# Two blocks are enough for every kind of operator, and convert in a tenth of the time of twelve.
VIT = """
import timm

def vit():
    return timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2, num_classes=10)
"""


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """The hybrid: the embedded demo for all targets; w8, a conversion of its own, is left to the ViT."""
    bundle = tmp_path_factory.mktemp("demo") / "bundle"
    return convert_all(bundle, "demo", precisions=("fp32", "fp16", "w8a8"))


@pytest.fixture(scope="session")
def vit_arguments(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A small ViT with random weights and the demo's classes and images."""
    folder = tmp_path_factory.mktemp("vit")
    (folder / "nets.py").write_text(VIT)
    source = f"python:{folder / 'nets.py'}:vit"
    flags = ("--random-weights", "3", "--image-size", "64", "--labels", str(ASSETS / "labels.txt"))
    return (source, *flags, "--calibrate", "demo", "--evaluate", "demo")


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory, vit_arguments: tuple[str, ...]) -> Converted:
    """The ViT for all targets at four precisions."""
    return convert_all(tmp_path_factory.mktemp("vit") / "bundle", *vit_arguments)


@pytest.fixture(params=["demo", "vit"])
def converted(request: pytest.FixtureRequest) -> Converted:
    """Each of the two."""
    found: Converted = request.getfixturevalue(request.param)
    return found
