from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from edgevit.core.process.sandbox import Isolation, Sandbox, available
from edgevit.core.process.worker import ProcessLimits, run

JOB = "tests.edgevit.core.process._jobs:reach_out"
WRITES = {
    "create",
    "change",
    "append",
    "truncate",
    "remove",
    "rename",
    "link",
    "folder",
    "move in",
    "link of its own",
}
WRITES |= {"by another program"}
ALLOWED = {"own scratch", "given folder", "null", "read"}


def reach_out(tmp_path: Path, limits: ProcessLimits) -> dict[str, object]:
    """What a step could do that has `given` to write to, while somebody listens on this machine."""
    outside, given = tmp_path / "outside", tmp_path / "given"
    outside.mkdir()
    given.mkdir()
    kept = outside / "kept"
    kept.write_text("kept")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        request = {"outside": str(outside), "kept": str(kept), "folder": str(given), "port": port}
        return run("reach out", JOB, request, limits)


def test_a_sandboxed_step_writes_to_its_folders_only_and_reaches_nobody(tmp_path: Path) -> None:
    found = reach_out(tmp_path, ProcessLimits(sandbox=Sandbox((str(tmp_path / "given"),))))
    told, here = found["told"], available()
    assert isinstance(told, dict)
    assert found["isolation"] == {"files": here.files, "network": here.network}
    assert all(told[name] == "done" for name in (*ALLOWED, "cache")), told
    assert (tmp_path / "given" / "new").read_text() == "x"
    assert found["user"] == os.getuid()
    assert found["capabilities"] in (0, 0b10, 0b100, 0b110)  # at most those to read others' files
    if here.files == "landlock":
        assert {name for name in WRITES if told[name] == "done"} == set()
        assert (tmp_path / "outside" / "kept").read_text() == "kept"
        assert [path.name for path in (tmp_path / "outside").iterdir()] == ["kept"]
    if here.network != "none":
        assert told["tcp"] != "done"
    if here.network == "namespace":
        assert told["udp"] != "done"


def test_without_a_sandbox_the_same_attempts_succeed(tmp_path: Path) -> None:
    # else the test above would prove nothing
    found = reach_out(tmp_path, ProcessLimits())
    told = found["told"]
    assert isinstance(told, dict) and "isolation" not in found
    assert {"create", "change", "append", "truncate", "remove", "link", "folder", "tcp", "udp"} <= {
        name for name, how in told.items() if how == "done"
    }


def test_what_is_available_is_found_without_giving_anything_up(tmp_path: Path) -> None:
    found = available()
    (tmp_path / "still").write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    if sys.platform != "linux":
        assert found == Isolation("none", "none")
