"""A script of the POSIX shell as one line that every login shell hands on unchanged.

An SSH server gives the command to the user's login shell, which may be bash, zsh, fish or tcsh. Their quoting differs:
within single quotes fish reads a backslash before a quote or a backslash as an escape, and csh ends the line at a line
feed and may take an exclamation mark for its history. So the line holds none of these: `sh` has `printf` write them
from their octal codes, and runs what comes out.
"""

from __future__ import annotations

import re
from typing import Final

# Linux takes no argument of 128 KiB or more (MAX_ARG_STRLEN), and the server's shell gets the line as one.
LONGEST: Final = (128 << 10) - 1
_AS_CODE: Final = re.compile(rb"[^ -~]|[\\'\"$`!]")  # these, and all beyond printable ASCII


def line_for(script: str) -> str:
    """`script`, to be run by `sh` in place of the login shell.

    Raises:
        ValueError: a NUL, which no command can hold, or a script that gets too long.
    """
    raw = script.encode(errors="surrogateescape")
    if b"\0" in raw:
        raise ValueError("a script cannot hold a NUL")
    codes = _AS_CODE.sub(lambda found: b"\\0%03o" % found[0][0], raw).decode("ascii")
    line = f"""exec sh -c 'eval "$(printf %b "{codes}")"'"""
    if len(line) > LONGEST:
        raise ValueError(f"a script of {len(raw)} bytes gets too long for a command line")
    return line
