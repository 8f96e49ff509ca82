"""Folders as people, systems and tools leave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibration.samples._listing import Listing, list_images
from edgevit.core.errors import InputError
from edgevit.core.plugins import Role


def fill(root: Path, *names: str) -> None:
    """An image where the name ends in .png, else one byte."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".png"):
            Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(root / name)
        else:
            (root / name).write_bytes(b"x")


def found(listing: Listing) -> dict[str, list[str]]:
    return {name: [path.name for path in paths] for name, paths in listing.classes}


PLAIN = {"cat": ["1.png", "2.png"], "dog": ["1.png", "2.png"]}
IMAGES = tuple(f"{name}/{number}.png" for name in PLAIN for number in (1, 2))


@pytest.mark.parametrize(
    "left",
    [
        ".ipynb_checkpoints/1-checkpoint.png",
        "cat/.ipynb_checkpoints/1-checkpoint.png",
        ".DS_Store",
        "cat/Thumbs.db",
        "dog/desktop.ini",
        "__MACOSX/cat/._1.png",
        "cat/._1.png",
        "@eaDir/cat/1.png",
        "README.txt",
        "labels.csv",
        "cat/annotations.json",
        ".git/config",
    ],
)
def test_what_is_no_image_is_left_out_and_named(left: str, tmp_path: Path) -> None:
    fill(tmp_path, *IMAGES, left)
    listing = list_images(str(tmp_path), "evaluate")
    assert found(listing) == PLAIN
    shown = [part for part in (*Path(left).parents, Path(left)) if str(part) != "."]
    assert len(listing.notes) == 1 and listing.notes[0].startswith(
        f"{tmp_path}: what is no image was left out: "
    )
    assert any(str(part) in listing.notes[0] for part in shown)


def test_nothing_is_noted_where_there_is_nothing_to_note(tmp_path: Path) -> None:
    fill(tmp_path, *IMAGES)
    assert list_images(str(tmp_path), "evaluate").notes == ()


def test_a_few_images_beside_the_class_folders_are_left_out_with_a_note(tmp_path: Path) -> None:
    fill(tmp_path, *IMAGES, "contact sheet.png")
    listing = list_images(str(tmp_path), "evaluate")
    assert found(listing) == PLAIN
    assert listing.notes == (f"{tmp_path}: images beside the class folders are left out: contact sheet.png",)


def test_as_many_images_beside_folders_as_in_them_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "b.png", "thumbs/a.png")
    with pytest.raises(InputError, match="1 images in folders and also 2 beside them"):
        list_images(str(tmp_path), "evaluate")


def test_a_folder_without_images_beside_images_is_no_class(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "b.png", "labels/a.txt", "metadata.csv")
    listing = list_images(str(tmp_path), "evaluate")
    assert [path.name for path in listing.loose] == ["a.png", "b.png"] and not listing.classes
    assert "labels/" in listing.notes[0] and listing.table == tmp_path / "metadata.csv"


def test_an_empty_class_folder_is_listed(tmp_path: Path) -> None:
    fill(tmp_path, *IMAGES)
    (tmp_path / "background").mkdir()
    assert found(list_images(str(tmp_path), "evaluate")) == {"background": [], **PLAIN}


def test_an_image_by_its_content_counts_whatever_its_name(tmp_path: Path) -> None:
    fill(tmp_path, *IMAGES, "cat/notes.txt")
    (tmp_path / "cat" / "1.png").rename(tmp_path / "cat" / "n02123045_1")
    assert found(list_images(str(tmp_path), "evaluate"))["cat"] == ["2.png", "n02123045_1"]


SPLITS = tuple(f"{split}/{name}" for split in ("train", "val", "test") for name in IMAGES)


@pytest.mark.parametrize(("role", "chosen"), [("calibrate", "train"), ("evaluate", "val")])
def test_of_splits_each_role_takes_its_own_and_says_so(role: Role, chosen: str, tmp_path: Path) -> None:
    fill(tmp_path, *SPLITS, "data.yaml")
    listing = list_images(str(tmp_path), role)
    assert (
        found(listing) == PLAIN
        and listing.path == f"{tmp_path}/{chosen}"
        and listing.root == tmp_path / chosen
    )
    assert listing.notes == (f"{tmp_path} holds the splits test, train, val: {chosen} is taken",)


@pytest.mark.parametrize(
    ("names", "role", "chosen"),
    [
        (("Train", "Validation"), "evaluate", "Validation"),
        (("train", "test"), "evaluate", "test"),
        (("training", "testing"), "calibrate", "training"),
        (("train", "val", "valid"), "evaluate", None),
        (("val", "test"), "calibrate", None),
        (("train",), "evaluate", None),
        (("val",), "evaluate", "val"),
    ],
)
def test_a_split_is_taken_only_where_one_is_meant(
    names: tuple[str, ...], role: Role, chosen: str | None, tmp_path: Path
) -> None:
    fill(tmp_path, *(f"{split}/{name}" for split in names for name in IMAGES))
    if chosen is None:
        with pytest.raises(InputError, match="which one to .* is not clear") as caught:
            list_images(str(tmp_path), role)
        assert f"--{role} {tmp_path}/" in caught.value.hint
    else:
        assert list_images(str(tmp_path), role).root == tmp_path / chosen


def test_classes_that_are_called_like_splits_are_classes(tmp_path: Path) -> None:
    fill(tmp_path, "train/1.png", "test/1.png")
    listing = list_images(str(tmp_path), "evaluate", lambda name: name in ("train", "test", "bus"))
    assert found(listing) == {"test": ["1.png"], "train": ["1.png"]}


def test_folders_within_one_folder_are_the_classes(tmp_path: Path) -> None:
    fill(tmp_path, *(f"pets/data/{split}" for split in SPLITS), "pets/README.md", "__MACOSX/pets/._data")
    listing = list_images(str(tmp_path), "evaluate")
    assert found(listing) == PLAIN and listing.root == tmp_path / "pets" / "data" / "val"
    assert [note.partition(":")[0] for note in listing.notes] == [
        f"{tmp_path} holds one folder, whose folders are taken for the classes",
        f"{tmp_path}/pets holds one folder, whose folders are taken for the classes",
        f"{tmp_path}/pets/data holds the splits test, train, val",
    ]


def test_one_class_folder_is_a_class(tmp_path: Path) -> None:
    fill(tmp_path, "dog/1.png", "dog/more/2.png")
    assert found(list_images(str(tmp_path), "evaluate")) == {"dog": ["1.png", "2.png"]}


def test_nothing_but_empty_folders_is_said(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    fill(tmp_path, "dog/notes.txt")
    with pytest.raises(InputError, match="no images: its 2 folders are empty"):
        list_images(str(tmp_path), "evaluate")
