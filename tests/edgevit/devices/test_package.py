"""The agent as one file: the same bytes each time, and nothing of edgevit needed to run it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from edgevit.devices._package import agent_archive


def test_the_same_source_gives_the_same_bytes_in_every_process() -> None:
    data, digest = agent_archive()
    assert hashlib.sha256(data).hexdigest() == digest
    agent_archive.cache_clear()
    assert agent_archive() == (data, digest)
    program = "from edgevit.devices._package import agent_archive; print(agent_archive()[1])"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert done.stdout.decode().strip() == digest


def test_it_holds_the_agent_alone_and_unpacked() -> None:
    with zipfile.ZipFile(io.BytesIO(agent_archive()[0])) as archive:
        names = archive.namelist()
        assert all(name == "__main__.py" or name.startswith("edgevit_agent/") for name in names)
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        assert not any(b"import edgevit\n" in archive.read(name) for name in names)


def test_it_runs_where_there_is_no_edgevit(tmp_path: Path) -> None:
    program = tmp_path / "agent.pyz"
    program.write_bytes(agent_archive()[0])
    root = tmp_path / "root"
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(tmp_path)}
    command = [sys.executable, "-I", str(program), "serve", "word", str(root), "keep", "60"]
    asked = b'{"id": 1, "op": "hello"}\n'
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(asked)
    process.stdin.flush()
    word, _, message = process.stdout.readline().partition(b" ")
    process.stdin.close()
    assert word == b"word"
    hello = json.loads(message)
    assert hello["id"] == 1 and hello["fingerprint"]["cores"] >= 1
    assert process.wait(30) == 0
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()
    assert not (root / "run").exists()


def test_it_needs_nothing_but_the_standard_library_to_say_hello(tmp_path: Path) -> None:
    """As `python3 -S -E`, without numpy and without the runtimes."""
    program = tmp_path / "agent.pyz"
    program.write_bytes(agent_archive()[0])
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import edgevit_agent.serve as s, edgevit_agent.task;"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('numpy', 'edgevit', 'onnxruntime')))"
    )
    command = [sys.executable, "-S", "-E", "-I", "-c", script, str(program)]
    done = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == b"[]"
