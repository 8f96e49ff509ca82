"""Files of the user's that are scripts as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgevit.core.errors import StepError, UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.models.python import SOURCE

AT_IMPORT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
arguments = parser.parse_args([])

def net():
    return None
"""
IN_FACTORY = """
import sys

def net():
    sys.exit("no weights")
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (AT_IMPORT, "importing .* ended the program .sys.exit with 2."),
        (IN_FACTORY, "net of .* ended the program .sys.exit with 'no weights'."),
    ],
)
def test_a_script_that_leaves_is_told_as_one(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(text)
    argument = f"{tmp_path / 'train.py'}:net"
    request = LoadRequest(source=f"python:{argument}", argument=argument)
    with pytest.raises(StepError, match=words) as caught:
        SOURCE.load(request)
    assert "__main__" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"num_classes": 7}, r"net of .* takes \(depth, width=4\): missing a required argument: 'depth'"),
        ({"num_classes": 7, "model_args": {"depth": "1"}}, "unexpected keyword argument 'num_classes'"),
        ({"model_args": {"depth": "1", "widht": "4"}}, "unexpected keyword argument 'widht'"),
    ],
)
def test_arguments_that_a_factory_does_not_take_are_wrong_usage(
    given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    (tmp_path / "nets.py").write_text("def net(depth, width=4):\n    raise RuntimeError('was called')\n")
    argument = f"{tmp_path / 'nets.py'}:net"
    with pytest.raises(UsageError, match=words) as caught:
        SOURCE.load(LoadRequest(source=f"python:{argument}", argument=argument, **given))
    assert "--model-arg" in caught.value.hint and "--num-classes" in caught.value.hint
