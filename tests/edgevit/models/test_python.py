"""Files of the user's that are scripts as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevit.core.errors import StepError
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
