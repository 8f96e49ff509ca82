"""The page of a device and its tables, from figures that are made up."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edgevit.core.results.device import DeviceFingerprint, DeviceState, OperatorTime
from edgevit.core.results.profile import DeviceProfile, FileProfile, MeasuredBlock, ModuleTime
from edgevit.core.results.report import Latency, Ratio
from edgevit.report.device import render

BOARD = DeviceFingerprint(
    model="Raspberry Pi 4 <Model B>",
    system="Debian GNU/Linux 12",
    machine="aarch64",
    cpu="4x Cortex-A72",
    features=("crc32",),
    cores=4,
    memory_bytes=4_000_000_000,
    libc="glibc 2.36",
    python="3.11.2",
    runtimes={"onnxruntime": "1.31.1"},
    emulated="",
)


def block(ms: float) -> MeasuredBlock:
    return MeasuredBlock((ms, ms), (), 20.0, 12.0, 3, 90_000_000, DeviceState(), DeviceState(), "onnxruntime")


def profile() -> DeviceProfile:
    timed = FileProfile(
        artifact="onnx/w8a8/model.onnx",
        target="onnx",
        executed_by="onnxruntime 1.31.1 cpu",
        latency=Latency(10.5, 12.25, 40, 1, 32.0, Ratio(0.51, (0.49, 0.53))),
        load_ms=20.0,
        first_ms=12.0,
        peak_rss_bytes=90_000_000,
        blocks=(block(10.0), block(11.0)),
        operators=(OperatorTime("a", "Conv", "CPU", 7.0), OperatorTime("b", "<Gelu>", "CPU", 3.0)),
        modules=(ModuleTime("stem", 7.0, 0.7), ModuleTime("blocks.0.attn", 3.0, 0.3)),
    )
    gone = FileProfile("coreml/fp16/model.mlpackage", "coreml", reason="No module named 'coremltools'")
    return DeviceProfile("ssh://pi@board", BOARD, (timed, gone), ("it was <busy>",))


def test_the_page_has_every_figure_and_nothing_that_acts_as_markup() -> None:
    page = render(profile())
    for text in ("10.5", "12.2", "0.51 [0.49, 0.53]", "blocks.0.attn", "No module named", "not executed"):
        assert text in page
    assert (
        "&lt;Model B&gt;" in page
        and "<Model B>" not in page
        and "<Gelu>" not in page
        and "<busy>" not in page
    )
    assert not re.search(r"<script|https?://", page)
    assert page.count("<figure") == 2  # latency, and the modules of the one file that has them


def test_what_an_emulated_processor_took_is_marked() -> None:
    emulated = replace(profile(), fingerprint=replace(BOARD, emulated="qemu user mode"))
    assert "Emulated (qemu user mode): no time on this page means anything." in render(emulated)
    assert "Emulated" not in render(profile())


@pytest.mark.parametrize("count", [1, 200])
def test_many_modules_leave_the_smallest_out_and_say_so(count: int) -> None:
    modules = tuple(ModuleTime(f"blocks.{i}.mlp", float(i + 1), (i + 1) / 1000) for i in range(count))
    timed, _ = profile().files
    page = render(replace(profile(), files=(replace(timed, modules=modules),)))
    assert ("smaller ones are left out" in page) == (count > 24)
    assert f"blocks.{count - 1}.mlp" in page
