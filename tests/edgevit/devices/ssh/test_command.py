"""The command line on a device behind the real client."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevit.cli import main
from tests._ssh_server import Server
from tests.edgevit.devices.ssh._small_model import save


def test_a_fault_ends_with_3_and_no_answer(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.forget_key()
    with pytest.raises(SystemExit) as ended:
        main(["profile", str(save(tmp_path)), "--device", server.where])
    shown = capsys.readouterr()
    assert ended.value.code == 3 and shown.out == ""
    assert f"error: the host key of {server.where} is not known on this computer" in shown.err
    assert f"hint: connect once by hand with `ssh -p {server.port} tester@127.0.0.1`" in shown.err
