"""Labels, folders and image files of many kinds, through the command line: each is read as it is meant."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from tests._command import edgevit, without_progress
from tests.calibration._png import png
from tests.edgevit import _colours

# The names of a table in no order, one with a comma, one in letters that a Mac takes apart.
TABLE = '\ufeffid,class,note\n2,"blau, hell",x\n0,rot,\n3,grau,\n1,grün,y\n'
NAMES = ("rot", "grün", "blau, hell", "grau")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The net with its weights, labels as a table, and one image of each class, each a file of another kind."""
    folder = tmp_path_factory.mktemp("labels")
    _colours.write(folder)
    save_file(_colours.module().state_dict(), folder / "w.safetensors")
    (folder / "classes.csv").write_text(TABLE, "utf-8")
    colours = dict(zip(NAMES, _colours.COLOURS.values(), strict=True))
    photos = folder / "photos" / "export"
    where = {name: photos / unicodedata.normalize("NFD", name) for name in NAMES}
    for path in (*where.values(), photos / ".cache", folder / "photos" / "__MACOSX"):
        path.mkdir(parents=True)
    frames = [Image.new("RGB", (20, 16), colours[name]) for name in ("rot", "grün")]
    frames[0].save(where["rot"] / "moving.gif", save_all=True, append_images=frames[1:])
    deep = np.broadcast_to(np.array(colours["grün"], ">u2") * 257, (16, 16, 3))
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    (where["grün"] / "deep.png").write_bytes(png(16, 16, 16, 2, rows))
    ink = Image.new("CMYK", (16, 24), tuple(255 - value for value in (*colours["blau, hell"], 255)))
    ink.save(where["blau, hell"] / "ink.tif")
    Image.new("L", (16, 16), 128).save(where["grau"] / "plain.jpg")
    frames[1].save(photos / ".cache" / "thumbnail.png")
    for noise in (where["rot"] / "Thumbs.db", photos / "notes.txt", photos / ".DS_Store"):
        noise.write_bytes(b"x")
    return folder


def test_a_table_of_names_and_images_of_every_kind_give_what_the_model_knows(place: Path) -> None:
    """Another order of the names, a second frame or unread ink would cost a class of the four."""
    given = ("--labels", place / "classes.csv", "--evaluate", place / "photos")
    report = _colours.validated(place, place / "w.safetensors", *given)
    assert report["reference"]["top1"] == 100 and report["model"]["labels"] == 4
    samples = report["samples"]["evaluate"]
    assert (samples["count"], samples["path"]) == (4, str(place / "photos" / "export"))
    told = " ".join(report["warnings"])
    for words in ("several frames", "moving.gif", "16 bits", "deep.png", "Thumbs.db", "notes.txt", ".cache"):
        assert words in told, told


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gap.json", b'{"0": "cat", "2": "dog", "3": "cow", "4": "fox"}', ("gap.json", "not each once from 0 to 3")),
        ("korean.txt", "빨강\n초록\n파랑\n회색\n".encode("cp949"), ("korean.txt", "UTF-8", "iconv")),
        ("three.json", b'{"red": 0, "green": 1, "blue": 2}', ("3", "4")),
    ],
)  # fmt: skip
def test_labels_that_leave_a_doubt_are_refused(
    name: str, content: bytes, words: tuple[str, ...], place: Path
) -> None:
    (place / name).write_bytes(content)
    done = edgevit("inspect", *_colours.model(place), "--random-weights", "0", "--labels", place / name)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("error: ")
    assert [word for word in words if word not in done.stderr] == [], done.stderr


def test_an_image_that_is_not_read_is_refused_by_what_it_is(tmp_path: Path, place: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\xff\x4f\xff\x51\x00\x2f" + bytes(64))  # a codestream without its box
    given = (*_colours.model(place), "--random-weights", "0", "--evaluate", tmp_path, "--to", "onnx")
    done = edgevit("convert", *given, "--precision", "fp32", "--dry-run")
    assert done.returncode == 2 and without_progress(done.stderr).startswith("error: ")
    assert "a.png" in done.stderr and "JPEG 2000" in done.stderr, done.stderr
