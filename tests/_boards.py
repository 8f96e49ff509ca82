"""What real devices say of themselves, as files and programs, from their makers' and the kernel's documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Board:
    """A device.

    Attributes:
        files: path below / -> content.
        programs: name -> what a script of the shell by that name does.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)

    def build(self, root: Path) -> None:
        """Write the files below `root`, and the programs into its folder `tools`."""
        for name, content in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        tools = root / "tools"
        tools.mkdir(parents=True)
        for name, script in self.programs.items():
            (tools / name).write_text(f"#!/bin/sh\n{script}\n")
            (tools / name).chmod(0o755)


def arm(features: str, *cores: tuple[str, int]) -> str:
    """/proc/cpuinfo of ARM cores: part numbers of Arm Limited, and how many of each."""
    parts = [part for part, count in cores for _ in range(count)]
    return "".join(
        f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: {part}\nCPU revision\t: 1\n\n"
        for number, part in enumerate(parts)
    )


def clocks(cores: Iterable[int], governor: str, driver: str, now: int, most: int) -> dict[str, str]:
    """Files of the kernel's cpufreq, in kHz."""
    return {
        f"sys/devices/system/cpu/cpu{core}/cpufreq/{name}": f"{value}\n"
        for core in cores
        for name, value in {
            "scaling_governor": governor,
            "scaling_driver": driver,
            "scaling_cur_freq": now,
            "cpuinfo_max_freq": most,
        }.items()
    }


def zone(number: int, name: str, temperature: int, *trips: tuple[str, int]) -> dict[str, str]:
    """Files of a thermal zone, in thousandths of a degree."""
    folder = f"sys/class/thermal/thermal_zone{number}"
    found = {f"{folder}/type": f"{name}\n", f"{folder}/temp": f"{temperature}\n"}
    for index, (kind, degrees) in enumerate(trips):
        found[f"{folder}/trip_point_{index}_type"] = f"{kind}\n"
        found[f"{folder}/trip_point_{index}_temp"] = f"{degrees}\n"
    return found


def _linux(machine: str, release: str, libc: str, cores: int, bits: int = 64) -> dict[str, str]:
    return {
        "uname": f'case "$1" in -s) echo Linux ;; -r) echo {release} ;; -m) echo {machine} ;; esac',
        "getconf": f'case "$1" in LONG_BIT) echo {bits} ;; GNU_LIBC_VERSION) {libc} ;; esac',
        "nproc": f"echo {cores}",
    }


def _os(name: str) -> dict[str, str]:
    return {"etc/os-release": f'PRETTY_NAME="{name}"\nID=x\n'}


def _memory(total_kb: int, free_kb: int) -> dict[str, str]:
    return {
        "proc/meminfo": f"MemTotal: {total_kb:>15} kB\nMemFree: 1000 kB\nMemAvailable: {free_kb:>10} kB\n"
    }


RASPBERRY_PI_5 = Board(
    {
        "proc/cpuinfo": arm(
            "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
            ("0xd0b", 4),
        ),
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "proc/loadavg": "0.08 0.03 0.01 1/180 1234\n",
        **_os("Debian GNU/Linux 12 (bookworm)"),
        **_memory(8245520, 7650000),
        **clocks(range(4), "ondemand", "cpufreq-dt", 1_500_000, 2_400_000),
        **zone(0, "cpu-thermal", 50_500, ("active", 50_000), ("active", 60_000), ("critical", 110_000)),
        "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
        "sys/class/thermal/cooling_device0/cur_state": "2\n",
    },
    {**_linux("aarch64", "6.6.31+rpt-rpi-2712", "echo glibc 2.36", 4), "vcgencmd": "echo throttled=0x50000"},
)

# A 64-bit kernel below 32-bit programs, as Raspberry Pi OS (32-bit) has it since 2023; a weak power supply.
RASPBERRY_PI_4_32BIT = Board(
    {
        "proc/cpuinfo": arm("half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 crc32", ("0xd08", 4))
        + "Revision\t: c03112\nSerial\t\t: 10000000\nModel\t\t: Raspberry Pi 4 Model B Rev 1.2\n",
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.2\0",
        "proc/loadavg": "3.20 1.03 0.91 1/180 1234\n",
        **_os("Raspbian GNU/Linux 12 (bookworm)"),
        **_memory(3885000, 3500000),
        **clocks(range(4), "powersave", "cpufreq-dt", 600_000, 1_500_000),
        **zone(0, "cpu-thermal", 81_300, ("critical", 110_000)),
    },
    {
        **_linux("aarch64", "6.6.31+rpt-rpi-v8", "echo glibc 2.36", 4, bits=32),
        "vcgencmd": "echo throttled=0x50005",
    },
)

# JetPack 5: Ubuntu 20.04.
JETSON_ORIN = Board(
    {
        "proc/cpuinfo": arm(
            "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp "
            "uscat ilrcpc flagm",
            ("0xd42", 6),
        ),
        "sys/firmware/devicetree/base/model": "NVIDIA Orin Nano Developer Kit\0",
        "proc/loadavg": "0.31 0.20 0.10 2/600 4321\n",
        **_os("Ubuntu 20.04.6 LTS"),
        **_memory(7620000, 6100000),
        **clocks(range(6), "schedutil", "tegra194", 729_600, 1_510_400),
        **zone(0, "CPU-therm", 46_900, ("active", 51_000), ("passive", 99_000), ("critical", 104_500)),
        **zone(1, "GPU-therm", 45_000, ("passive", 99_000), ("hot", 103_000), ("critical", 104_500)),
        "sys/class/thermal/cooling_device3/type": "thermal-cpufreq-0\n",
        "sys/class/thermal/cooling_device3/cur_state": "4\n",
    },
    {
        **_linux("aarch64", "5.10.120-tegra", "echo glibc 2.31", 6),
        "nvpmodel": "printf 'NV Power Mode: 7W\\n1\\n'",
        "apt-get": "",
    },
)

# Tensor G3 over adb: no os-release, no C library that says its version, no Python.
ANDROID_PHONE = Board(
    {
        "proc/cpuinfo": arm(
            "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop "
            "asimddp sve asimdfhm dit uscat ilrcpc flagm sve2 i8mm bf16 bti",
            ("0xd46", 4),
            ("0xd4d", 4),
            ("0xd4e", 1),
        ),
        "proc/loadavg": "4.10 3.9 3.8 2/3000 4321\n",
        **_memory(7700000, 3100000),
        **clocks(range(9), "sched_pixel", "exynos-cpufreq", 1_000_000, 2_914_000),
        **zone(0, "BIG", 36_000, ("passive", 95_000)),
        **zone(1, "skin", 36_500, ("passive", 37_000), ("hot", 45_000)),
        "sys/class/power_supply/battery/type": "Battery\n",
        "sys/class/power_supply/battery/capacity": "18\n",
        "sys/class/power_supply/battery/status": "Discharging\n",
    },
    {
        **_linux("aarch64", "5.15.110-android14", "exit 1", 9),
        "ldd": "exit 127",
        "getprop": 'case "$1" in *release) echo 14 ;; *manufacturer) echo Google ;; *model) echo Pixel 8 ;; esac',
    },
)

X86_LAPTOP = Board(
    {
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: 12th Gen Intel(R) Core(TM) i7-1260P\n"
        "flags\t\t: fpu sse4_2 avx2 fma avx_vnni\n\n" * 2,
        "sys/devices/virtual/dmi/id/product_name": "ThinkPad X1 Carbon Gen 10\n",
        "proc/loadavg": "0.05 0.03 0.01 1/180 1234\n",
        **_os("Fedora Linux 40"),
        **_memory(16000000, 12000000),
        **clocks(range(2), "powersave", "intel_pstate", 800_000, 4_700_000),
        **zone(0, "x86_pkg_temp", 52_000, ("passive", 0), ("passive", 100_000)),
        "sys/class/thermal/cooling_device0/type": "Processor\n",
        "sys/class/thermal/cooling_device0/cur_state": "0\n",
        "sys/class/power_supply/BAT0/type": "Battery\n",
        "sys/class/power_supply/BAT0/capacity": "80\n",
        "sys/class/power_supply/BAT0/status": "Not charging\n",
        "sys/class/power_supply/AC/type": "Mains\n",
    },
    _linux("x86_64", "6.8.9", "echo glibc 2.39", 2),
)

ALPINE = Board(
    {"proc/cpuinfo": arm("fp asimd", ("0xd03", 4)), **_os("Alpine Linux v3.19")},
    {
        **_linux("aarch64", "6.6.1-lts", "exit 1", 4),
        "ldd": "printf 'musl libc (aarch64)\\nVersion 1.2.4\\n' >&2; exit 1",
        "apk": "",
    },
)

MAC = Board(
    {},
    {
        "uname": 'case "$1" in -s) echo Darwin ;; -r) echo 23.5.0 ;; -m) echo arm64 ;; esac',
        "getconf": 'case "$1" in LONG_BIT) echo 64 ;; _NPROCESSORS_ONLN) echo 8 ;; *) exit 1 ;; esac',
        "sw_vers": "echo 14.5",
        "sysctl": 'case "$*" in "-n hw.model") echo Mac14,2 ;; "-n hw.memsize") echo 17179869184 ;; '
        '"-n machdep.cpu.brand_string") echo Apple M2 ;; "-n vm.loadavg") echo "{ 0,52 1,98 2,10 }" ;; '
        '"-n sysctl.proc_translated") echo 0 ;; "hw.optional.arm") '
        "printf 'hw.optional.arm.FEAT_DotProd: 1\\nhw.optional.arm.FEAT_FP16: 1\\nhw.optional.arm.FEAT_I8MM: 1\\n"
        "hw.optional.arm.FEAT_SME: 0\\n' ;; *) exit 1 ;; esac",
        "pmset": "case \"$2\" in therm) echo ' CPU_Speed_Limit \t= 70' ;; "
        "batt) printf \"Now drawing from 'Battery Power'\\n -InternalBattery-0 (id=1)\\t64%%; discharging; 5:10 "
        'remaining\\n" ;; esac',
        "xcode-select": "exit 2",
        "brew": "",
    },
)
