"""Look at a zip archive's directory before anything in it is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

from edgevit.core.errors import InputError

_SUSPICIOUS_BYTES = 2 << 30
_SUSPICIOUS_RATIO = 50


def check_zip(path: Path, stored_only: bool) -> None:
    """Refuse an archive that would unpack to an absurd size; does nothing if it isn't a zip archive.

    Args:
        path: an existing file.
        stored_only: allow no compression at all, as PyTorch writes its files; otherwise (.npz) more
            than 2 GiB that come out of a file 50 times smaller are refused.

    Raises:
        InputError: compressed or absurdly large members, or a directory that can't be read.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise InputError(f"{path}: the archive's directory is damaged ({error})") from error
    on_disk = path.stat().st_size
    unpacked = sum(member.file_size for member in members)
    if stored_only:
        packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
        if packed or unpacked > on_disk:
            named = packed[0] if packed else "overlapping members"
            raise InputError(
                f"{path}: a checkpoint must hold uncompressed members, this one does not ({named}); "
                f"it would unpack {on_disk} bytes to {unpacked}",
                "save it with torch.save or, better, as .safetensors",
            )
    elif unpacked > _SUSPICIOUS_BYTES and unpacked > _SUSPICIOUS_RATIO * on_disk:
        raise InputError(
            f"{path}: {on_disk} bytes would unpack to {unpacked}, which is absurd for image data"
        )
