"""What `edgevit profile` shows of one file: rows, modules and the operators that take the most."""

from __future__ import annotations

from dataclasses import replace

from edgevit.core.results.device import DeviceFingerprint, DeviceState, OperatorTime
from edgevit.core.results.profile import DeviceProfile, FileProfile, MeasuredBlock, ModuleTime
from edgevit.core.results.report import Latency
from edgevit.flows._devices.tables import table_of_several, tables_of_one

CALM = DeviceState()
BLOCK = MeasuredBlock((1.0, 3.0), (1.0, 3.0), 5.0, 7.0, 3, 0, CALM, CALM, "there")
BOARD = DeviceFingerprint("Pi 5", "Linux", "aarch64", "", (), 4, 1, "", "", {}, "")
FILE = FileProfile(
    artifact="onnx/w8a8/model.onnx",
    target="onnx",
    executed_by="there",
    latency=Latency(p50_ms=2.0, p90_ms=None, runs=2, threads=4, cold_load_ms=12.0),
    load_ms=5.0,
    first_ms=7.0,
    blocks=(BLOCK,),
)


def rows(file: FileProfile, number: int = 0) -> dict[str, tuple[str, ...]]:
    table = tables_of_one(file, DeviceProfile("ssh://pi@board", BOARD, (file,)))[number]
    return {row[0]: row[1:] for row in table.rows}


def test_one_file_has_its_latency_and_nothing_of_what_is_not_known() -> None:
    (table,) = tables_of_one(FILE, DeviceProfile("ssh://pi@board", BOARD, (FILE,)))
    assert table.title == "model.onnx on ssh://pi@board (Pi 5)"
    found = rows(FILE)
    assert (
        found["p50"] == ("2.000 ms",)
        and found["fastest"] == ("1.000 ms",)
        and found["slowest"] == ("3.000 ms",)
    )
    assert not {"opening it again", "operators", "unstable"} & set(found)


def test_a_second_opening_and_why_no_operators_are_told() -> None:
    found = rows(replace(FILE, load_warm_ms=0.25, untold="LiteRT 1.0 tells none", unstable="it throttled"))
    assert found["opening it again"] == ("0.2 ms",)
    assert found["operators"] == ("LiteRT 1.0 tells none",) and found["unstable"] == ("it throttled",)


def test_the_ten_operators_that_take_the_most_and_their_modules() -> None:
    operators = tuple(OperatorTime(f"op{number}", "Gemm", "cpu", float(number)) for number in range(12))
    file = replace(
        FILE, operators=operators, modules=(ModuleTime("", 6.0, 0.1), ModuleTime("head", 60.0, 0.9))
    )
    assert rows(file, 1) == {"(the model itself)": ("6.000", "10.0 %"), "head": ("60.000", "90.0 %")}
    found = rows(file, 2)
    assert list(found) == [f"op{number}" for number in range(11, 1, -1)]
    assert found["op11"] == ("Gemm", "cpu", "11.000", "16.7 %")


def test_what_is_only_estimated_has_no_milliseconds() -> None:
    operators = (
        OperatorTime("a", "conv", "Neural Engine", None, 0.75),
        OperatorTime("b", "add", "CPU", None, 0.25),
    )
    file = replace(FILE, operators=operators, modules=(ModuleTime("stem", None, 1.0),))
    _, modules, table = tables_of_one(file, DeviceProfile("local", BOARD, (file,)))
    assert "estimates" in modules.title and modules.rows == (("stem", "", "100.0 %"),)
    assert table.rows[0] == ("a", "conv", "Neural Engine", "", "75.0 %")


def test_files_side_by_side_with_one_that_was_not_executed() -> None:
    broken = FileProfile("onnx/w4/model.onnx", "onnx", reason="no kernel")
    table = table_of_several(DeviceProfile("local", BOARD, (FILE, broken)))
    assert table.rows[0][:3] == ("onnx/w8a8/model.onnx", "2.00", "")
    assert table.rows[1] == ("onnx/w4/model.onnx", "-", "-", "-", "-", "no kernel")
