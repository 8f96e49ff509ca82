"""Folders of images."""

from __future__ import annotations

import os
import struct
import unicodedata
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from calibration.samples.folder import SAMPLES
from edgevit.core.errors import InputError
from edgevit.core.plugins import Head, Role, Samples

Form = Literal["NFC", "NFD"]
LABELS = ("cat", "dog", "polar bear, ice bear")


def save(path: Path, value: int = 0, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(path, **options)


def opened(
    text: str, labels: tuple[str, ...] = (), classes: int | None = None, role: Role = "evaluate"
) -> Samples:
    return SAMPLES.open(text, Head(labels, classes or len(labels) or None), role)


def test_class_folders_are_matched_by_name_synonym_and_spelling(tmp_path: Path) -> None:
    for name in ("dog/a.png", "Cat/b.jpg", "ice_bear/deep/c.bmp", "ice_bear/.hidden", ".git/x.png"):
        save(tmp_path / name, format="png")
    samples = opened(str(tmp_path), LABELS)
    assert dict(zip(samples.names, samples.labels or (), strict=True)) == {
        "Cat/b.jpg": 0, "dog/a.png": 1, "ice_bear/deep/c.bmp": 2,
    }  # fmt: skip
    assert samples.warnings == (f"{tmp_path}: what is no image was left out: .git/, ice_bear/.hidden",)


def test_synsets_of_imagenet_are_matched(tmp_path: Path) -> None:
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    labels = tuple(info.index_to_description(index) for index in range(1000))
    for synset in ("n01440764", info.index_to_label_name(777)):
        save(tmp_path / synset / "a.png")
    assert opened(str(tmp_path), labels).labels == (0, 777)


def test_a_folder_that_is_no_label_is_named_with_the_nearest(tmp_path: Path) -> None:
    save(tmp_path / "dogg" / "a.png")
    with pytest.raises(InputError, match="'dogg'") as caught:
        opened(str(tmp_path), LABELS)
    assert "did you mean dog" in caught.value.hint


def test_a_name_of_two_classes_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "crane" / "a.png")
    with pytest.raises(InputError, match="several"):
        opened(str(tmp_path), ("crane", "crane"))


def test_without_labels_folders_are_numbered_in_sorted_order_with_a_warning(tmp_path: Path) -> None:
    save(tmp_path / "b" / "x.png")
    save(tmp_path / "a" / "y.png")
    samples = opened(str(tmp_path), ())
    assert samples.names == ("a/y.png", "b/x.png") and samples.labels == (0, 1)
    assert "sorted order" in samples.warnings[0]


def test_a_flat_folder_has_no_labels_and_reads_pixels(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 3)
    samples = opened(str(tmp_path), LABELS)
    assert samples.labels is None
    np.testing.assert_array_equal(samples.read(0).pixels, np.asarray(Image.open(tmp_path / "a.png")))


def test_the_digest_depends_on_bytes_and_names_alone(tmp_path: Path) -> None:
    save(tmp_path / "a" / "x.png", 1)
    first = opened(str(tmp_path), ("a", "b")).digest()
    assert first == opened(str(tmp_path), ("a", "b")).digest() == opened(str(tmp_path), ("b", "a")).digest()
    save(tmp_path / "a" / "x.png", 2)
    assert first != opened(str(tmp_path), ("a", "b")).digest()
    save(tmp_path / "a" / "x.png", 1)
    (tmp_path / "a" / "x.png").rename(tmp_path / "a" / "y.png")
    assert first != opened(str(tmp_path), ("a", "b")).digest()


def test_a_missing_path_an_empty_folder_and_a_mixed_one_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        opened(str(tmp_path / "nowhere"), ())
    with pytest.raises(InputError, match="no images"):
        opened(str(tmp_path), ())
    (tmp_path / "cat").mkdir()
    with pytest.raises(InputError, match="no images"):
        opened(str(tmp_path), LABELS)
    save(tmp_path / "cat" / "one.png")
    save(tmp_path / "loose.png")
    with pytest.raises(InputError, match=r"loose\.png"):
        opened(str(tmp_path), LABELS)


def test_a_truncated_jpeg_is_named(tmp_path: Path) -> None:
    save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.jpg.*damaged"):
        opened(str(tmp_path), ()).read(0)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a" + bytes(50)]
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.png").write_bytes(content)
    with pytest.raises(InputError, match=r"notes\.png"):
        opened(str(tmp_path), ()).read(0)


@pytest.mark.parametrize("side", [12_000, 30_000])
def test_a_decompression_bomb_is_refused_before_it_unfolds(tmp_path: Path, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(png)
    with pytest.raises(InputError, match=r"bomb\.png.*decompress"):
        opened(str(tmp_path), ()).read(0)


def test_a_file_deleted_meanwhile_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    samples = opened(str(tmp_path), ())
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"a\.png"):
        samples.read(0)


def test_a_name_of_bytes_that_are_no_text_counts_like_any_other(tmp_path: Path) -> None:
    names = [os.fsdecode(name) for name in (b"a\xff.png", b"a\xfe.png")]
    digests = set()
    for name in names:
        folder = tmp_path / str(len(digests))
        save(folder / name)
        samples = opened(str(folder), ())
        assert samples.names == (name,) and samples.read(0).pixels.shape == (40, 60, 3)
        digests.add(samples.digest())
    assert len(digests) == 2


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD"])
def test_names_from_a_mac_match_however_their_letters_are_composed(
    form: Form, other: Form, tmp_path: Path
) -> None:
    names = ("고양이", "강아지", "Äpfel")
    for name in names:
        save(tmp_path / unicodedata.normalize(other, name) / "a.png")
    samples = opened(str(tmp_path), tuple(unicodedata.normalize(form, name) for name in names))
    found = dict(zip(samples.names, samples.labels or (), strict=True))
    assert {unicodedata.normalize("NFC", path): index for path, index in found.items()} == {
        "고양이/a.png": 0,
        "강아지/a.png": 1,
        "Äpfel/a.png": 2,
    }


def test_imagenette_has_synsets_for_folders_and_short_names_for_labels(tmp_path: Path) -> None:
    for synset in ("n01440764", "n02102040", "n03000684"):
        save(tmp_path / synset / "a.png")
    assert opened(str(tmp_path), ("chain saw", "tench", "English springer")).labels == (1, 2, 0)


def test_folders_are_held_against_the_head_where_there_are_no_labels(tmp_path: Path) -> None:
    for name in ("cat", "dog", "fox"):
        save(tmp_path / name / "a.png")
    assert opened(str(tmp_path), classes=3).labels == (0, 1, 2)
    for classes in (2, 4, 1000):
        with pytest.raises(
            InputError, match=f"3 class folders with images, but the model has {classes} classes"
        ) as caught:
            opened(str(tmp_path), classes=classes)
        assert "--labels" in caught.value.hint


def test_an_empty_folder_is_a_class_if_the_model_has_one_more(tmp_path: Path) -> None:
    for name in ("cat", "fox"):
        save(tmp_path / name / "a.png")
    (tmp_path / "dog").mkdir()
    three, two = opened(str(tmp_path), classes=3), opened(str(tmp_path), classes=2)
    assert (three.labels, two.labels) == ((0, 2), (0, 1))
    for samples in (three, two, opened(str(tmp_path), ("cat", "dog", "fox"))):
        assert f"{tmp_path}: no images in the class folders dog" in samples.warnings


def test_classes_without_any_image_are_said(tmp_path: Path) -> None:
    save(tmp_path / "dog" / "a.png")
    samples = opened(str(tmp_path), ("cat", "dog", "fox"))
    assert samples.labels == (1,)
    assert samples.warnings == (f"{tmp_path}: no images of 2 of 3 classes: cat, fox",)


def test_numbers_that_sort_in_two_ways_are_refused(tmp_path: Path) -> None:
    """torchvision's ImageFolder sorts 0, 1, 10, 11, 2; timm's 0, 1, 2."""
    for number in range(12):
        save(tmp_path / str(number) / "a.png")
    with pytest.raises(
        InputError, match=r"as text \(0, 1, 10, 11, 2: torchvision.*as numbers \(0, 1, 2, 3, 4: timm"
    ):
        opened(str(tmp_path), classes=12)
    as_numbers = opened(str(tmp_path), tuple(map(str, range(12))))
    assert as_numbers.labels == (0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9)  # the files are listed as text


@pytest.mark.parametrize("rows", [("fox", "cat", "dog"), ("2", "0", "1")])
def test_classes_in_a_metadata_csv_as_hugging_face_has_them(rows: tuple[str, ...], tmp_path: Path) -> None:
    lines = [f"{index}.png,x,{row}" for index, row in enumerate(rows)]
    for index in range(3):
        save(tmp_path / "val" / f"{index}.png")
    (tmp_path / "val" / "metadata.csv").write_text(
        "file_name,text,label\n" + "\n".join(reversed(lines)) + "\n"
    )
    samples = opened(str(tmp_path), ("cat", "dog", "fox"))
    assert samples.labels == (2, 0, 1)
    assert f"{tmp_path}/val: the classes are from metadata.csv" in samples.warnings
    assert SAMPLES.survey(str(tmp_path), "evaluate").labelled
    with pytest.raises(InputError, match="'fox' is none of|run from 0 to 2, but"):
        opened(str(tmp_path), ("cat", "dog"))
    save(tmp_path / "val" / "more.png")
    with pytest.raises(InputError, match=r"metadata\.csv has no label for more\.png"):
        opened(str(tmp_path), ("cat", "dog", "fox"))


def test_a_metadata_csv_has_a_column_for_each_head(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    table = tmp_path / "metadata.csv"
    table.write_text("file_name,labels_age,label,label_lit\nb.png,old,fox,1\na.png,young,cat,0\n")
    others = (Head(("young", "old"), 2, "age"), Head(("dark", "lit"), 2, "lit"), Head(("x", "y"), 2, "other"))
    head = Head(("cat", "dog", "fox"), 3, "kind", others)
    samples = SAMPLES.open(str(tmp_path), head, "evaluate")
    assert samples.labels == (0, 2) and samples.head_labels == {"age": (0, 1), "lit": (0, 1)}
    assert f"{tmp_path}: the classes of kind, age, lit are from metadata.csv" in samples.warnings
    digest = samples.digest()
    table.write_text("file_name,labels_age,labels_kind\nb.png,old,fox\na.png,old,cat\n")
    samples = SAMPLES.open(str(tmp_path), head, "evaluate")
    assert samples.labels == (0, 2) and samples.head_labels == {"age": (1, 1)} and samples.digest() == digest
    table.write_text("file_name,labels_age\nb.png,old\na.png,young\n")
    samples = SAMPLES.open(str(tmp_path), head, "evaluate")
    assert samples.labels is None and samples.head_labels == {"age": (0, 1)} and samples.labelled
    assert SAMPLES.survey(str(tmp_path), "evaluate").labelled
    table.write_text("file_name,labels_age\nb.png,old\na.png,\n")
    with pytest.raises(InputError, match=r"metadata\.csv has no labels_age for a\.png"):
        SAMPLES.open(str(tmp_path), head, "evaluate")
    table.write_text("file_name,labels_age\nb.png,old\na.png,ancient\n")
    with pytest.raises(InputError, match="'ancient' is none of"):
        SAMPLES.open(str(tmp_path), head, "evaluate")


def test_a_metadata_csv_beside_class_folders_says_the_other_heads(tmp_path: Path) -> None:
    for name in ("cat/a.png", "cat/b.png", "dog/a.png"):
        save(tmp_path / name)
    table = tmp_path / "metadata.csv"
    table.write_text(
        "file_name,label,labels_age\ndog/a.png,cat,old\ncat/b.png,cat,young\ncat/a.png,cat,old\n"
    )
    head = Head(("cat", "dog"), 2, "kind", (Head(("young", "old"), 2, "age"), Head(("x", "y"), 2, "other")))
    samples = SAMPLES.open(str(tmp_path), head, "evaluate")
    assert samples.labels == (0, 0, 1)  # by the folders, whatever the table says of them
    assert samples.head_labels == {"age": (1, 0, 1)}
    told = "the classes of age are from metadata.csv; the folders say the classes"
    assert f"{tmp_path}: {told}" in samples.warnings
    alone = opened(str(tmp_path), ("cat", "dog"))
    assert alone.labels == (0, 0, 1) and not alone.head_labels
    assert f"{tmp_path}: metadata.csv was left out; the folders say the classes" in alone.warnings
    save(tmp_path / "dog" / "b.png")
    with pytest.raises(InputError, match=r"metadata\.csv has no labels_age for dog/b\.png"):
        SAMPLES.open(str(tmp_path), head, "evaluate")


def test_a_table_without_classes_is_no_label(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    for content in (b"file_name,text\na.png,a cat\n", b"one,two\n", b""):
        (tmp_path / "metadata.csv").write_bytes(content)
        assert opened(str(tmp_path), ("cat", "dog")).labels is None
    (tmp_path / "metadata.csv").write_bytes(b"file_name,label\na.png,\xff\n")
    with pytest.raises(InputError, match=r"metadata\.csv"):
        opened(str(tmp_path), ("cat", "dog"))


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (("0", "1", "2"), (0, 1, 2)),
        (("00", "02"), (0, 2)),
        (("dog", "0"), None),
        (("1", "2", "3"), None),
        (("0", "3"), None),
    ],
)
def test_folders_that_are_called_by_the_indices_of_labels(
    folders: tuple[str, ...], classes: tuple[int, ...] | None, tmp_path: Path
) -> None:
    for name in folders:
        save(tmp_path / name / "a.png")
    if classes is None:
        with pytest.raises(InputError, match="'0' is none of|classes are 0 to 2, cat to polar bear"):
            opened(str(tmp_path), LABELS)
    else:
        samples = opened(str(tmp_path), LABELS)
        assert samples.labels == classes and "0 is cat)" in samples.warnings[0]


def test_indices_of_labels_that_sort_in_two_ways_are_refused(tmp_path: Path) -> None:
    for number in range(11):
        save(tmp_path / str(number) / "a.png")
    with pytest.raises(InputError, match="as text .* or as numbers"):
        opened(str(tmp_path), tuple("abcdefghijk"))
