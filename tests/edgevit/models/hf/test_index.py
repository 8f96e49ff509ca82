from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgevit.core.errors import InputError
from edgevit.core.plugins import LoadRequest
from edgevit.models import hf
from edgevit.models._repository import folder_files


@pytest.mark.parametrize(
    ("weight_map", "words"),
    [
        ({"a": "x" * 6000}, "names the file 'x{80}', which is not beside it"),  # longer than any name may be
        ({"a": "b\0"}, "which is not beside it"),
        ({"a": "../w.safetensors"}, "which is not beside it"),
        ({"a": "\ud800"}, "which is not beside it"),
        ([1], "no weight_map"),
        (None, "no weight_map"),
    ],
)
def test_an_index_that_leads_nowhere_is_an_input_error(
    weight_map: object, words: str, tmp_path: Path
) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"")
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    asked = LoadRequest(source="hf:hf", argument="hf")
    with pytest.raises(InputError, match=words):
        hf._contents(asked, folder_files(tmp_path / "hf"))
