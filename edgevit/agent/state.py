"""How the device is right now: clocks, heat, power, load. What cannot be read is left out, never made up."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import subprocess
import sys
from typing import Any, Dict

State = Dict[str, Any]


def read(path: str) -> str:
    """Text of a small file without its line end, "" where it cannot be read."""
    try:
        with open(path, errors="replace") as file:
            return file.read(1 << 16).strip()
    except OSError:
        return ""


def output(*command: str) -> str:
    """What a program prints, "" where there is none or it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def state(root: str = "/") -> State:
    """The present state of this device.

    Args:
        root: where /proc and /sys are, for tests.

    Returns:
        Of what can be read: `mhz` by core, `max_mhz` by core, `governors`, `celsius` by sensor, `throttled` (a list of
        words), `load` (of the last minute), `memory_free_bytes`, `battery` (`percent`, `charging`).
    """
    found: State = {}
    cpus = sorted(glob.glob(os.path.join(root, "sys/devices/system/cpu/cpu[0-9]*")), key=_number)
    for key, name in (("mhz", "scaling_cur_freq"), ("max_mhz", "cpuinfo_max_freq")):
        clocks = [_int(read(os.path.join(cpu, "cpufreq", name))) for cpu in cpus]
        if clocks and all(clock is not None for clock in clocks):
            found[key] = [(clock or 0) // 1000 for clock in clocks]
    governors = sorted({read(os.path.join(cpu, "cpufreq/scaling_governor")) for cpu in cpus} - {""})
    if governors:
        found["governors"] = governors
    celsius = _celsius(root)
    if celsius:
        found["celsius"] = celsius
    throttled = _throttled(root)
    if throttled is not None:
        found["throttled"] = throttled
    if root == "/":
        with contextlib.suppress(OSError):
            found["load"] = round(os.getloadavg()[0], 2)
    free = re.search(r"MemAvailable:\s+(\d+) kB", read(os.path.join(root, "proc/meminfo")))
    if free:
        found["memory_free_bytes"] = int(free.group(1)) * 1024
    battery = _battery(root)
    if battery:
        found["battery"] = battery
    return found


def _number(path: str) -> int:
    return int(re.sub(r"\D", "", os.path.basename(path)))


def _int(text: str) -> int | None:
    return int(text) if re.match(r"-?\d+$", text) else None


def _celsius(root: str) -> dict[str, float]:
    """Degrees by sensor: /sys/class/thermal says thousandths."""
    found = {}
    for zone in sorted(glob.glob(os.path.join(root, "sys/class/thermal/thermal_zone*")), key=_number):
        value = _int(read(os.path.join(zone, "temp")))
        if value is not None:
            found[read(os.path.join(zone, "type")) or os.path.basename(zone)] = value / 1000
    return found


# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
_PI_BITS = {0: "undervoltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}


def _throttled(root: str) -> list[str] | None:
    """What holds the clocks down right now; None where nothing here says so."""
    if sys.platform == "darwin":
        limit = re.search(r"CPU_Speed_Limit\s*=\s*(\d+)", output("pmset", "-g", "therm"))
        return (
            None if limit is None else [f"speed limit {limit.group(1)} %"] if limit.group(1) != "100" else []
        )
    pi = pi_throttled(output("vcgencmd", "get_throttled")) if root == "/" else None
    if pi is not None:
        return pi
    devices = sorted(glob.glob(os.path.join(root, "sys/class/thermal/cooling_device*")))
    return cooling(
        [(read(os.path.join(one, "type")), read(os.path.join(one, "cur_state"))) for one in devices]
    )


def cooling(devices: list[tuple[str, str]]) -> list[str] | None:
    """Of the type and step of each cooling device, which of them slow a processor down; None where none could."""
    steps = [(kind, _int(now)) for kind, now in devices if re.search(r"cpu|processor", kind, re.IGNORECASE)]
    known = [(kind, step) for kind, step in steps if step is not None]
    return [f"{kind} at step {step}" for kind, step in known if step > 0] if known else None


def pi_throttled(said: str) -> list[str] | None:
    """What holds a Raspberry Pi down now, as `vcgencmd get_throttled` says; None where it says nothing."""
    found = re.search(r"throttled=0x([0-9a-fA-F]+)", said)
    return [word for bit, word in _PI_BITS.items() if int(found.group(1), 16) >> bit & 1] if found else None


def _battery(root: str) -> dict[str, Any]:
    for supply in sorted(glob.glob(os.path.join(root, "sys/class/power_supply/*"))):
        if read(os.path.join(supply, "type")) != "Battery":
            continue
        percent = _int(read(os.path.join(supply, "capacity")))
        if percent is not None:
            return {
                "percent": percent,
                "charging": read(os.path.join(supply, "status")) in ("Charging", "Full"),
            }
    return {}
