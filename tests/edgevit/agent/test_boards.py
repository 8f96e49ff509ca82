"""What the agent reads of real devices, from their files written down in `tests._boards`."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevit.agent.fingerprint import cpu_features, cpu_names, fingerprint, mac_features
from edgevit.agent.state import cooling, pi_throttled, state
from tests import _boards
from tests._boards import Board, arm


@pytest.mark.parametrize(
    ("board", "cpu", "features", "model"),
    [
        (_boards.RASPBERRY_PI_5, "4x Cortex-A76", ["dotprod", "fp16"], "Raspberry Pi 5 Model B Rev 1.0"),
        (_boards.RASPBERRY_PI_4_32BIT, "4x Cortex-A72", [], "Raspberry Pi 4 Model B Rev 1.2"),
        (_boards.JETSON_ORIN, "6x Cortex-A78AE", ["dotprod", "fp16"], "NVIDIA Orin Nano Developer Kit"),
        (
            _boards.ANDROID_PHONE,
            "4x Cortex-A510, 4x Cortex-A715, 1x Cortex-X3",
            ["bf16", "dotprod", "fp16", "i8mm", "sve", "sve2"],
            "",
        ),
        (
            _boards.X86_LAPTOP,
            "12th Gen Intel(R) Core(TM) i7-1260P",
            ["avx2", "avx_vnni"],
            "ThinkPad X1 Carbon Gen 10",
        ),
    ],
)
def test_the_fingerprint_names_processor_and_board(
    board: Board, cpu: str, features: list[str], model: str, tmp_path: Path
) -> None:
    board.build(tmp_path)
    found = fingerprint(str(tmp_path))
    assert (found["cpu"], found["features"], found["model"]) == (cpu, features, model)
    assert found["memory_bytes"] > 3e9


def test_the_state_of_a_board(tmp_path: Path) -> None:
    _boards.JETSON_ORIN.build(tmp_path)
    found = state(str(tmp_path))
    assert found["mhz"] == [729] * 6 and found["max_mhz"] == [1510] * 6
    assert found["governors"] == ["schedutil"] and found["memory_free_bytes"] == 6100000 * 1024
    assert found["celsius"] == {"CPU-therm": 46.9, "GPU-therm": 45.0}
    assert found["throttled"] == ["thermal-cpufreq-0 at step 4"]
    assert "battery" not in found


def test_the_state_of_a_phone(tmp_path: Path) -> None:
    _boards.ANDROID_PHONE.build(tmp_path)
    found = state(str(tmp_path))
    assert found["battery"] == {"percent": 18, "charging": False}
    assert "throttled" not in found, "nothing there says so"


def test_what_only_some_cores_can_does_not_count() -> None:
    info = arm("fp asimd asimddp asimdhp i8mm", ("0xd46", 2)) + arm("fp asimd asimddp asimdhp", ("0xd05", 2))
    assert cpu_features(info) == ["dotprod", "fp16"] and cpu_names(info) == "2x Cortex-A510, 2x Cortex-A55"


def test_an_unknown_core_is_told_by_its_numbers() -> None:
    assert cpu_names(arm("fp", ("0xfff", 1))) == "1x implementer 0x41 part 0xfff" and cpu_names("") == ""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("throttled=0x0", []),
        ("throttled=0x50000", []),  # earlier, not now
        ("throttled=0x50005", ["undervoltage", "throttled"]),
        ("throttled=0xa", ["clock capped", "soft temperature limit"]),
        ("VCHI initialization failed", None),
        ("", None),
    ],
)
def test_what_a_raspberry_pi_says_of_its_clock(said: str, words: list[str] | None) -> None:
    assert pi_throttled(said) == words


def test_a_fan_is_no_throttling() -> None:
    assert cooling([("pwm-fan", "3"), ("Processor", "0"), ("cpufreq-cpu4", "?")]) == []
    assert cooling([("pwm-fan", "3")]) is None


def test_features_of_a_mac_by_apples_names() -> None:
    said = "hw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 0\nhw.optional.arm.FEAT_FP16: 1\n"
    assert mac_features(said) == ["dotprod", "fp16"] and mac_features("") == []
