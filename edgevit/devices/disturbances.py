"""What makes times of a device worthless, or different from those of another day, with what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgevit.devices.checks import Check
from edgevit.devices.survey import Survey, Zone

_DEGREES_LEFT: Final = 5.0
_HOT: Final = 75.0  # of a zone that names no limit: a Raspberry Pi slows down from 80
_BUSY: Final = 0.3  # of each core
_BUSY_LEAST: Final = 0.5
_BATTERY: Final = 30


def disturbances(device: Survey) -> tuple[Check, ...]:
    """Warnings, and what else the device says of its state."""
    looks = (_emulation, _governor, _power_mode, _heat, _throttling, _load, _battery)
    return tuple(check for look in looks for check in look(device))


def _emulation(device: Survey) -> Iterator[Check]:
    if device.emulated:
        yield Check(
            "emulation",
            "warning",
            f"{device.emulated}: answers are right, times mean nothing",
            "measure time on the board itself",
        )


def _governor(device: Survey) -> Iterator[Check]:
    names = sorted({governor for governor, _ in device.governors})
    if not names:
        return
    # These two drivers call it powersave when the processor itself chooses its clock.
    slow = any(
        name == "powersave" and driver not in ("intel_pstate", "amd-pstate-epp")
        for name, driver in device.governors
    )
    fixed = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    found = ", ".join(names)
    if slow:
        yield Check("governor", "warning", f"{found}: the clock stays at its lowest", f"there: {fixed}")
    elif names == ["performance"]:
        yield Check("governor", "ok", found)
    else:
        yield Check(
            "governor", "note", f"{found}: the clock follows the load", f"there, for steadier times: {fixed}"
        )


def _power_mode(device: Survey) -> Iterator[Check]:
    mode = device.power_mode
    if mode.startswith("MAXN"):
        yield Check("power mode", "ok", mode)
    elif mode:
        yield Check(
            "power mode",
            "note",
            f"{mode}: it limits clocks and cores",
            "there, for all it has: sudo nvpmodel -m 0",
        )


def _heat(device: Survey) -> Iterator[Check]:
    hottest = max(device.zones, key=lambda zone: zone.celsius - _warm(zone), default=None)
    if hottest is None:
        return
    limit = f", slows down at {hottest.limit:g}" if hottest.limit is not None else ""
    found = f"{hottest.celsius:.0f} °C ({hottest.name}{limit})"
    if hottest.celsius >= _warm(hottest):
        yield Check("heat", "warning", f"{found}: near the limit", "let it cool down, or give it a fan")
    else:
        yield Check("heat", "ok", found)


def _warm(zone: Zone) -> float:
    return _HOT if zone.limit is None else zone.limit - _DEGREES_LEFT


def _throttling(device: Survey) -> Iterator[Check]:
    if device.throttled:
        mend = (
            "a stronger power supply"
            if "undervoltage" in device.throttled
            else "let it cool down, or give it a fan"
        )
        yield Check("throttled", "warning", ", ".join(device.throttled), mend)
    elif device.throttled is not None:
        yield Check("throttled", "ok", "no")


def _load(device: Survey) -> Iterator[Check]:
    if device.load is None:
        return
    cores = device.cores or 1
    found = f"{device.load:g} processes on {cores} cores"
    if device.load > max(_BUSY * cores, _BUSY_LEAST):
        yield Check(
            "load", "warning", f"{found}: something else computes there", "end it; top shows what it is"
        )
    else:
        yield Check("load", "ok", found)


def _battery(device: Survey) -> Iterator[Check]:
    if device.battery is None:
        return
    found = f"{device.battery.percent} %, {'charging' if device.battery.charging else 'discharging'}"
    low = device.battery.percent < _BATTERY and not device.battery.charging
    if low:
        yield Check("battery", "warning", f"{found}: devices slow down to save it", "charge it first")
    else:
        yield Check("battery", "ok", found)
