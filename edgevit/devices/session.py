"""A device with our agent on it: files are put there once, and it is asked to measure and to execute.

The agent is one file, pushed if it is not there already and started as a process whose streams the place carries. Each
of its messages begins with a word that was made for this session, so that nothing else is taken for an answer. When the
session ends, however it ends, the agent's input closes, upon which it removes what it made.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

from edgevit.core._plain import from_plain
from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.errors import DeviceError, DeviceLostError, InputError
from edgevit.core.place import Place
from edgevit.core.process.interrupt import shielded
from edgevit.core.process.scratch import scratch
from edgevit.core.results.device import DeviceFingerprint, DeviceState, OperatorTimes, TimedBlock
from edgevit.core.runner import DeviceFile
from edgevit.devices import _python
from edgevit.devices._channel import Channel, Message
from edgevit.devices._package import agent_archive
from edgevit.devices._shell import close, quoted
from edgevit.devices._store import Store

Work = TypeVar("Work")

_HELLO_SECONDS: Final = 120.0
_ATTEMPTS: Final = 3
# Without a word of ours for so long, the agent leaves.
_SILENCE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Answer:
    """What `execute` ends with."""

    executed_by: str
    seconds: float
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class _Hello:
    protocol: int
    fingerprint: DeviceFingerprint
    state: DeviceState
    run: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Images to execute a file on, and where its outputs go.

    Attributes:
        pixels: on the device, uint8 (N, height, width, channels) as .npy.
        outputs: here, the .npz that gets them, (N, ...) in the file's order.
    """

    pixels: str
    outputs: Path


class Session:
    """An agent that answers; made by `connect`."""

    def __init__(self, channel: Channel) -> None:
        """Let an agent introduce itself.

        Raises:
            InputError: it does so in a way that no agent of ours does.
            DeviceError, DeviceLostError: as of every call.
        """
        self.place: Final = channel.place
        self.store: Final = Store(channel)
        self._channel = channel
        answer = channel.call("hello", _HELLO_SECONDS)
        hello = from_plain(_Hello, answer, f"the agent on {channel.place.where}")
        self.fingerprint: Final = hello.fingerprint
        self.first_state: Final = hello.state
        self._run = hello.run

    def state(self) -> DeviceState:
        """How the device is right now."""
        return _read(DeviceState, self._channel.call("state", 60.0)["state"], self.place)

    def time(
        self,
        files: Mapping[str, DeviceFile],
        *,
        runs: int,
        seconds: float,
        threads: int,
        cpus: tuple[int, ...],
        unit: str,
        timeout: float,
    ) -> TimedBlock:
        """Time files in one new process there, run i of one right beside run i of the others.

        Args:
            files: path on the device -> what the agent must know of it.
            runs: of each at least.
            seconds: of them at least.
            threads: 0 for all cores.
            cpus: cores that the process is bound to, none for all.
            unit: compute unit of Core ML.
        """
        answer = self._channel.call(
            "time",
            timeout,
            files=[{"path": path, **_told(file), "shape": file.shape} for path, file in files.items()],
            runs=runs,
            seconds=seconds,
            threads=threads,
            cpus=cpus,
            unit=unit,
        )
        block = _read(TimedBlock, answer, self.place)
        for file in block.files:
            times = (*file.wall_ms, file.load_ms, file.first_ms)
            if len(file.wall_ms) < runs or not all(0 < ms < math.inf for ms in times):
                raise DeviceError(
                    f"{self.place.where} gave times that cannot be: {len(file.wall_ms)} of {runs} runs, "
                    f"the shortest {min(times)} ms",
                    "run it again; a device whose clock jumps cannot be measured",
                )
        return block

    def operators(
        self,
        path: str,
        file: DeviceFile,
        *,
        runs: int,
        threads: int,
        cpus: tuple[int, ...],
        unit: str,
        timeout: float,
    ) -> OperatorTimes:
        """Time every operator of a file that was put there; arguments as of `time`."""
        answer = self._channel.call(
            "operators",
            timeout,
            None,
            path=path,
            **_told(file),
            shape=file.shape,
            runs=runs,
            threads=threads,
            cpus=cpus,
            unit=unit,
        )
        return _read(OperatorTimes, answer, self.place)

    def execute(
        self,
        path: str,
        file: DeviceFile,
        chunks: tuple[Chunk, ...],
        *,
        threads: int,
        unit: str,
        timeout: float,
        done: Callable[[Chunk, int], None],
    ) -> str:
        """Execute a file that was put there; each chunk's outputs are fetched as they come.

        Args:
            done: told of each chunk whose outputs are here, whole, with its number of images.

        Returns:
            What executed it, with its version.

        Raises:
            DeviceError, DeviceLostError: as `call`; chunks that `done` was told of stay.
        """
        remote = [f"{self._run}/{number}.npz" for number in range(len(chunks))]

        def fetch(told: Message) -> None:
            number, images, digest = told.get("chunk"), told.get("images"), told.get("sha256")
            if not isinstance(number, int) or not isinstance(images, int) or not 0 <= number < len(chunks):
                return
            chunk = chunks[number]
            aside = chunk.outputs.with_name(chunk.outputs.name + ".part")
            self.place.get(remote[number], aside)
            if sha256_of(aside) != digest:
                raise DeviceLostError(
                    f"outputs from {self.place.where} arrived damaged", "see whether the connection is sound"
                )
            aside.replace(chunk.outputs)
            done(chunk, images)

        answer = self._channel.call(
            "execute",
            timeout,
            fetch,
            path=path,
            **_told(file),
            chunks=[
                {"pixels": chunk.pixels, "sha256": self.store.digest_of(chunk.pixels), "out": out}
                for chunk, out in zip(chunks, remote, strict=True)
            ],
            threads=threads,
            unit=unit,
        )
        return _read(_Answer, answer, self.place).executed_by

    def close(self) -> None:
        """Let the agent clean up and leave, whatever it is doing; at most a few seconds."""
        with shielded():
            self.store.close()
            self._channel.close()


@contextmanager
def connect(place: Place, keep: bool = False) -> Iterator[Session]:
    """Start the agent on a device, and end it.

    Args:
        keep: what was put there stays for the next time.

    Raises:
        DeviceError: no Python there that could run it, no space, or something else uses the device.
        DeviceLostError: the connection broke.
    """
    python = place.python or _python.find(place)
    archive, digest = agent_archive()
    remote = f"{place.root}/agent-{digest}.pyz"
    if _python.sha256(place, python, remote) != digest:
        with scratch() as folder:
            (folder / "agent.pyz").write_bytes(archive)
            place.put(folder / "agent.pyz", remote)
    nonce = secrets.token_hex(16)
    with shielded():
        words = ["serve", nonce, place.root, "keep" if keep else "clean", str(_SILENCE_SECONDS)]
        process = place.spawn(f"exec {quoted([python, remote, *words])}")
    try:
        session = Session(Channel(place, process, nonce))
    except InputError as error:
        close(process)
        raise DeviceError(
            f"{place.where} introduces itself in a way that no agent of ours does: {error.message}",
            f"remove {place.root} there and run it again",
        ) from error
    except BaseException:
        close(process)
        raise
    try:
        yield session
    finally:
        session.close()


def persist(
    sessions: Callable[[], contextlib.AbstractContextManager[Session]],
    work: Callable[[Session], Work],
    note: Callable[[str], None],
) -> Work:
    """Do `work` in a session, and in another one where the connection breaks: it must go on where it was.

    Raises:
        DeviceLostError: the connection broke for the third time.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with sessions() as session:
                return work(session)
        except DeviceLostError as error:
            if attempt == _ATTEMPTS:
                raise
            note(f"{error.message}; connecting again ({attempt} of {_ATTEMPTS - 1})")
            time.sleep(attempt)
    raise AssertionError("either returned or raised")


def _told(file: DeviceFile) -> Message:
    return {"feed": asdict(file.feed), "classes": file.classes}


_Kind = TypeVar("_Kind", TimedBlock, OperatorTimes, _Answer, DeviceState)


def _read(kind: type[_Kind], answer: object, place: Place) -> _Kind:
    try:
        return from_plain(kind, answer, f"the answer of {place.where}")
    except InputError as error:
        raise DeviceError(error.message, f"remove {place.root} there and run it again") from error
