"""One process of benchmark_model on the device: flags that it has, bound to cores, ended in time, its files fetched."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edgevit.core.errors import DeviceError
from edgevit.core.foreign import printable
from edgevit.core.place import Place
from edgevit.core.process.scratch import scratch
from edgevit.devices._benchmark_model import results
from edgevit.devices._benchmark_model.types import Tool, ToolSettings, ToolTimes
from edgevit.devices._shell import quoted, run

PID: Final = "pid"  # in the folder of a run, the number of the process that runs
_PRINTED: Final = 200_000  # bytes of what it prints; a table of operators takes 300 for each
_LATE: Final = 124  # exit code of `timeout`
_GRACE_SECONDS: Final = 30.0

Flags = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Output:
    """What a process left: its times, what it printed, and by flag the files that it wrote."""

    times: ToolTimes
    printed: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs the program in a folder of its own on the device.

    Attributes:
        cores: of the device.
    """

    place: Place
    tool: Tool
    folder: str
    settings: ToolSettings
    cores: int

    def check_binding(self) -> None:
        """Raise DeviceError where the phone does not bind a process to the cores that were asked for."""
        bound = self._bound()
        if not bound:
            return
        done = run(self.place, f"{quoted([*bound, 'true'])} 2>&1", _GRACE_SECONDS)
        if done.code != 0:
            cpus = ",".join(map(str, self.settings.cpus))
            said = printable(done.stdout.strip().partition("\n")[0][:200])
            raise DeviceError(
                f"{self.place.where} does not bind a process to cores {cpus}: {said}",
                "name cores that it has and that are on, or leave --cpus away",
            )

    def run(self, path: str, flags: Flags, wanted: Sequence[str] = ()) -> Output:
        """Run it on a file to its end.

        Args:
            flags: those that the program does not have are left out.
            wanted: of those flags that name a file which the program writes.

        Raises:
            DeviceError: it fails, takes too long, or says what cannot be.
            DeviceLostError: the connection broke.
        """
        written = [name for name in ("result_file_path", *wanted) if name in self.tool.flags]
        done = run(self.place, self._script(path, flags, written), self.settings.timeout + _GRACE_SECONDS)
        if done.code != 0:
            raise self._failed(done.code, done.stdout or done.stderr)
        files = self._fetched(written)
        return Output(
            results.read(files.get("result_file_path"), done.stdout, self.place.where), done.stdout, files
        )

    def _bound(self) -> list[str]:
        """Before a command, what binds it: Android's `taskset` takes hexadecimal digits."""
        mask = sum(1 << cpu for cpu in self.settings.cpus)
        return ["taskset", f"{mask:x}"] if mask else []

    def _script(self, path: str, flags: Flags, written: Sequence[str]) -> str:
        settings = self.settings
        given: dict[str, object] = {
            "graph": path,
            "num_threads": settings.threads or len(settings.cpus) or self.cores or 1,
            "warmup_runs": 1,
            "warmup_min_secs": settings.warm_up,
            "max_secs": settings.timeout,  # else it ends after 150 with fewer runs than were asked for
            **flags,
        }
        given |= {name: f"{self.folder}/{name}" for name in written}
        words = [f"--{name}={_plain(value)}" for name, value in given.items() if name in self.tool.flags]
        command = f"echo $$ >{PID}; exec {quoted([*self._bound(), self.tool.path, *words])}"
        # what it prints may be without end, and its number is for whoever has to end it
        return (
            f"cd {shlex.quote(self.folder)} && rm -f {quoted(written)} || exit 1\n"
            f"timeout {settings.timeout:.0f} sh -c {shlex.quote(command)} >print 2>&1\n"
            f"code=$?\nrm -f {PID}\ntail -c {_PRINTED} print\nexit $code"
        )

    def _fetched(self, names: Sequence[str]) -> dict[str, bytes]:
        found = {}
        with scratch("edgevit-tool-") as here:
            for name in names:
                self.place.get(f"{self.folder}/{name}", here / name)
                found[name] = (here / name).read_bytes()
        return found

    def _failed(self, code: int, printed: str) -> DeviceError:
        if code == _LATE:
            return DeviceError(
                f"benchmark_model on {self.place.where} took longer than {self.settings.timeout:g} s",
                "--timeout gives it longer",
            )
        lines = [line.strip() for line in printed.splitlines() if line.strip()]
        blamed = [line for line in lines if line.startswith("ERROR") and "Benchmarking failed" not in line]
        said = printable((blamed or lines or ["it prints nothing"])[-1].removeprefix("ERROR: ")[:300])
        how = f"was ended by signal {code - 128}" if code > 128 else f"failed with code {code}"
        return DeviceError(
            f"benchmark_model on {self.place.where} {how}: {said}", "see whether it runs there by hand"
        )


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
