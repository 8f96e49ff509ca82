from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from edgevit.core.disk.reading import executing, reading, reads
from edgevit.core.errors import InputError, StepError, UnsupportedError

FOREIGN = (
    KeyError("x"),
    IndexError("list index out of range"),
    RecursionError("maximum recursion depth exceeded"),
    struct.error("unpack requires a buffer of 4 bytes"),
    zipfile.BadZipFile("File is not a zip file"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    OverflowError("int too big to convert"),
    NotImplementedError("of this kind"),
    type("SpecViolationError", (Exception,), {})("first line\nsecond line"),
    AssertionError(),
)


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
def test_whatever_a_parser_raises_names_the_file_and_no_class_of_python(error: Exception) -> None:
    with pytest.raises(InputError) as caught, reading(Path("w.bin"), "weights file", "save it again"):
        raise error
    message = caught.value.message
    assert (
        message.startswith("w.bin is damaged or not a readable weights file: ")
        and caught.value.exit_code == 2
    )
    assert type(error).__name__ not in message and "\n" not in message and caught.value.__cause__ is error
    assert caught.value.hint == "save it again"


def test_what_the_system_refuses_is_said_in_its_words() -> None:
    with (
        pytest.raises(InputError, match=r"^cannot read gone: No such file or directory$"),
        reading("gone", "image"),
    ):
        Path("/nowhere/gone").read_bytes()
    with (
        pytest.raises(InputError, match="damaged or not a readable image: image file is truncated"),
        reading("a", "image"),
    ):
        raise OSError("image file is truncated")


@pytest.mark.parametrize(
    "error", [UnsupportedError("no such operator"), MemoryError(), NameError("ours"), EOFError()]
)
def test_what_is_no_fault_of_the_file_passes(error: Exception) -> None:
    with pytest.raises(type(error)), reading("a", "image", passing=(EOFError,)):
        raise error


def test_a_marked_reader_blames_its_first_argument() -> None:
    @reads("TFLite file")
    def read(path: Path, index: int) -> int:
        return [1, 2][index]

    assert read(Path("m.tflite"), 1) == 2 and read.__name__ == "read"
    with pytest.raises(InputError, match="m.tflite is damaged"):
        read(Path("m.tflite"), 7)


def test_a_valid_file_that_cannot_be_executed_is_no_input_error() -> None:
    with (
        pytest.raises(StepError, match="ONNX Runtime cannot execute m.onnx: Non-zero status code") as caught,
        executing("m.onnx", "ONNX Runtime"),
    ):
        raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned\nmore")
    assert caught.value.exit_code == 3
