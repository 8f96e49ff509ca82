"""Scripts reach `sh` byte for byte, whatever shell the account has.

`dash` and `bash` are here. By hand the same script went through zsh 5.9, fish 3.6, tcsh 6.24, mksh and busybox.
"""

from __future__ import annotations

import random
import re
import shlex
import subprocess

import pytest

from edgevit.devices._ssh.login_shell import LONGEST, line_for

SCRIPT = r"""printf '[%s]\n' 'a b' "it's" 'two\\back' 'end\' "!!" '$HOME' 'é ☃' '%s %d' '~' '*'
printf '%s\n' "$(printf '%s' "`echo x`")"
cat <<'END'
here & there; (x) | {y} [z] < > ^a^b
END
read -r line && printf '%s\n' "$line"
exit 7"""


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_script_does_the_same_as_by_itself(shell: str) -> None:
    def run(program: str, command: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([program, "-c", command], input=b"input\n", capture_output=True)

    plain, through = run("sh", SCRIPT), run(shell, line_for(SCRIPT))
    assert (through.returncode, through.stdout, through.stderr) == (
        plain.returncode,
        plain.stdout,
        plain.stderr,
    )
    assert (
        through.returncode == 7
        and b"[two\\\\back]\n[end\\]\n[!!]" in through.stdout
        and b"input" in through.stdout
    )


def test_every_character_arrives() -> None:
    others = "".join(map(chr, (*range(1, 0x180), 0x2028, 0x1F600)))
    text = "".join(random.Random(0).sample(others, len(others)))
    done = subprocess.run(
        ["bash", "-c", line_for(f"printf '%s' {shlex.quote(text)}")], capture_output=True, check=True
    )
    assert done.stdout.decode() == text


def test_fish_and_csh_find_nothing_that_they_read_differently() -> None:
    r"""Within single quotes: fish reads \\ and \', csh ends at a line feed and may expand an exclamation mark."""
    line = line_for(SCRIPT)
    start, end = "exec sh -c '", "'"
    assert line.startswith(start) and line.endswith(end)
    assert (
        re.search(r"[\n'!]|\\[\\']|\\$", line.removeprefix(start).removesuffix(end)) is None
        and line.isascii()
    )


def test_a_long_script_fits_and_one_that_cannot_is_refused() -> None:
    script = "echo \"$HOME\" 'it is' `date`\n" * (32 * 1024 // 29)
    assert len(line_for(script)) < LONGEST
    with pytest.raises(ValueError, match="too long"):
        line_for("$" * 40_000)
    with pytest.raises(ValueError, match="NUL"):
        line_for("echo \0")
