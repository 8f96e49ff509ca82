"""The peak that a process reports is its own, and counts what it gave back."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
from edgevit.core.process.memory import peak_bytes
before = peak_bytes()
held = bytearray(200 << 20)
held[:: 4096] = b"x" * len(held[:: 4096])
del held
print(before, peak_bytes())
"""


def test_peak_counts_memory_that_was_given_back_and_nothing_of_the_parent() -> None:
    of_the_parent = bytearray(400 << 20)
    of_the_parent[::4096] = b"x" * len(of_the_parent[::4096])
    told = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    before, after = map(int, told.split())
    assert before < 100 << 20
    assert after - before + (1 << 20) >= 200 << 20 and after < 300 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what was freed")
def test_freed_memory_goes_back_to_the_system() -> None:
    program = """
import os
from edgevit.core.process.memory import give_back, resident_bytes
blocks = [bytearray(100_000) for _ in range(2000)]
last = bytearray(100_000)
del blocks
before = resident_bytes(os.getpgrp())
give_back()
print(before - resident_bytes(os.getpgrp()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, start_new_session=True
    )
    assert int(done.stdout) > 150_000_000
