"""Class names from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevit.core.errors import InputError
from edgevit.core.labels import read_labels


def test_reads_one_name_a_line_in_utf8(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes("\ufeffcat\r\nÄffchen \r\n\r\n".encode())
    assert read_labels(tmp_path / "l.txt") == ("cat", "Äffchen")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a\n\nb\n", b"\xff\xfe\x00"])
def test_what_would_shift_classes_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "l.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"l\.txt"):
        read_labels(tmp_path / "l.txt")


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_labels(tmp_path / "none.txt")
