"""Files of the user's: scripts that read a command line, modules that are made already, factories with arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgevit.core.errors import InputError, StepError, UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import TorchModel
from edgevit.models.python import SOURCE

IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
NET = """
import torch
class Net(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.body, self.head = torch.nn.Conv2d(3, width, 8, 8), torch.nn.Linear(width, 3)
    def forward(self, image):
        return self.head(self.body(image).flatten(1))
    @classmethod
    def wide(cls): return cls(16)
"""
AT_IMPORT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
arguments = parser.parse_args()
"""
WITH_DEFAULTS = """
import argparse, sys
parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=6)
arguments = parser.parse_args()
assert len(sys.argv) == 1 and sys.argv[0].endswith("net.py")
def make(): return Net(arguments.width)
"""
IN_FACTORY = """
import sys

def net():
    sys.exit("no weights")
"""


def load(folder: Path, text: str, name: str, **given: Any) -> TorchModel:
    (folder / "net.py").write_text(text)
    argument = f"{folder / 'net.py'}:{name}"
    given = {"preprocess": {"normalize": "imagenet"}, "image_size": (8, 8), **given}
    return SOURCE.load(LoadRequest(source=f"python:{argument}", argument=argument, **given))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            AT_IMPORT,
            r"importing .* ended the program at .*net.py:5 \(SystemExit: 2\): argparse: .* required: --data",
        ),
        (IN_FACTORY, r"net of .* ended the program at .*net.py:5 \(SystemExit: no weights\)$"),
        ("import sys\nsys.exit()", r"importing .* ended the program at .*net.py:2 \(SystemExit: None\)$"),
    ],
)
def test_a_script_that_leaves_is_told_as_one(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=words) as caught:
        load(tmp_path, text, "net")
    assert "__main__" in caught.value.hint


def test_a_script_that_reads_its_command_line_gets_its_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["edgevit", "convert", "--width", "99"])
    model = load(tmp_path, NET + WITH_DEFAULTS, "make")
    assert model.module.get_parameter("head.weight").shape == (3, 6)


@pytest.mark.parametrize(
    ("made", "name", "width"),
    [
        ("model = Net(5)", "model", 5),
        ("net = torch.nn.DataParallel(torch.compile(Net(5).half()))", "net", 5),
        ("", "Net", 4),
        ("", "Net.wide", 16),
        ("def make(width, /, *rest, scale: float = 1.0): return Net(width)", "make", 7),
        ("def make(**options): return Net(**options)", "make", 7),
        ("from functools import partial\nmake = partial(Net, 9)", "make", 9),
        ("class Factory:\n    def __call__(self): return Net(3)\nmake = Factory()", "make", 3),
    ],
)
def test_modules_and_factories_of_every_form_are_taken(
    made: str, name: str, width: int, tmp_path: Path
) -> None:
    """The weights are their own: the file is run again here, and PyTorch called by hand."""
    arguments = {"width": "7"} if width == 7 else {}
    text = f"{NET}torch.manual_seed(0)\n{made}\n"
    torch.manual_seed(1)
    model = load(tmp_path, text, name, model_args=arguments)
    assert model.module.get_parameter("head.weight").shape == (3, width)
    assert next(model.module.parameters()).dtype == torch.float32
    found = model.module(IMAGE)
    body = torch.nn.functional.conv2d(IMAGE, *(model.module.get_parameter(f"body.{n}") for n in ("weight", "bias")),
                                      stride=8)  # fmt: skip
    head = (model.module.get_parameter(f"head.{n}") for n in ("weight", "bias"))
    torch.testing.assert_close(found, torch.nn.functional.linear(body.flatten(1), *head))


PLAIN = "def net(depth, width=4):\n    raise RuntimeError('was called')\n"


@pytest.mark.parametrize(
    ("given", "words", "hint"),
    [
        ({}, r"net of .* needs depth: its signature is net\(depth, width=4\)", "--model-arg depth=VALUE"),
        ({"num_classes": 7}, r"has no argument 'num_classes' \(--num-classes\)", "known: depth, width"),
        (
            {"model_args": {"depth": "1", "widht": "4"}},
            r"has no argument 'widht' \(--model-arg widht\)",
            "mean width",
        ),
    ],
)
def test_arguments_that_a_factory_does_not_take_are_wrong_usage(
    given: dict[str, Any], words: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        load(tmp_path, PLAIN, "net", **given)
    assert hint in caught.value.hint


def test_arguments_are_typed_as_python_writes_them(tmp_path: Path) -> None:
    text = f"{NET}def make(a, b, c, d, e, f):\n    assert (a, b, c, d, e, f) == (2, 0.5, None, 'avg', [1, (2,)], "
    text += "True)\n    return Net()\n"
    given = {"a": "2", "b": "5e-1", "c": "None", "d": "avg", "e": "[1, (2,)]", "f": "true"}
    assert load(tmp_path, text, "make", model_args=given).spec.outputs[0].shape == (1, 3)


@pytest.mark.parametrize(
    ("made", "given", "kind", "words", "hint"),
    [
        ("made = Net()", {"num_classes": 3}, UsageError, "made already, and takes no num_classes", "factory"),
        ("made = {'a': 1}", {}, UsageError, "is of type dict: neither a module nor a factory", "nn.Module"),
        (
            "def made(): return Net(), 'transform'",
            {},
            InputError,
            "gives tuple, not a",
            "its element 0 is one",
        ),
        (
            "def made(): return {'net': Net()}",
            {},
            InputError,
            "gives dict, not a",
            "its element 'net' is one",
        ),
        ("def made(): return Net", {}, InputError, "gives type, not a", "Net(...) with its weights"),
        ("def made(): return Net().state_dict()", {}, InputError, "gives OrderedDict", "load_state_dict"),
        ("def made(): return torch.jit.script(Net())", {}, InputError, "is TorchScript", "scripted"),
        (
            "def made():\n    with torch.device('meta'): return Net()",
            {},
            InputError,
            "without values",
            "load its",
        ),
        (
            "def made(): raise KeyError('boom')",
            {},
            StepError,
            "made of .* failed at .*net.py:11: KeyError",
            "",
        ),
        ("from .layers import Block", {}, UsageError, "relative import", "python:PACKAGE.net:FACTORY"),
        ("import no_such_package", {}, UsageError, "net.py:11: No module", "install no_such_package"),
        ("def build(): return Net()", {}, UsageError, "has no 'made'", "build"),
    ],
)
def test_what_is_no_module_is_told_with_a_way_out(
    made: str, given: dict[str, Any], kind: type[Exception], words: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=words) as caught:
        load(tmp_path, f"{NET}{made}\n", "made", **given)
    assert hint in caught.value.hint  # type: ignore[attr-defined]
