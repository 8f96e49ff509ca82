"""What phones print about themselves, as written down from AOSP and from phones."""

from __future__ import annotations

import pytest

from edgevit.core.results.device import Battery
from edgevit.devices import _android_state
from tests._phone import BATTERY, THERMAL

MEMORY = "MemTotal:        7790000 kB\nMemFree:          100000 kB\nMemAvailable:    3900000 kB\n"
CLOCKS = """\
0 scaling_cur_freq 1328000
0 cpuinfo_max_freq 1704000
0 scaling_governor sched_pixel
10 scaling_cur_freq 2914000
10 cpuinfo_max_freq 2914000
10 scaling_governor sched_pixel
2 scaling_cur_freq 500000
2 cpuinfo_max_freq 2367000
2 scaling_governor powersave
"""
# Samsung, Android 11: sensors that are off, the same name in both lists.
SAMSUNG = """\
IsStatusOverride: false
Thermal Status: 3
Cached temperatures:
 Temperature{mValue=-99.9, mType=5, mName=PA, mStatus=0}
\tTemperature{mValue=25.3, mType=3, mName=SKIN, mStatus=0}
HAL Ready: true
HAL connection:
\tSdhms connected: yes
Current temperatures from HAL:
\tTemperature{mValue=52.0, mType=0, mName=AP, mStatus=0}
\tTemperature{mValue=41.3, mType=3, mName=SKIN, mStatus=2}
\tTemperature{mValue=-99.9, mType=5, mName=PA, mStatus=0}
\tTemperature{mValue=NaN, mType=0, mName=CPU7, mStatus=0}
\tTemperature{mValue=3.84, mType=6, mName=vbat, mStatus=0}
\tTemperature{mValue=62.0, mType=8, mName=soc, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=2, mType=2, mName=TYPE_CPU}
"""


def printed(**parts: str) -> str:
    return "".join(f"==edgevit {name}==\n{text}" for name, text in parts.items())


def test_a_phone_that_tells_everything() -> None:
    state = _android_state.state(
        printed(
            thermal=THERMAL,
            battery=BATTERY,
            saver="0\n",
            load="3.52 2.10 1.05 2/1843 20123\n",
            memory=MEMORY,
            clocks=CLOCKS,
        )
    )
    assert (state.mhz, state.max_mhz) == ((1328, 500, 2914), (1704, 2367, 2914)), "by core, not by text"
    assert state.governors == ("powersave", "sched_pixel")
    assert state.celsius == {"CPU0": 41.25, "skin": 31.0, "battery": 28.5}
    assert state.throttled == () and state.load == 3.52
    assert state.memory_free_bytes == 3_900_000 * 1024
    assert state.battery == Battery(82, True)


def test_a_hot_phone() -> None:
    state = _android_state.state(printed(thermal=SAMSUNG, battery=BATTERY, saver="1\n"))
    assert state.throttled == ("battery saver", "thermal status severe")
    assert state.celsius == {"AP": 52.0, "SKIN": 41.3, "battery": 28.5}
    assert state.mhz == () and state.load is None


@pytest.mark.parametrize(("status", "word"), [("1", "light"), ("6", "shutdown"), ("9", "9")])
def test_every_thermal_status(status: str, word: str) -> None:
    thermal = THERMAL.replace("Thermal Status: 0", f"Thermal Status: {status}")
    assert _android_state.state(printed(thermal=thermal)).throttled == (f"thermal status {word}",)


def test_an_old_phone_that_tells_little() -> None:
    android_9 = "Can't find service: thermalservice\n"
    state = _android_state.state(
        printed(thermal=android_9, battery="", saver="null\n", load="", clocks="0 scaling_cur_freq \n")
    )
    assert state == _android_state.state("")
    assert state.throttled is None and state.battery is None and state.celsius == {}


def test_what_android_remembers_stands_in_for_what_the_hardware_does_not_say() -> None:
    remembered = THERMAL.partition("HAL Ready")[0]
    assert _android_state.state(printed(thermal=remembered)).celsius == {"CPU0": 55.5}


def test_a_battery_on_its_own() -> None:
    unplugged = BATTERY.replace("USB powered: true", "USB powered: false").replace("level: 82", "level: 410")
    found = _android_state.state(printed(battery=unplugged.replace("scale: 100", "scale: 1000"))).battery
    assert found == Battery(41, False)
    box = BATTERY.replace("present: true", "present: false")
    assert _android_state.state(printed(battery=box)).battery is None, "a television has none"


def test_what_a_phone_is() -> None:
    properties = """\
ro.product.manufacturer=Google
ro.product.model=Pixel 8
ro.soc.manufacturer=Google
ro.soc.model=Tensor G3
ro.build.version.release=14
ro.build.version.sdk=34
ro.product.cpu.abilist=arm64-v8a,armeabi-v7a
ro.kernel.qemu=
"""
    core = "processor\t: {}\nFeatures\t: fp asimd {}\nCPU implementer\t: 0x41\nCPU part\t: {}\n\n"
    cpu = core.format(0, "asimddp i8mm", "0xd46") + core.format(1, "asimddp", "0xd4d")
    text = printed(
        properties=properties,
        kernel="Linux 5.15.110-android14\naarch64\n",
        cpu=cpu,
        memory=MEMORY,
        cores="/sys/devices/system/cpu/cpu0\n/sys/devices/system/cpu/cpu1\n",
    )
    found, abis = _android_state.fingerprint(text)
    assert abis == ("arm64-v8a", "armeabi-v7a")
    assert found.model == "Google Pixel 8 (Google Tensor G3)"
    assert found.system == "Android 14 (API 34), Linux 5.15.110-android14" and found.machine == "aarch64"
    assert found.cpu == "1x Cortex-A510, 1x Cortex-A715"
    assert found.features == ("dotprod",), "of every core"
    assert (found.cores, found.memory_bytes, found.emulated) == (2, 7_790_000 * 1024, "")
    emulator, _ = _android_state.fingerprint(text.replace("ro.kernel.qemu=", "ro.kernel.qemu=1"))
    assert emulator.emulated == "Android emulator"
    doubled, _ = _android_state.fingerprint(text.replace("model=Pixel 8", "model=google phone"))
    assert doubled.model.startswith("google phone (")
