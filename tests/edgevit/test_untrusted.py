"""Files that somebody made to harm: one sentence without control characters, exit code 2, no trace in the parent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from edgevit import cli

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u200b"
ESCAPED = r"\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u200b"
MANIFEST: dict[str, Any] = {
    "schema_version": 2,
    "created_by": "edgevit 0.1.0",
    "files": [],
    "model": {"name": "m", "source": "demo", "weights_sha256": "0"},
}


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    out.encode(), err.encode()
    assert "Traceback" not in err
    assert not set(out + err) & set("\x1b\x07\x9b\u202e\u200b")
    return int(left.value.code or 0), out, err


def bundle(folder: Path, content: str) -> Path:
    (folder / "manifest.json").write_text(content)
    return folder


SURROGATE = {"path": "\ud800", "sha256": [], "size_bytes": 1}


@pytest.mark.parametrize(
    "content",
    [
        *(
            "[" * 100_000,
            '{"a":' * 3000 + "1" + "}" * 3000,
            "1" * 6000,
            '{"schema_version": ' + "1" * 6000 + "}",
        ),
        *(
            "",
            "[]",
            "{}",
            json.dumps({**MANIFEST, "files": 7}),
            json.dumps({**MANIFEST, "files": [SURROGATE]}),
        ),
    ],
)
def test_a_manifest_made_to_harm_is_one_sentence(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "verify", bundle(tmp_path, content))
    assert code == 2 and out == "" and err.startswith("error: ") and len(err) < 600


def test_names_in_a_manifest_are_shown_escaped_and_kept_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"path": HOSTILE + "\ud800", "sha256": "0" * 64, "size_bytes": 1}
    bundle(tmp_path, json.dumps({**MANIFEST, "files": [entry]}))
    code, out, _ = run(capsys, "verify", tmp_path)
    assert code == 1 and ESCAPED in "".join(out.split("\n")) and r"\ud800" in out
    code, out, _ = run(capsys, "verify", tmp_path, "--json")
    assert code == 1 and f"{HOSTILE}\ud800 is missing" in json.loads(out)["differences"]


def test_a_name_of_bytes_that_are_no_text_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b[2J"))
    folder.mkdir()
    bundle(folder, json.dumps(MANIFEST))
    code, out, _ = run(capsys, "verify", folder)
    assert code == 0 and r"\udcff\x1b[2J" in "".join(out.split("\n"))
    code, out, _ = run(capsys, "verify", folder, "--json")
    assert code == 0 and json.loads(out)["bundle"] == str(folder)
    code, _, err = run(capsys, "verify", folder / "gone")
    assert code == 2 and r"\udcff\x1b[2J" in err
    (folder / "m.onnx").write_bytes(b"")
    code, _, err = run(capsys, "inspect", folder / "m.onnx")
    assert code == 2 and r"\udcff\x1b[2J/m.onnx is not valid Unicode" in err
    code, _, err = run(capsys, "convert", "demo", "--dry-run", "-o", folder / "new")
    assert code == 2 and r"\udcff\x1b[2J/new is not valid Unicode" in err and not (folder / "new").exists()


@pytest.mark.parametrize(
    "content",
    [
        *("a = " + "[" * 2000, "seed = " + "1" * 6000, "seed = 0x" + "f" * 6000),
        *('model = "\\u001b[2J\\u202e"', '"\\u001b[2J\\u202e" = 1', 'to = ["\\u001b[2J\\u202e"]'),
        *(
            f'model = "demo"\n{key} = "a\\u0000b"'
            for key in ("plan", "evaluate", "output", "labels", "weights")
        ),
    ],
)
def test_a_recipe_made_to_harm_is_one_sentence(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.toml").write_text(content)
    code, out, err = run(capsys, "convert", "--recipe", tmp_path / "r.toml", "--dry-run")
    assert code == 2 and out == "" and err.count("error: ") == 1 and len(err) < 900


def test_a_path_that_no_recipe_can_hold_is_said_before_it_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "r.toml"
    code, _, err = run(capsys, "convert", "demo", "--dry-run", "--save-recipe", saved, "-o", "out\udcff")
    assert code == 2 and r"out\udcff" in err and not saved.exists()


def test_names_in_a_converted_file_reach_nobody_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx
    from onnx import TensorProto, helper

    names = [HOSTILE + end for end in ("in", "out")]
    graph = helper.make_graph(
        [helper.make_node("Relu", names[:1], names[1:], name=HOSTILE)],
        HOSTILE,
        *([helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 2, 2])] for name in names),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model.producer_name = HOSTILE
    helper.set_model_props(model, {"edgevit.labels": json.dumps([HOSTILE, "\ud800"]), HOSTILE: HOSTILE})
    onnx.save(model, tmp_path / "m.onnx")
    code, out, _ = run(capsys, "inspect", tmp_path / "m.onnx")
    assert code == 0 and f"{ESCAPED}in float32" in out and rf"2: {ESCAPED} | \ud800" in out
    code, out, _ = run(capsys, "inspect", tmp_path / "m.onnx", "--json")
    data = json.loads(out)
    assert data["inputs"][0]["name"] == names[0] and data["labels"] == [HOSTILE, "\ud800"]
    assert data["metadata"]["producer"] == HOSTILE == data["metadata"][HOSTILE]
