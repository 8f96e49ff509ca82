"""What the tests of workers share."""

from __future__ import annotations

import pytest

from edgevit.core.process import forking, worker


@pytest.fixture
def steady_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps see an environment that does not name the running test, which would make it another one each time."""
    given = forking.step_environment

    def steady(threads: int = 0, folder: str = "") -> dict[str, str]:
        found = given(threads, folder)
        return {name: value for name, value in found.items() if name != "PYTEST_CURRENT_TEST"}

    monkeypatch.setattr(forking, "step_environment", steady)
    monkeypatch.setattr(worker, "step_environment", steady)
    monkeypatch.delenv(forking.SHARED, raising=False)
