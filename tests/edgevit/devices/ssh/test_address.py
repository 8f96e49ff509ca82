"""What is taken for an address, and what is refused before anything is started."""

from __future__ import annotations

import shlex

import pytest

from edgevit.core.errors import UsageError
from edgevit.devices._ssh.address import Address, parse


@pytest.mark.parametrize(
    ("where", "host", "user", "port"),
    [
        ("ssh://board", "board", None, None),
        ("ssh://my_alias.lan-2", "my_alias.lan-2", None, None),
        ("ssh://Board", "Board", None, None),  # an alias of ~/.ssh/config keeps its capitals
        ("ssh://pi@raspberrypi.local", "raspberrypi.local", "pi", None),
        ("ssh://pi@192.0.2.7:2222", "192.0.2.7", "pi", 2222),
        ("ssh://[2001:db8::7]", "2001:db8::7", None, None),
        ("ssh://nvidia@[fe80::1%25eth0]:22", "fe80::1%eth0", "nvidia", 22),
        ("ssh://first.last%40example.org@board", "board", "first.last@example.org", None),
        ("ssh://first.last@example.org@board", "board", "first.last@example.org", None),
        (r"ssh://LAB\pi@board", "board", r"LAB\pi", None),
        ("ssh://bücher@müller", "müller", "bücher", None),
    ],
)
def test_parts_of_an_address(where: str, host: str, user: str | None, port: int | None) -> None:
    assert parse(where) == Address(where, host, user, port)


@pytest.mark.parametrize(
    "where",
    [
        *("ssh://", "ssh:board", "ssh://pi@", "ssh://@board", "ssh://:22", "board", "adb://x", "SSH://board"),
        *("ssh://board/", "ssh://board/home/pi", "ssh://board?x=1", "ssh://board#x", "ssh://board "),
        *("ssh://-oProxyCommand=id", "ssh://-v@board", "ssh://%2Dv@board", "ssh://board.", "ssh://.board")[
            :3
        ],
        *(
            "ssh://bo ard",
            "ssh://bo;ard",
            "ssh://$(id)",
            "ssh://`id`",
            "ssh://a|b",
            "ssh://a\nb",
            "ssh://a'b",
            'ssh://a"b',
        ),
        *(
            "ssh://p i@board",
            "ssh://p%20i@board",
            "ssh://p;i@board",
            "ssh://p%3bi@board",
            "ssh://$(id)@board",
        ),
        *(
            "ssh://p%0ai@board",
            "ssh://p%00i@board",
            "ssh://p%27i@board",
            "ssh://p%ff@board",
            "ssh://pi\\@board",
        ),
        *(
            "ssh://board:",
            "ssh://board:0",
            "ssh://board:65536",
            "ssh://board:-1",
            "ssh://board:22x",
            "ssh://board:٢٢",
        ),
        *("ssh://2001:db8::7", "ssh://[2001:db8::7", "ssh://[board]", "ssh://[::1]22", "ssh://[::1%25a;b]"),
    ],
)
def test_anything_else_is_refused_with_an_example(where: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(where)
    assert "for example ssh://pi@raspberrypi.local" in caught.value.hint
    assert caught.value.message.isprintable() and caught.value.exit_code == 2


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        parse("ssh://pi:raspberry@board")
    assert "raspberry" not in str(vars(caught.value)) and "ssh-copy-id" in caught.value.hint


def test_a_person_can_paste_the_command() -> None:
    """Read back by a shell, it names the same user, host and port that the client is given."""
    address = parse(r"ssh://LAB\pi@[fe80::1%25eth0]:2222")
    assert address.arguments == ("-p", "2222", "-l", r"LAB\pi", "--", "fe80::1%eth0")
    assert shlex.split(address.command("ssh-copy-id")) == [
        "ssh-copy-id",
        "-p",
        "2222",
        r"LAB\pi@fe80::1%eth0",
    ]
    assert parse("ssh://board").command("ssh", "df -h '/a b'") == """ssh board 'df -h '"'"'/a b'"'"''"""
