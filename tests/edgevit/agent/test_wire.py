"""Messages between processes: long lines, broken ones, and numbers that JSON has no word for."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import IO

import pytest

from edgevit.agent import wire


class Dribble(io.RawIOBase):
    """Takes three bytes at a time, as a full pipe does."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.data += data[:3]
        return min(3, len(data))


def test_a_message_is_one_line_behind_its_word_however_the_stream_takes_it() -> None:
    stream = Dribble()
    wire.Sender(stream, "word").send({"text": "a\nb ü", "number": 0.1})  # type: ignore[arg-type]
    assert stream.data.count(b"\n") == 1 and stream.data.endswith(b"\n")
    word, _, message = stream.data.partition(b" ")
    assert word == b"word" and json.loads(message) == {"text": "a\nb ü", "number": 0.1}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_no_word_for_is_refused_before_anything_is_written(number: float) -> None:
    stream = io.BytesIO()
    with pytest.raises(ValueError, match="JSON"):
        wire.Sender(stream, "word").send({"ms": [1.0, number]})
    assert stream.getvalue() == b""


def test_requests_of_any_length_below_the_limit_are_read() -> None:
    asked = [{"id": 1, "op": "hello"}, {"id": 2, "files": "x" * (wire.LONGEST - 100)}]
    stream = io.BytesIO(b"".join(json.dumps(one).encode() + b"\n" for one in asked))
    assert list(wire.requests(stream)) == asked


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"id": 1}\n' + b"x" * (wire.LONGEST + 1) + b"\n", "more than"),
        (b'{"id": 1}\n{"id": 2', "broken"),
        (b'{"id": 1}\n[2]\n', "object"),
        (b'{"id": 1}\n{"id": }\n', "Expecting value"),
        (b'{"id": 1}\n\xff\xfe\n', "codec"),
    ],
)
def test_what_is_no_request_ends_them_after_those_that_are(data: bytes, words: str) -> None:
    asked = wire.requests(io.BytesIO(data))
    assert next(asked) == {"id": 1}
    with pytest.raises(ValueError, match=words):
        next(asked)


def test_a_line_beyond_the_limit_comes_in_pieces() -> None:
    stream = io.BytesIO(b"x" * (wire.LONGEST + 5) + b"\nshort\n")
    assert [(len(line), whole) for line, whole in wire.lines(stream)] == [
        (wire.LONGEST, False),
        (6, True),
        (6, True),
    ]


def test_what_is_printed_besides_never_reaches_standard_output() -> None:
    program = (
        "from edgevit.agent.wire import Sender, private_stdout\nimport os, sys\n"
        "own = private_stdout()\nprint('a banner')\nos.write(1, b'from a library\\n')\n"
        "sys.stdout.flush()\nSender(own, 'word').send({'id': 1})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b'word {"id":1}\n'
    assert b"a banner" in done.stderr and b"from a library" in done.stderr


def test_a_listener_that_is_gone_is_an_error() -> None:
    class Closed(io.RawIOBase):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            raise BrokenPipeError

    stream: IO[bytes] = Closed()  # type: ignore[assignment]
    with pytest.raises(BrokenPipeError):
        wire.Sender(stream, "word").send({})
