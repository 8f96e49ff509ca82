from __future__ import annotations

import os
import signal
import threading

import pytest

from edgevit.core.process.interrupt import shielded


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_the_work_is_done(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(number, signal.default_int_handler)
    done = []

    def work() -> None:
        with shielded():
            os.kill(os.getpid(), number)
            done.append("cleaned up")

    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert done == ["cleaned up"]


def test_an_error_within_passes_and_another_thread_is_not_touched() -> None:
    with pytest.raises(ValueError, match="as it was"), shielded():
        raise ValueError("as it was")
    seen = []

    def work() -> None:
        with shielded():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
