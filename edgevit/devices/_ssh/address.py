"""`ssh://[USER@]HOST[:PORT]`, of which no part can become an option or a command."""

from __future__ import annotations

import ipaddress
import re
import shlex
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from edgevit.core.errors import UsageError

SYNTAX: Final = "ssh://[USER@]HOST[:PORT]"
_EXAMPLE: Final = "for example ssh://pi@raspberrypi.local, ssh://board:2222 or an alias of ~/.ssh/config"

# OpenSSH puts user and host into commands of the user's configuration (ProxyCommand, Match exec), and a client before
# 9.6 lets a shell read them there (CVE-2023-51385). So only what names are made of is let through.
_HOST: Final = re.compile(r"\w[\w.-]*")
_USER: Final = re.compile(r"[\w.+][\w.+@-]*(?:\\[\w.+@-]+)?")  # with a backslash: DOMAIN\user
_SCOPE: Final = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a device is.

    Attributes:
        where: as the user typed it.
        host: a name, an alias, an IPv4 or IPv6 address, the latter without brackets.
        user: None where the configuration decides.
        port: None where the configuration decides.
    """

    where: str
    host: str
    user: str | None = None
    port: int | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the client is given to find it; the host comes last, behind the end of the options."""
        port = () if self.port is None else ("-p", str(self.port))
        user = () if self.user is None else ("-l", self.user)
        return (*port, *user, "--", self.host)

    def command(self, program: str = "ssh", *more: str) -> str:
        """The same as a person types it, to be pasted into a shell."""
        port = () if self.port is None else ("-p", str(self.port))
        return shlex.join(
            (program, *port, self.host if self.user is None else f"{self.user}@{self.host}", *more)
        )


def parse(where: str) -> Address:
    """The parts of an address; the user's name may be percent-encoded, an IPv6 address stands in brackets.

    Raises:
        UsageError: anything else than `SYNTAX`, a password, or a name that a shell might read as more than a name.
    """
    scheme, found, rest = where.partition("://")
    if scheme != "ssh" or not found:
        raise _wrong(where, f"expected {SYNTAX}")
    if set(rest) & set("/?#"):
        raise _wrong(where, "it has a path or a query, and takes none")
    login, found, place = rest.rpartition("@")
    user = _user(where, login) if found else None
    if place.startswith("["):
        inner, found, port = place[1:].partition("]")
        if not found or (port and not port.startswith(":")):
            raise _wrong(where, "an IPv6 address stands in brackets, as in ssh://[2001:db8::7]:22")
        return Address(where, _ipv6(where, inner), user, _port(where, port[1:]) if port else None)
    host, found, port = place.partition(":")
    if ":" in port:
        raise _wrong(where, "an IPv6 address stands in brackets, as in ssh://[2001:db8::7]:22")
    if not host:
        raise _wrong(where, "it names no host")
    if not _HOST.fullmatch(host):
        raise _wrong(where, f"{host!a} is no name of a host: letters, digits, dots and hyphens inside")
    return Address(where, host, user, _port(where, port) if found else None)


def _user(where: str, text: str) -> str:
    if ":" in text:
        raise UsageError(
            "an address of a device takes no password",  # which is not repeated
            f"log in with a key: {SYNTAX}, after ssh-copy-id USER@HOST",
        )
    try:
        user = unquote(text, errors="strict")
    except UnicodeDecodeError:
        user = ""
    if not _USER.fullmatch(user):
        raise _wrong(where, f"{user or text!a} is no user's name: letters, digits, and . _ + @ - inside")
    return user


def _ipv6(where: str, text: str) -> str:
    host = unquote(text)  # RFC 6874 writes fe80::1%eth0 as fe80::1%25eth0
    try:
        scope = ipaddress.IPv6Address(host).scope_id
    except ValueError:
        scope = ""
    if scope is not None and not _SCOPE.fullmatch(scope):
        raise _wrong(where, f"{host!a} is no IPv6 address")
    return host


def _port(where: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 1 << 16):
        raise _wrong(where, f"{text!a} is no port: 1 to 65535")
    return int(text)


def _wrong(where: str, reason: str) -> UsageError:
    return UsageError(f"{where!a} is no address of a device: {reason}", _EXAMPLE)
