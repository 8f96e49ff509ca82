"""The question that `doctor` asks a device, as one script of the POSIX shell: no Python there is one of the answers.

It has to work in dash, bash 3.2 (macOS), mksh with toybox (Android) and BusyBox. What a system does not have, it leaves
empty. Each part of the answer begins with a line of the byte 1 and a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgevit.devices._shell import quoted

MARK: Final = "\x01"

_SYSTEM: Final = r"""
s() { printf '\001%s\n' "$1"; }
exec 2>/dev/null
s kernel; uname -s
s release; uname -r
s machine; uname -m
s bits; getconf LONG_BIT
s os
command -v sw_vers >/dev/null && echo "macOS $(sw_vers -productVersion)"
command -v getprop >/dev/null && echo "Android $(getprop ro.build.version.release)"
sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release
s model
tr -d '\0' </proc/device-tree/model && echo
tr -d '\0' </sys/firmware/devicetree/base/model && echo
command -v getprop >/dev/null && echo "$(getprop ro.product.manufacturer) $(getprop ro.product.model)"
cat /sys/devices/virtual/dmi/id/product_name || sysctl -n hw.model
s cpu
grep -E '^(model name|flags|Features|CPU implementer|CPU part)' /proc/cpuinfo | head -c 60000
s cpu_mac; sysctl -n machdep.cpu.brand_string
s features_mac; sysctl hw.optional.arm
s cores; nproc || getconf _NPROCESSORS_ONLN || sysctl -n hw.ncpu
s memory; grep -E '^Mem(Total|Available):' /proc/meminfo || sysctl -n hw.memsize
s libc; getconf GNU_LIBC_VERSION || ldd --version 2>&1 | head -n 2
s emulation; readlink /proc/self/exe; readlink /proc/thread-self/exe
s translated; sysctl -n sysctl.proc_translated
s tools; for t in apt-get dnf apk pacman zypper opkg pkg brew; do command -v $t >/dev/null && echo $t; done
s folder
d=$root
while [ ! -e "$d" ]; do d=$(dirname "$d"); done
echo "$d"
[ -w "$d" ] && echo writable || echo refused
df -Pk "$d" | tail -n 1
s kept; du -sk "$root"
"""

# Reads without a process each: a phone has a hundred thermal zones.
_STATE: Final = r"""
r() { x=; read -r x <"$1"; }
s governors
for c in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do
  r "$c/scaling_driver"; driver=$x; r "$c/scaling_governor"; [ -n "$x" ] && echo "$x ${driver:--}"
done | sort -u
s heat
for z in /sys/class/thermal/thermal_zone*; do
  r "$z/temp"; [ -n "$x" ] || continue; temp=$x
  r "$z/type"; printf '%s\t%s' "$temp" "$x"
  for t in "$z"/trip_point_*_type; do
    r "$t"; kind=$x; r "${t%_type}_temp"; [ -n "$x" ] && printf '\t%s %s' "$kind" "$x"
  done
  echo
done
s cooling
for c in /sys/class/thermal/cooling_device*; do
  r "$c/type"; kind=$x; r "$c/cur_state"; [ -n "$x" ] && printf '%s\t%s\n' "$kind" "$x"
done
s throttled; vcgencmd get_throttled; pmset -g therm
s power; nvpmodel -q | sed -n 's/^NV Power Mode: //p'
s load; cat /proc/loadavg || sysctl -n vm.loadavg
s battery
for b in /sys/class/power_supply/*; do
  r "$b/type"; [ "$x" = Battery ] || continue
  r "$b/capacity"; [ -n "$x" ] || continue; level=$x; r "$b/status"; echo "$level $x"
done
s battery_mac; command -v pmset >/dev/null && pmset -g batt
"""

# For Python 3.8. A runtime that does not fit the device may end its process, so each is imported by one of its own.
_DETAILS: Final = """
import importlib.util, json, os, subprocess, sys
from importlib import metadata
found, tried, out = {}, {}, subprocess.DEVNULL
for package, module in MODULES.items():
    try:
        found[package] = metadata.version(package)
    except metadata.PackageNotFoundError:
        if importlib.util.find_spec(module.split(".")[0]) is None:
            continue
        found[package] = ""
    command = [sys.executable, "-c", "import " + module]
    tried[package] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE)
broken = {}
for package, process in tried.items():
    said = process.communicate()[1].decode(errors="replace").strip()
    if process.returncode:
        broken[package] = said.splitlines()[-1][:400] if said else "it ends with status %d" % process.returncode
used = False
try:
    import fcntl
    with open(os.path.join(sys.argv[1], "lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
except BlockingIOError:
    used = True
except (ImportError, OSError):
    pass
print(json.dumps({
    "bits": 64 if sys.maxsize > 2**32 else 32,
    "tag": sys.implementation.cache_tag,
    "packages": found,
    "broken": broken,
    "modules": [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name)],
    "in_use": used,
}))
"""


def script(root: str, search: str, modules: Mapping[str, str]) -> str:
    """The script for a folder there.

    Args:
        root: our folder on the device.
        search: the piece that looks for Pythons; see `_python.search`.
        modules: package -> the module whose import shows that it works.
    """
    asked = f'[ -n "$used" ] && "$used" -c {quoted([details(modules)])} "$root"\n'
    return f"root={quoted([root])}{_SYSTEM}{_STATE}s pythons\n{search}s python\n{asked}"


def details(modules: Mapping[str, str]) -> str:
    """A program for Python 3.8 that prints, as one line of JSON, what that Python has; our folder is its argument."""
    return _DETAILS.replace("MODULES", repr(dict(modules))).strip()


def sections(text: str) -> dict[str, str]:
    """The parts of an answer by name; what a login shell printed before them is none."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(MARK):
            lines = found.setdefault(line[1:], [])
        else:
            lines.append(line)
    return {name: "\n".join(part).strip() for name, part in found.items()}
