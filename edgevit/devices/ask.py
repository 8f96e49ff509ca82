"""Ask a device what it is and has, without a Python there, and read its answer."""

from __future__ import annotations

import json
import re
from typing import Final

from edgevit.agent.emulation import emulator
from edgevit.agent.fingerprint import cpu_features, cpu_names, mac_features
from edgevit.agent.state import cooling, pi_throttled
from edgevit.core.place import Place
from edgevit.core.results.device import Battery
from edgevit.devices import _python
from edgevit.devices._shell import run
from edgevit.devices._survey_script import script, sections
from edgevit.devices.survey import PythonThere, Survey, Version, Zone

# Package -> the module whose import shows that it works.
MODULES: Final = {
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "ai-edge-litert": "ai_edge_litert.interpreter",
}
MAC_MODULES: Final = {**MODULES, "coremltools": "coremltools"}
# Importing a runtime takes ten seconds below qemu, and they are imported at the same time.
_SECONDS: Final = 300.0


def survey(place: Place) -> Survey:
    """Ask a device.

    Raises:
        DeviceError, DeviceLostError: it cannot be reached, or does not answer.
    """
    asked = script(place.root, _python.search(place), MAC_MODULES)
    return read_survey(run(place, asked, _SECONDS).stdout)


def read_survey(text: str) -> Survey:
    """Read what the script of `_survey_script` printed, whatever a device left out of it."""
    found = sections(text)

    def part(name: str) -> str:
        return found.get(name, "")

    mac = part("kernel") == "Darwin"
    total, free = _memory(part("memory"))
    folder = part("folder").splitlines()
    path, version, old = _python.found(part("pythons"))
    return Survey(
        kernel=part("kernel"),
        release=part("release"),
        machine=part("machine"),
        bits=_integer(part("bits")),
        system=part("os").split("\n")[0],
        model=part("model").split("\n")[0].strip(),
        cpu=part("cpu_mac") if mac else cpu_names(part("cpu")),
        features=tuple(mac_features(part("features_mac")) if mac else cpu_features(part("cpu"))),
        cores=_integer(part("cores")),
        memory_bytes=total,
        memory_free_bytes=free,
        libc=_libc(part("libc")),
        emulated=_emulated(part("emulation"), part("translated")),
        tools=tuple(part("tools").split()),
        folder=folder[0] if folder else "",
        free_bytes=_free_bytes(folder[-1]) if folder else None,
        writable="writable" in folder[1:2],
        kept_bytes=1024 * (_integer(part("kept").partition("\t")[0]) or 0),
        governors=tuple(_pair(line) for line in part("governors").splitlines()),
        zones=tuple(zone for line in part("heat").splitlines() if (zone := _zone(line))),
        throttled=_throttled(part("throttled"), part("cooling")),
        power_mode=part("power"),
        load=_load(part("load")),
        battery=_battery(part("battery") or part("battery_mac")),
        old_pythons=old,
        python=read_python(path, _version(version), part("python")) if path else None,
    )


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None


def _pair(line: str) -> tuple[str, str]:
    governor, _, driver = line.partition(" ")
    return governor, driver


def _memory(text: str) -> tuple[int | None, int | None]:
    """Bytes in all and free, of /proc/meminfo or of `sysctl -n hw.memsize`."""
    kb = {name: int(value) * 1024 for name, value in re.findall(r"^Mem(\w+):\s+(\d+) kB", text, re.M)}
    return kb.get("Total", _integer(text)), kb.get("Available")


def _libc(text: str) -> tuple[str, Version]:
    """Of `getconf GNU_LIBC_VERSION`, or of the first lines of `ldd --version`."""
    name = "musl" if "musl" in text else "glibc" if re.search(r"glibc|GNU libc|GLIBC", text) else ""
    found = re.search(r"(?:glibc |Version |\) )(\d+(?:\.\d+)+)", text)
    return (name, _version(found[1])) if name and found else (name, ())


def _version(text: str) -> Version:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _emulated(links: str, translated: str) -> str:
    """See `edgevit.agent.emulation`: the second link is the true one."""
    seen, _, hidden = links.partition("\n")
    if hidden and seen != hidden:
        return emulator(hidden)
    return "Rosetta" if translated == "1" else ""


def _free_bytes(line: str) -> int | None:
    """Of a line of `df -Pk`: its third number is what is available."""
    found = re.search(r"\s\d+\s+\d+\s+(\d+)\s+\d+%", line)
    return int(found[1]) * 1024 if found else None


def _zone(line: str) -> Zone | None:
    temperature, _, rest = line.partition("\t")
    name, *trips = rest.split("\t")
    if not re.fullmatch(r"-?\d+", temperature):
        return None
    limits = [
        int(value) / 1000
        for kind, _, value in (trip.partition(" ") for trip in trips)
        if kind in ("passive", "hot") and re.fullmatch(r"\d+", value) and int(value) > 0
    ]
    return Zone(name, int(temperature) / 1000, min(limits, default=None))


def _throttled(said: str, devices: str) -> tuple[str, ...] | None:
    """Of `vcgencmd get_throttled` (Raspberry Pi), of `pmset -g therm` (Mac), or of the kernel's cooling devices."""
    words = pi_throttled(said)
    if words is None and (limit := re.search(r"CPU_Speed_Limit\s*=\s*(\d+)", said)):
        words = [] if limit[1] == "100" else [f"speed limit {limit[1]} %"]
    if words is None:
        pairs = [line.rpartition("\t") for line in devices.splitlines()]
        words = cooling([(kind, step) for kind, _, step in pairs])
    return None if words is None else tuple(words)


def _load(text: str) -> float | None:
    found = re.match(r"\{?\s*(\d+(?:[.,]\d+)?)", text)
    return float(found[1].replace(",", ".")) if found else None


def _battery(text: str) -> Battery | None:
    """Of `/sys/class/power_supply` as "80 Discharging", or of a Mac's `pmset -g batt`."""
    if found := re.match(r"(\d{1,3}) (.*)", text):
        return Battery(int(found[1]), found[2] in ("Charging", "Full", "Not charging"))
    if found := re.search(r"(\d{1,3})%; ([\w ]+);", text):
        return Battery(int(found[1]), found[2] != "discharging")
    return None


def read_python(path: str, version: Version, told: str) -> PythonThere:
    """What a Python answered to `_survey_script.details`; one that answers nonsense has nothing."""
    try:
        said = json.loads(told.strip().splitlines()[-1]) if told.strip() else {}
    except ValueError:
        said = {}
    facts = said if isinstance(said, dict) else {}
    modules = facts.get("modules")
    return PythonThere(
        path=path,
        version=version,
        bits=32 if facts.get("bits") == 32 else 64,
        tag=str(facts.get("tag", "")),
        packages=_texts(facts.get("packages")),
        broken=_texts(facts.get("broken")),
        modules=tuple(map(str, modules)) if isinstance(modules, list) else (),
        in_use=facts.get("in_use") is True,
    )


def _texts(found: object) -> dict[str, str]:
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
