"""What the functions raise speaks of keywords, and the command line of flags."""

from __future__ import annotations

import pytest

import edgevit
from edgevit.api._wording import with_keywords

KEYWORDS = (
    "preprocess",
    "num_classes",
    "labels",
    "weights",
    "option",
    "prune",
    "to",
    "auto_float",
    "image_size",
)


@pytest.mark.parametrize(
    ("flags", "keywords"),
    [
        ("a head is made by --num-classes 37 and", "a head is made by num_classes=37 and"),
        ("give --weights FILE or --random-weights SEED", "give weights=FILE or --random-weights SEED"),
        ("as in `timm:NAME --weights out/net.pth`", "as in `timm:NAME weights=out/net.pth`"),
        ("add --image-size HEIGHTxWIDTH, and", "add image_size=HEIGHTxWIDTH, and"),
        ("--preprocess crop_pct=5: the value", "preprocess={'crop_pct': '5'}: the value"),
        (
            "say: --preprocess mean=R,G,B --preprocess std=R,G,B; add",
            "say: preprocess={'mean': 'R,G,B'} preprocess={'std': 'R,G,B'}; add",
        ),
        ("--preprocess normalize=-1..1 (or 0..1)", "preprocess={'normalize': '-1..1'} (or 0..1)"),
        ("--labels age=FILE or --labels lit=FILE", "labels={'age': 'FILE'} or labels={'lit': 'FILE'}"),
        ("with --option tflite.output=int8.", "with option={'tflite': {'output': 'int8'}}."),
        ("like --prune mlp=0.3", "like prune=[('mlp', 0.3)]"),
        ("leave tflite out of --to", "leave tflite out of `to`"),
        ("`--auto-float` needs", "`auto_float` needs"),
        ("--preprocess takes resize or crop_pct", "`preprocess` takes resize or crop_pct"),
        ("pip install --upgrade keras", "pip install --upgrade keras"),
        ("a word--to another", "a word--to another"),
    ],
)
def test_flags_become_keywords(flags: str, keywords: str) -> None:
    assert with_keywords(flags, KEYWORDS) == keywords


def test_what_a_function_raises_names_its_keywords() -> None:
    with pytest.raises(edgevit.UsageError) as raised:
        edgevit.convert("demo", to=["onnx"], precision=["fp32"], preprocess={"sharpen": "2"})
    assert "--" not in raised.value.message + raised.value.hint
    assert str(raised.value) == raised.value.message and "`preprocess`" in raised.value.message
