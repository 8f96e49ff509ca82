"""What a folder holds: class folders or images, without what systems leave there; of splits, the one for a role."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calibration.kinds import HEAD, SUFFIXES, kind_of
from calibration.samples._metadata import NAME
from edgevit.core.disk.reading import reading
from edgevit.core.disk.regular import existing
from edgevit.core.errors import InputError
from edgevit.core.plugins import Role

HINT: Final = "give a folder of images or of class folders, a .npz with `images`, or demo"

# What systems put into folders without being asked: Windows, macOS' zip archives, Synology, Linux' disks.
_LEFT_BEHIND: Final = frozenset(
    (
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "__macosx",
        "__pycache__",
        "@eadir",
        "lost+found",
    )
)
_SPLITS: Final = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
# Which split a role takes, first the one that it is meant for.
_FOR: Final[dict[Role, tuple[str, ...]]] = {"calibrate": ("train",), "evaluate": ("val", "test")}
_NAMED: Final = 4
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class Listing:
    """The images of a folder.

    Attributes:
        path: what the user gave, with the parts of it that were chosen.
        classes: name and images of each class folder, sorted; an empty folder is one of them. None in a flat folder.
        loose: the images of a flat folder.
        notes: what was left out or chosen, one sentence each.
        table: `metadata.csv` beside the images or the class folders, if there is one.
    """

    path: str
    root: Path
    classes: tuple[tuple[str, tuple[Path, ...]], ...]
    loose: tuple[Path, ...]
    notes: tuple[str, ...]
    table: Path | None = None

    @property
    def images(self) -> int:
        """How many there are."""
        return len(self.loose) + sum(len(files) for _, files in self.classes)


def list_images(text: str, role: Role, is_class: Callable[[str], bool] = lambda name: False) -> Listing:
    """List the images of a folder, or of the one in it that a role takes or that holds them all.

    Args:
        is_class: whether a folder of that name is a class of the model, and no split.

    Raises:
        InputError: missing, no folder, no images, class folders beside at least as many images, or splits of which none
            is the one for the role.
    """
    root = existing(Path(text), "samples", HINT)
    if not root.is_dir():
        packed = root.suffix.lower() in (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar")
        raise InputError(f"samples {text} is not a folder", f"unpack it; {HINT}" if packed else HINT)
    with reading(root, "folder of images", HINT):
        path, root, notes = _chosen(text, root, role, is_class)
        return _listed(path, root, notes)


def _listed(path: str, root: Path, notes: list[str]) -> Listing:
    ignored: list[str] = []
    folders, files = _entries(root, ignored, root)
    loose = [file for file in files if _is_image(file)]
    others = [file.name for file in files if file not in loose]
    classes = [(folder.name, tuple(_images(folder, ignored, root))) for folder in folders]
    inside = sum(len(images) for _, images in classes)
    if loose and 0 < inside <= len(loose):
        raise InputError(
            f"{path} holds {inside} images in folders and also {len(loose)} beside them, such as {loose[0].name}",
            "move the images into class folders, or into a folder of their own",
        )
    if loose and inside:
        notes.append(f"{path}: images beside the class folders are left out: {_some(loose)}")
        loose = []
    if loose:
        ignored += [f"{name}/" for name, _ in classes]
        classes = []
    table = root / NAME if NAME in others else None
    ignored += [name for name in others if name != NAME]
    if ignored:
        notes.append(f"{path}: what is no image was left out: {some_of(sorted(ignored))}")
    if not loose and not inside:
        empty = f": its {len(classes)} folders are empty" if classes else ""
        raise InputError(f"{path} holds no images{empty}", HINT)
    return Listing(path, root, tuple(classes), tuple(loose), tuple(notes), table)


def _chosen(
    text: str, root: Path, role: Role, is_class: Callable[[str], bool]
) -> tuple[str, Path, list[str]]:
    """The folder within that holds the images of the role, and what has to be said about the choice."""
    path, notes = text.rstrip("/") or text, []
    for _ in range(_DEEPEST):
        folders, files = _entries(root, [], root)
        folders = [folder for folder in folders if _holds_images(folder)]
        if not folders or any(map(_is_image, files)) or all(is_class(folder.name) for folder in folders):
            break
        if _are_splits(folders):
            chosen = _split(folders, role, path)
            notes.append(f"{path} holds the splits {_some(folders)}: {chosen.name} is taken")
        elif len(folders) == 1 and _only_holds_folders(folders[0]):
            chosen = folders[0]
            notes.append(f"{path} holds one folder, whose folders are taken for the classes: {chosen.name}")
        else:
            break
        path, root = f"{path}/{chosen.name}", chosen
    return path, root, notes


def _are_splits(folders: Sequence[Path]) -> bool:
    """Whether they are train, val, test, or some of them."""
    return all(map(_split_of, folders))


def _split_of(folder: Path) -> str:
    return next((split for split, names in _SPLITS.items() if folder.name.casefold() in names), "")


def _split(folders: Sequence[Path], role: Role, path: str) -> Path:
    for split in _FOR[role]:
        found = [folder for folder in folders if _split_of(folder) == split]
        if len(found) == 1:
            return found[0]
        if found:
            break
    raise InputError(
        f"{path} holds the splits {_some(folders)}, and which one to {role} on is not clear",
        f"give one of them: --{role} {path}/{folders[0].name}",
    )


def _entries(folder: Path, ignored: list[str], root: Path) -> tuple[list[Path], list[Path]]:
    """Folders and files, sorted; the names of what is left behind go to `ignored`."""
    kept = []
    for entry in sorted(folder.iterdir()):
        if is_left_behind(entry.name):
            ignored.append(entry.relative_to(root).as_posix() + ("/" if entry.is_dir() else ""))
        else:
            kept.append(entry)
    return [e for e in kept if e.is_dir()], [e for e in kept if not e.is_dir()]


def _images(folder: Path, ignored: list[str], root: Path) -> list[Path]:
    """All images in a folder and the folders within, sorted."""
    found: list[Path] = []

    def fail(error: OSError) -> None:
        raise error

    for parent, inner, names in os.walk(folder, onerror=fail):
        left = [name for name in (*inner, *names) if is_left_behind(name)]
        inner[:] = [name for name in inner if name not in left]
        for name in names:
            path = Path(parent) / name
            if name not in left and _is_image(path):
                found.append(path)
            elif name not in left:
                left.append(name)
        ignored += [(Path(parent) / name).relative_to(root).as_posix() for name in left]
    return sorted(found)


def _holds_images(folder: Path) -> bool:
    for parent, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not is_left_behind(name)]
        if any(not is_left_behind(name) and _is_image(Path(parent) / name) for name in names):
            return True
    return False


def _only_holds_folders(folder: Path) -> bool:
    folders, files = _entries(folder, [], folder)
    return bool(folders) and not any(map(_is_image, files))


def _is_image(path: Path) -> bool:
    """By its name or its first bytes; an image of a kind that is not read is one, and is refused when it is read."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        if not path.is_file():  # a pipe may never end
            return False
        with path.open("rb") as file:
            return bool(kind_of(file.read(HEAD)))
    except OSError:
        return False


def is_left_behind(name: str) -> bool:
    """Whether a system or a tool made it, not a person: hidden, or a well-known name."""
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND


def _some(paths: Sequence[Path]) -> str:
    return some_of([path.name for path in paths])


def some_of(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
