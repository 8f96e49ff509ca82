"""manifest.json: what is in a bundle, with the hash of every file."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.disk.artifact import weights_beside
from edgevit.core.disk.regular import kind
from edgevit.core.disk.whole_files import sha256_of, size_of
from edgevit.core.errors import InputError
from edgevit.core.version import SCHEMA_VERSION, SchemaVersion

FILE_NAME: Final = "manifest.json"
_EXTERNAL: Final = weights_beside(Path("model")).suffix


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a bundle; `path` relative to the bundle, with forward slashes."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ManifestModel:
    """Which model the files were made from."""

    name: str
    source: str
    weights_sha256: str
    author: str = ""
    license: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files of a bundle except the manifest itself, sorted by path.

    Attributes:
        created_by: program and version, such as "edgevit 0.1.0".
        recipe: what the user asked for, by the name of the option; what is no text, as JSON.
    """

    created_by: str
    files: tuple[FileEntry, ...]
    model: ManifestModel
    recipe: Mapping[str, str] = field(default_factory=dict)
    schema_version: SchemaVersion = SCHEMA_VERSION


def build(bundle: Path, created_by: str, model: ManifestModel, recipe: Mapping[str, str]) -> Manifest:
    """Hash every file below `bundle`; a folder such as an .mlpackage appears by its files."""
    names = sorted(p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file())
    files = tuple(_entry(bundle, name) for name in names if name != FILE_NAME)
    return Manifest(created_by, files, model, dict(recipe))


def to_json(manifest: Manifest) -> dict[str, object]:
    """The manifest as plain data for `json.dumps`."""
    return to_plain(manifest)


def from_json(data: object) -> Manifest:
    """Read what `to_json` gave.

    Raises:
        InputError: a field is missing or wrong, or a path leads out of the bundle.
    """
    manifest = from_plain(Manifest, data, FILE_NAME)
    for entry in manifest.files:
        parts = entry.path.replace("\\", "/").split("/")
        if entry.path.startswith("/") or not all(parts) or {".", ".."} & set(parts) or ":" in parts[0]:
            raise InputError(
                f"{FILE_NAME}: the path {entry.path!r} leads out of the bundle", "do not use this bundle"
            )
    return manifest


def differences(manifest: Manifest, bundle: Path) -> tuple[str, ...]:
    """One sentence for each thing that is not as the manifest says; empty if all holds.

    Links, pipes and devices are differences wherever they stand, and so are folders in which no file is
    listed: edgevit writes none. So is a file of weights that a model names (external data) with a second name
    elsewhere, through which it could change, or show what is in that other place.

    Raises:
        OSError: a file or a folder cannot be read.
    """
    expected = {entry.path: entry for entry in manifest.files}
    folders = {str(parent) for name in expected for parent in PurePosixPath(name).parents}
    named = Counter(entry.path for entry in manifest.files)
    found = [f"{name} is listed {count} times" for name, count in named.items() if count > 1]
    if FILE_NAME in expected:
        found.append(f"{FILE_NAME} lists itself, which no hash can hold")
    present = set()
    for name, state in _walk(bundle):
        if stat.S_ISDIR(state.st_mode):
            if name not in folders:
                found.append(f"{name} is a folder without a file in the manifest")
        elif not stat.S_ISREG(state.st_mode):
            found.append(f"{name} is {kind(state.st_mode)}, which no bundle holds")
        else:
            present.add(name)
            if name.endswith(_EXTERNAL) and state.st_nlink > 1:
                found.append(f"{name} has another name elsewhere (a hard link): copy the file")
    present.discard(FILE_NAME)
    expected.pop(FILE_NAME, None)
    found += [f"{name} is missing" for name in expected if name not in present]
    for name in sorted(present & set(expected)):
        now = _entry(bundle, name)
        if now.sha256 != expected[name].sha256:
            found.append(
                f"{name} has changed: {now.size_bytes} bytes with sha256 {now.sha256[:12]}..., "
                f"the manifest says {expected[name].size_bytes} bytes with {expected[name].sha256[:12]}..."
            )
    found += [f"{name} is not in the manifest" for name in sorted(present - set(expected))]
    return tuple(found)


def _walk(bundle: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below `bundle`, sorted, with what it is itself: links are not followed."""
    pending = [bundle]
    while pending:
        for path in sorted(pending.pop().iterdir()):
            state = path.lstat()
            yield path.relative_to(bundle).as_posix(), state
            if stat.S_ISDIR(state.st_mode):
                pending.append(path)


def _entry(bundle: Path, name: str) -> FileEntry:
    return FileEntry(name, sha256_of(bundle / name), size_of(bundle / name))
