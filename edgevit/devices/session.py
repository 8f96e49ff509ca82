"""A device with our agent on it: files are put there once, and it is asked to measure and to execute.

The agent is one file, pushed if it is not there already and started as a process whose streams the place carries. Each
of its messages begins with a word that was made for this session, so that nothing else is taken for an answer. When the
session ends, however it ends, the agent's input closes, upon which it removes what it made.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import queue
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

from edgevit.core._plain import from_plain
from edgevit.core.disk.artifact import weights_beside
from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.errors import DeviceError, DeviceLostError, EdgevitError, InputError
from edgevit.core.place import Place
from edgevit.core.process.interrupt import shielded
from edgevit.core.process.scratch import scratch
from edgevit.core.results.device import DeviceFingerprint, DeviceState, OperatorTimes, TimedBlock
from edgevit.core.runner import DeviceFile
from edgevit.devices import _python
from edgevit.devices._package import agent_archive
from edgevit.devices._shell import Tail, close, ended, quoted

Message = dict[str, object]
Told = Callable[[Message], None]
Work = TypeVar("Work")

# Of one line of the agent: a hundred thousand times of a run are 2 MB.
_LONGEST: Final = 32 << 20
_MOST_NOISE: Final = 1 << 20
_HELLO_SECONDS: Final = 120.0
_ATTEMPTS: Final = 3
# How often the agent is told that we are there, and after how long without it leaves.
_ALIVE_SECONDS: Final = 5.0
_SILENCE_SECONDS: Final = 30.0
# For a copy that is under way at the end; behind it, it finds its folder removed and fails.
_LAST_COPY_SECONDS: Final = 2.0


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

    def __init__(self, place: Place, process: subprocess.Popen[bytes], nonce: str) -> None:
        """Listen to an agent that was started with `nonce`, and let it introduce itself.

        Raises:
            DeviceError, DeviceLostError: as `call`.
        """
        assert process.stdout is not None and process.stderr is not None
        self.place = place
        self._process = process
        self._messages: queue.Queue[Message | EdgevitError | None] = queue.Queue()
        self._errors = Tail(process.stderr)
        self._number = 0
        self._writing = threading.Lock()
        self._closing = threading.Event()
        self._outgoing: queue.Queue[tuple[Path, str]] = queue.Queue()
        self._digests: dict[str, str] = {}  # of what is on its way, by its path there
        self._sender: threading.Thread | None = None
        threading.Thread(target=self._keep_alive, daemon=True).start()
        listener = threading.Thread(
            target=self._listen, args=(process.stdout, nonce.encode() + b" "), daemon=True
        )
        listener.start()
        hello = from_plain(_Hello, self.call("hello", _HELLO_SECONDS), f"the agent on {place.where}")
        self.fingerprint: Final = hello.fingerprint
        self.first_state: Final = hello.state
        self._run = hello.run

    def state(self) -> DeviceState:
        """How the device is right now."""
        return _read(DeviceState, self.call("state", 60.0)["state"], self.place)

    def put(self, artifact: Path) -> str:
        """Copy a file or folder there unless it is there already, whole; its path on the device.

        Raises:
            DeviceError: no space; or it arrived damaged.
            DeviceLostError: the connection broke.
        """
        return self._put(_files_of(artifact))

    def put_array(self, content: Path) -> str:
        """The same for an array of images; its path on the device."""
        return self._put({"pixels.npy": content})

    def send_array(self, content: Path) -> str:
        """Its path on the device, and a copy that goes on beside other work: `execute` waits for what it needs.

        `content` must stay as it is until then. What goes wrong with the copy is raised by the call that is waiting.

        Raises:
            DeviceError, DeviceLostError: as `call`.
        """
        digest = sha256_of(content)
        path = f"{self.place.root}/files/{digest}/pixels.npy"
        if path in self._digests or self._have({path: digest}):
            return path
        self._digests[path] = digest
        self._outgoing.put((content, path))
        if self._sender is None:
            self._sender = threading.Thread(target=self._send_arrays, daemon=True)
            self._sender.start()
        return path

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
        answer = self.call(
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
        answer = self.call(
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

        answer = self.call(
            "execute",
            timeout,
            fetch,
            path=path,
            **_told(file),
            chunks=[
                {"pixels": chunk.pixels, "sha256": self._digests.get(chunk.pixels, ""), "out": out}
                for chunk, out in zip(chunks, remote, strict=True)
            ],
            threads=threads,
            unit=unit,
        )
        return _read(_Answer, answer, self.place).executed_by

    def call(self, op: str, timeout: float, told: Told | None = None, **fields: object) -> Message:
        """Ask one thing and wait for the answer, at most `timeout` seconds.

        Args:
            told: hears of progress on the way.

        Raises:
            DeviceError: the agent could not do it, says what no agent of ours says, or is silent.
            DeviceLostError: the connection broke.
        """
        self._number += 1
        request = {"id": self._number, "op": op, "timeout": timeout, **fields}
        try:
            self._send(request)
        except OSError:
            raise self._ended() from None
        until = time.monotonic() + timeout + 30.0  # the agent ends a task in time itself, and says so
        while True:
            try:
                message = self._messages.get(timeout=max(0.1, until - time.monotonic()))
            except queue.Empty:
                raise DeviceLostError(
                    f"{self.place.where} has been silent for {timeout + 30:g} s",
                    "see whether the device is still there; --timeout gives it longer",
                ) from None
            if message is None:
                raise self._ended()
            if isinstance(message, EdgevitError):
                raise message
            if message.get("id") not in (self._number, None):
                continue
            if "progress" in message:
                progress = message["progress"]
                if told is not None and isinstance(progress, dict):
                    told(progress)
                continue
            if "error" in message:
                raise self._failed(message["error"])
            return message

    def close(self) -> None:
        """Let the agent clean up and leave, whatever it is doing; at most a few seconds."""
        with shielded():
            self._closing.set()
            if self._sender is not None:
                self._sender.join(_LAST_COPY_SECONDS)
            stdin = self._process.stdin
            with contextlib.suppress(OSError):
                if stdin is not None:
                    stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            close(self._process)

    def _put(self, files: Mapping[str, Path]) -> str:
        digests = {name: sha256_of(path) for name, path in files.items()}
        own = hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()
        folder = f"{self.place.root}/files/{own}"
        wanted = {f"{folder}/{name}": digest for name, digest in digests.items()}
        there = self._have(wanted)
        missing = [path for path in wanted if path not in there]
        for path in missing:
            self.place.put(files[path.removeprefix(f"{folder}/")], path)
        if missing:
            arrived = self._have(wanted)
            broken = [path for path in missing if path not in arrived]
            if broken:
                raise DeviceLostError(
                    f"{broken[0]} on {self.place.where} is not what was sent",
                    "see whether the connection is sound and the disk there healthy",
                )
        first = next(iter(files))
        return f"{folder}/{first.split('/', maxsplit=1)[0]}"

    def _have(self, wanted: Mapping[str, str]) -> set[str]:
        found = self.call("have", 600.0, files=dict(wanted)).get("have")
        return {str(path) for path in found} if isinstance(found, list) else set()

    def _failed(self, error: object) -> DeviceError:
        """What the agent says went wrong there."""
        told = error if isinstance(error, dict) else {}
        kind, message = str(told.get("kind")), str(told.get("message"))[:2000]
        where, hint = self.place.where, ""
        if kind == "damaged":
            return DeviceLostError(f"on {where}: {message}", "see whether the connection is sound")
        if kind == "missing":
            message = f"{where} lacks a Python package: {message}"
            hint = f"edgevit doctor --device {quoted([where])} says which, --setup installs the runtime there"
        elif kind == "busy":
            message, hint = (
                f"{where}: {message}",
                "wait until it is done; two at once would disturb each other",
            )
        elif kind == "timeout":
            message, hint = f"{where}: {message}", "give it longer with --timeout, or fewer images or runs"
        else:
            stderr = str(told.get("stderr", "")).strip()
            last = f" ({stderr.splitlines()[-1][:300]})" if stderr else ""
            message = f"on {where}: {message}{last}"
            hint = f"see what the device lacks: edgevit doctor --device {quoted([where])}"
        return DeviceError(message, hint)

    def _ended(self) -> DeviceError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        return ended(self.place, 0 if code is None else code, self._errors.text())

    def _send(self, request: Message) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with self._writing:
            _write(stdin, json.dumps(request).encode() + b"\n")

    def _send_arrays(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(queue.Empty):
                content, path = self._outgoing.get(timeout=0.2)
                try:
                    self.place.put(content, path)
                except EdgevitError as error:
                    self._messages.put(error)
                    return

    def _keep_alive(self) -> None:
        """Let the agent know that we are there: it leaves when it hears nothing, as behind a link that is dead."""
        with contextlib.suppress(OSError, ValueError):  # ended, or closed
            while not self._closing.wait(_ALIVE_SECONDS):
                self._send({"op": "alive"})

    def _listen(self, stream: IO[bytes], prefix: bytes) -> None:
        """Queue the agent's messages until its output ends."""
        noise = 0
        buffered = _Lines(stream)
        while True:
            line = buffered.next()
            if line is None:
                self._messages.put(None)
                return
            if not line.startswith(prefix):
                noise += len(line)
                if noise > _MOST_NOISE:
                    self._messages.put(self._nonsense(f"more than a megabyte of it, at last {line[-60:]!r}"))
                    return
                continue
            try:
                message = json.loads(line[len(prefix) :])
            except (ValueError, RecursionError):
                message = None
            if not isinstance(message, dict):
                self._messages.put(self._nonsense(repr(line[len(prefix) :][:60])))
                return
            self._messages.put(message)

    def _nonsense(self, what: str) -> DeviceError:
        return DeviceError(
            f"{self.place.where} sends what is no answer of our agent: {what}",
            "see what the login shell there prints, and whether our folder there was changed: "
            f"{self.place.root}",
        )


class _Lines:
    """Lines of a raw stream; one that does not end within _LONGEST comes as it is."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._buffer = stream, bytearray()

    def next(self) -> bytes | None:
        """One line, None at the end; what stands behind the last line end is no line."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > _LONGEST:
                break
            try:
                piece = self._stream.read(1 << 16)
            except (OSError, ValueError):
                piece = b""
            if not piece:
                return None
            self._buffer += piece
        end = end if end >= 0 else len(self._buffer)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line


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
        session = Session(place, process, nonce)
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


def _files_of(artifact: Path) -> dict[str, Path]:
    """Name on the device, below a folder of its own -> file. Only weights beside it need the name that they have."""
    if artifact.is_dir():
        name = f"model{artifact.suffix}"
        found = sorted(path for path in artifact.rglob("*") if path.is_file())
        return {f"{name}/{path.relative_to(artifact).as_posix()}": path for path in found}
    beside = weights_beside(artifact)
    if beside.is_file():
        return {artifact.name: artifact, beside.name: beside}
    return {f"model{artifact.suffix}": artifact}


def _told(file: DeviceFile) -> Message:
    return {"feed": asdict(file.feed), "classes": file.classes}


_Kind = TypeVar("_Kind", TimedBlock, OperatorTimes, _Answer, DeviceState)


def _read(kind: type[_Kind], answer: object, place: Place) -> _Kind:
    try:
        return from_plain(kind, answer, f"the answer of {place.where}")
    except InputError as error:
        raise DeviceError(error.message, f"remove {place.root} there and run it again") from error


def _write(stream: IO[bytes], data: bytes) -> None:
    while data:
        data = data[stream.write(data) :]
