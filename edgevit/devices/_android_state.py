"""What a phone is and how it is, as its own programs print it: no agent is needed for that.

The words are AOSP's: `dumpsys thermalservice` (ThermalManagerService.java; statuses and sensor types in
android.os.Temperature), `dumpsys battery` (BatteryService.java), `getprop`. What a phone does not tell, or does not let
the user `shell` read, is left out.
"""

from __future__ import annotations

import math
import re
from typing import Final

from edgevit.agent.fingerprint import cpu_features, cpu_names
from edgevit.core.results.device import Battery, DeviceFingerprint, DeviceState

_MARK: Final = "==edgevit"
_PROPERTIES: Final = (
    *("ro.product.manufacturer", "ro.product.model", "ro.soc.manufacturer", "ro.soc.model"),
    *("ro.build.version.release", "ro.build.version.sdk", "ro.product.cpu.abilist", "ro.kernel.qemu"),
    "ro.boot.qemu",
)
_CLOCKS: Final = ("scaling_cur_freq", "cpuinfo_max_freq", "scaling_governor")
STATE: Final = f"""\
echo '{_MARK} thermal=='; dumpsys thermalservice 2>/dev/null
echo '{_MARK} battery=='; dumpsys battery 2>/dev/null
echo '{_MARK} saver=='; settings get global low_power 2>/dev/null
echo '{_MARK} load=='; cat /proc/loadavg 2>/dev/null
echo '{_MARK} memory=='; cat /proc/meminfo 2>/dev/null
echo '{_MARK} clocks=='
for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
  for name in {" ".join(_CLOCKS)}; do
    echo "${{cpu##*/cpu}} $name $(cat "$cpu/cpufreq/$name" 2>/dev/null)"
  done
done
true
"""
FINGERPRINT: Final = f"""\
echo '{_MARK} properties=='
for name in {" ".join(_PROPERTIES)}; do echo "$name=$(getprop "$name")"; done
echo '{_MARK} kernel=='; uname -sr; uname -m
echo '{_MARK} cpu=='; cat /proc/cpuinfo 2>/dev/null
echo '{_MARK} memory=='; cat /proc/meminfo 2>/dev/null
echo '{_MARK} cores=='; ls -d /sys/devices/system/cpu/cpu[0-9]* 2>/dev/null
true
"""
_STATUSES: Final = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_SENSOR: Final = re.compile(r"Temperature\{mValue=([^,]+), mType=(-?\d+), mName=([^,}]+)")
_NO_TEMPERATURE: Final = (6, 7, 8)  # of the battery's current limiter: volts, amperes, percent
_COLDEST: Final = -40.0  # sensors that are off say -99.9, -273 and the like


def state(printed: str) -> DeviceState:
    """What the script STATE printed."""
    parts = _parts(printed)
    thermal, battery = parts.get("thermal", ""), parts.get("battery", "")
    clocks = _clocks(parts.get("clocks", ""))
    free = re.search(r"MemAvailable:\s+(\d+) kB", parts.get("memory", ""))
    load = re.match(r"(\d+(?:\.\d+)?)\s", parts.get("load", ""))
    return DeviceState(
        mhz=_mhz(clocks, "scaling_cur_freq"),
        max_mhz=_mhz(clocks, "cpuinfo_max_freq"),
        governors=tuple(sorted({word for word in clocks.get("scaling_governor", {}).values() if word})),
        celsius=_celsius(thermal, battery),
        throttled=_throttled(thermal, parts.get("saver", "")),
        load=float(load[1]) if load else None,
        memory_free_bytes=int(free[1]) * 1024 if free else None,
        battery=_battery(battery),
    )


def fingerprint(printed: str) -> tuple[DeviceFingerprint, tuple[str, ...]]:
    """What the script FINGERPRINT printed, and the ABIs that the phone executes, preferred first."""
    parts = _parts(printed)
    lines = (line.partition("=") for line in parts.get("properties", "").splitlines())
    known = {name: value.strip() for name, _, value in lines}

    def named(maker: str, model: str) -> str:
        first, second = known.get(maker, ""), known.get(model, "")
        return second if second.lower().startswith(first.lower()) else f"{first} {second}".strip()

    chip = named("ro.soc.manufacturer", "ro.soc.model")
    model = named("ro.product.manufacturer", "ro.product.model")
    kernel = parts.get("kernel", "").splitlines()
    memory = re.search(r"MemTotal:\s+(\d+) kB", parts.get("memory", ""))
    release, level = known.get("ro.build.version.release", ""), known.get("ro.build.version.sdk", "")
    qemu = "1" in (known.get("ro.kernel.qemu"), known.get("ro.boot.qemu"))
    abis = tuple(abi for abi in known.get("ro.product.cpu.abilist", "").split(",") if abi)
    found = DeviceFingerprint(
        model=f"{model} ({chip})" if chip else model,
        system=", ".join([f"Android {release} (API {level})", *kernel[:1]]),
        machine=kernel[1] if len(kernel) > 1 else "",
        cpu=cpu_names(parts.get("cpu", "")),
        features=tuple(cpu_features(parts.get("cpu", ""))),
        cores=len(parts.get("cores", "").split()),
        memory_bytes=int(memory[1]) * 1024 if memory else 0,
        libc="bionic",
        python="",
        runtimes={},
        emulated="Android emulator" if qemu else "",
    )
    return found, abis


def _parts(printed: str) -> dict[str, str]:
    pieces = re.split(rf"^{_MARK} (\w+)==\r?\n", printed, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _clocks(printed: str) -> dict[str, dict[int, str]]:
    """Name of a file -> core -> what it says."""
    found: dict[str, dict[int, str]] = {}
    for line in printed.splitlines():
        core, name, value = (*line.split(maxsplit=2), "", "")[:3]
        if core.isdecimal() and name in _CLOCKS:
            found.setdefault(name, {})[int(core)] = value.strip()
    return found


def _mhz(clocks: dict[str, dict[int, str]], name: str) -> tuple[int, ...]:
    """By core; nothing where one of them does not say."""
    values = [value for _, value in sorted(clocks.get(name, {}).items())]
    return tuple(int(value) // 1000 for value in values) if all(map(str.isdecimal, values)) else ()


def _celsius(thermal: str, battery: str) -> dict[str, float]:
    """By sensor, as the hardware says it now; what Android remembers only where that is missing."""
    _, _, now = thermal.partition("Current temperatures from HAL:")
    text = now.partition("Current cooling devices")[0] if now else thermal
    found = {}
    for value, kind, name in _SENSOR.findall(text):
        degrees = _number(value)
        if degrees is not None and degrees > _COLDEST and int(kind) not in _NO_TEMPERATURE:
            found[name.strip()] = degrees
    tenths = re.search(r"^\s*temperature:\s*(-?\d+)\s*$", battery, re.MULTILINE)
    if tenths and not any("batt" in name.lower() for name in found):
        found["battery"] = int(tenths[1]) / 10
    return found


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _throttled(thermal: str, saver: str) -> tuple[str, ...] | None:
    status = re.search(r"^\s*Thermal Status:\s*(\d+)\s*$", thermal, re.MULTILINE)
    words = ["battery saver"] if saver.strip() == "1" else []
    if status is None:
        return tuple(words) or None
    number = int(status[1])
    if number:
        words.append(f"thermal status {_STATUSES[number] if number < len(_STATUSES) else number}")
    return tuple(words)


def _battery(printed: str) -> Battery | None:
    values = dict(re.findall(r"^\s*([\w ]+?):\s*(\S+)\s*$", printed, re.MULTILINE))
    level, scale = values.get("level", ""), values.get("scale", "100")
    if not (level.isdecimal() and scale.isdecimal() and int(scale)) or values.get("present") == "false":
        return None
    powered = any(value == "true" for name, value in values.items() if name.endswith(" powered"))
    return Battery(round(100 * int(level) / int(scale)), powered)
