"""`edgevit verify`: do the hashes of a bundle's manifest hold?"""

from __future__ import annotations

import stat
from pathlib import Path

from edgevit.core.disk import manifest as manifests
from edgevit.core.disk.documents import read_json
from edgevit.core.disk.regular import kind
from edgevit.core.errors import InputError
from edgevit.core.results.answer import Answer, Table


def verify(bundle: Path) -> Answer:
    """Hash every file of `bundle` again; exit code 1 if one is missing, changed or was added, or is no file.

    Raises:
        InputError: it is no bundle, or its manifest is damaged.
    """
    path = bundle / manifests.FILE_NAME
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is {kind(mode)}, not a file", "do not use this bundle")
    except OSError as error:
        raise InputError(
            f"{bundle} is not a bundle: cannot read {path.name}: {error.strerror}",
            "give the folder that edgevit convert wrote",
        ) from error
    manifest = manifests.from_json(read_json(path, "the manifest", "the manifest is damaged: convert again"))
    try:
        found = manifests.differences(manifest, bundle)
    except OSError as error:
        raise InputError(
            f"cannot read {error.filename}: {error.strerror}", "check its permissions"
        ) from error
    data = {
        "bundle": str(bundle),
        "created_by": manifest.created_by,
        "files": len(manifest.files),
        "verdict": "fail" if found else "pass",
        "differences": list(found),
    }
    rows = tuple((text,) for text in found) or ((f"all {len(manifest.files)} hashes hold",),)
    title = f"{bundle}: {len(found)} differences" if found else str(bundle)
    return Answer(data, (Table(title, ("file",), rows),), exit_code=1 if found else 0)
