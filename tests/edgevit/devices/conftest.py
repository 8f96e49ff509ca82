"""What the tests of devices share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests._phone import Server, adb_server


@pytest.fixture(scope="session")
def private_adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An adb server on a port of its own; it takes three seconds to start."""
    with adb_server(tmp_path_factory.mktemp("adb")) as server:
        yield server


@pytest.fixture
def adb(private_adb_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The same, taken for the user's own by what runs in the test."""
    for name, value in private_adb_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    return private_adb_server
