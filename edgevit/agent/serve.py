"""The agent's own process: it answers what the other side asks, one thing at a time, and cleans up after it.

It is started as `python3 agent.pyz serve NONCE ROOT KEEP SILENCE` and speaks JSON lines (see wire.py). When its input
ends, because the other side is done, was interrupted, or is gone, it ends its task, removes what it made, and leaves.
It does the same when it hears nothing for SILENCE seconds: behind a link that is dead an input does not end for hours.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from typing import IO, Any

from .emulation import emulated
from .fingerprint import fingerprint
from .state import read, state
from .task import sha256
from .wire import Message, Sender, lines, private_stdout, requests

PROTOCOL = 1
# Another agent may just be leaving.
_PATIENCE = 5.0
_TAIL = 4000


class Agent:
    """One run of the agent on a device."""

    def __init__(self, archive: str, nonce: str, root: str, keep: bool, silence: float) -> None:
        """Take the device: nobody else measures while we do.

        Raises:
            BlockingIOError: somebody else does.
        """
        self.archive, self.nonce, self.root, self.keep, self.silence = archive, nonce, root, keep, silence
        with open(archive, "rb") as file:
            content = file.read()
        self.lock = _take(root)
        if not os.path.exists(archive):  # who had the device has removed it while leaving
            with open(archive, "wb") as file:
                file.write(content)
        self.sender = Sender(private_stdout(), nonce)
        self.child: subprocess.Popen[bytes] | None = None
        self.hashed: dict[str, tuple[tuple[int, int], str]] = {}
        self.leaving = threading.RLock()
        self.heard = time.monotonic()
        self.run = os.path.join(root, "run")
        shutil.rmtree(self.run, ignore_errors=True)  # of a run that was killed
        os.makedirs(self.run)

    def serve(self) -> None:
        """Answer until the other side is done or gone."""
        waiting: queue.Queue[Message] = queue.Queue()
        threading.Thread(target=self._listen, args=(waiting,), daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        while True:
            request = waiting.get()
            number = request.get("id")
            try:
                answer = self._answer(request)
            except Exception as error:
                text = f"{type(error).__name__}: {str(error)[:2000]}"
                self.sender.send({"id": number, "error": {"kind": "failed", "message": text}})
            else:
                self.sender.send(dict(answer, id=number))

    def leave(self) -> None:
        """End the task, remove what was made, and leave at once, whatever other threads do."""
        with self.leaving:
            self._stop()
            shutil.rmtree(self.run, ignore_errors=True)
            if not self.keep:
                shutil.rmtree(os.path.join(self.root, "files"), ignore_errors=True)
                with contextlib.suppress(OSError):
                    os.unlink(self.archive)
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.root, "lock"))
                os.rmdir(self.root)  # where nothing is left in it, such as an environment
            os._exit(0)

    def _listen(self, waiting: queue.Queue[Message]) -> None:
        try:
            for request in requests(sys.stdin.buffer):
                self.heard = time.monotonic()
                if request.get("op") != "alive":
                    waiting.put(request)
        except ValueError as error:
            self.sender.send({"id": None, "error": {"kind": "protocol", "message": str(error)}})
        self.leave()

    def _watch(self) -> None:
        while time.monotonic() - self.heard < self.silence:
            time.sleep(1.0)
        self.leave()

    def _answer(self, request: Message) -> Message:
        op = request["op"]
        if op == "hello":
            said = dict(fingerprint(), emulated=emulated())
            return {"protocol": PROTOCOL, "fingerprint": said, "state": state(), "run": self.run}
        if op == "state":
            return {"state": state()}
        if op == "have":
            return {
                "have": [path for path, digest in request["files"].items() if self._digest(path) == digest]
            }
        if op in ("time", "execute", "operators"):
            before = state()
            answer = self._task(dict(request, task=op), request["id"], request["timeout"])
            return dict(answer, before=before, after=state())
        raise ValueError("unknown op " + repr(op))

    def _digest(self, path: str) -> str:
        """sha256 of a file, "" where there is none; hashed once."""
        try:
            found = os.stat(path)
        except OSError:
            return ""
        mark = (found.st_size, found.st_mtime_ns)
        if self.hashed.get(path, ((0, 0), ""))[0] != mark:
            self.hashed[path] = (mark, sha256(path))
        return self.hashed[path][1]

    def _task(self, job: Message, number: Any, timeout: float) -> Message:
        """Do it in a process of its own, telling its progress."""
        errors = os.path.join(self.run, "stderr")
        with self.leaving, open(errors, "wb") as written:  # who leaves waits for it, and ends it
            self.child = subprocess.Popen(
                [sys.executable, self.archive, "task", self.nonce],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=written,
                start_new_session=True,
            )
        child = self.child
        assert child.stdin is not None and child.stdout is not None
        Sender(child.stdin, "").send(job)
        child.stdin.flush()
        late = threading.Event()

        def end() -> None:
            late.set()
            self._stop()

        alarm = threading.Timer(timeout, end)
        alarm.start()
        try:
            answer = self._listen_to(child.stdout, number)
            code = child.wait()
        finally:
            alarm.cancel()
            self._stop()
            self.child = None
        if late.is_set():
            message = f"it took longer than {timeout:g} s"
            return {"error": {"kind": "timeout", "message": message}}
        if answer is None:
            said = read(errors)[-_TAIL:]
            return {"error": {"kind": "crashed", "message": _ended(code), "stderr": said}}
        return answer

    def _listen_to(self, stream: IO[bytes], number: Any) -> Message | None:
        """The answer of a task, None where it ends without one."""
        prefix = self.nonce.encode() + b" "
        found: Message | None = None
        for line, _ in lines(stream):
            if not line.startswith(prefix):
                continue
            message = json.loads(line[len(prefix) :])
            if "progress" in message:
                self.sender.send({"id": number, "progress": message["progress"]})
            elif "error" in message:
                found = {"error": message["error"]}
            else:
                found = message["answer"]
        return found

    def _stop(self) -> None:
        child = self.child
        if child is None:
            return
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)


def _take(root: str) -> IO[str]:
    """The lock of a folder, held as long as the file is open.

    Raises:
        BlockingIOError: another process has held it for _PATIENCE seconds.
    """
    path = os.path.join(root, "lock")
    until = time.monotonic() + _PATIENCE
    while True:
        os.makedirs(root, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # who leaves removes file and folder
            file = open(path, "a+")  # noqa: SIM115 - held as long as this process lives
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    return file
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
            file.close()
        time.sleep(0.2)


def _ended(code: int) -> str:
    if code >= 0:
        return f"it ended with exit status {code} and without an answer"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return "it died of " + name + (", as a process does that needs too much memory" if code == -9 else "")


def main(arguments: list[str]) -> None:
    """`serve NONCE ROOT KEEP SILENCE`, or `task NONCE`."""
    # ONNX Runtime 1.32 writes below the home folder and sends over the network what it was used for.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    if arguments[0] == "task":
        from .task import main as task

        task(arguments[1])
        return
    nonce, root, keep, silence = arguments[1], arguments[2], arguments[3] == "keep", float(arguments[4])
    try:
        agent = Agent(sys.argv[0], nonce, root, keep, silence)
    except BlockingIOError:
        message = "another run of edgevit is using the device"
        Sender(sys.stdout.buffer, nonce).send({"id": None, "error": {"kind": "busy", "message": message}})
        sys.exit(1)
    signal.signal(signal.SIGTERM, lambda *_: agent.leave())
    signal.signal(signal.SIGHUP, lambda *_: agent.leave())
    try:
        agent.serve()
    except OSError:  # nobody listens any more
        pass
    except Exception:
        traceback.print_exc()
    finally:
        agent.leave()
