"""What OpenSSH says where it cannot connect, as errors that name the command which mends it.

The client ends with status 255 and English sentences on standard error, those of a jump host among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match
from typing import Final

from edgevit.core.errors import DeviceError, DeviceLostError
from edgevit.core.foreign import printable
from edgevit.devices._ssh.address import Address

_LONGEST: Final = 300


def explain(said: str, address: Address) -> DeviceError | None:
    """The error that OpenSSH's messages stand for; None where they hold none that it is known to write.

    Args:
        said: standard error of the client, and nothing of programs on the device.
    """
    said = said.replace("\r", "")
    for pattern, error in _MESSAGES:
        if found := pattern.search(said):
            return error(found, address)
    return None


def last_line(said: str) -> str:
    """The last words of a program that nobody knows, fit to be shown; "" where it said nothing."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return printable(lines[-1])[:_LONGEST] if lines else ""


def _changed(found: Match[str], address: Address) -> DeviceError:
    said = found.string
    line = re.search(r"^Offending (?:\S+ )?key (?:for IP )?in (.+):(\d+)$", said, re.MULTILINE)
    sent = re.search(r"^The fingerprint for the (\S+) key sent .*\n(\S+?)\.?$", said, re.MULTILINE)
    known = f" (line {line[2]} of {printable(line[1])})" if line else ""
    now = f"; it shows the {sent[1]} key {printable(sent[2])}" if sent else ""
    return DeviceError(
        f"{address.where} is not the machine that was known by this name: its host key has changed{known}{now}",
        "ask whoever looks after it whether it was set up anew, and compare the fingerprint on the device itself with "
        "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`; somebody may be in between. Replace the line only then",
    )


def _revoked(found: Match[str], address: Address) -> DeviceError:
    return DeviceError(
        f"{address.where} shows a host key that is marked as revoked on this computer",
        "do not connect to it; ask whoever looks after the device",
    )


def _unknown(found: Match[str], address: Address) -> DeviceError:
    return DeviceError(
        f"the host key of {address.where} is not known on this computer, and edgevit accepts none by itself",
        f"connect once by hand with `{address.command()}`, and compare the fingerprint it shows with the device's",
    )


def _key_file(found: Match[str], address: Address) -> DeviceError:
    return DeviceError(
        f"OpenSSH does not use the key {printable(found[1])}: others can read it",
        f"chmod 600 {printable(found[1])}",
    )


def _agent(found: Match[str], address: Address) -> DeviceError:
    return DeviceError(
        f"{address.where} takes a key that the SSH agent of this computer refuses to use",
        "unlock it: `ssh-add -l` lists the agent's keys, `ssh-add KEY` adds one, a security key wants to be touched",
    )


def _denied(found: Match[str], address: Address) -> DeviceError:
    methods = set(found[2].split(","))
    asks = " but would ask for a password, which edgevit never does" if methods & _INTERACTIVE else ""
    return DeviceError(
        f"{printable(found[1])} takes none of this computer's keys{',' if asks else ''}{asks}",
        f"`{address.command('ssh-copy-id')}` brings it your key; one with a passphrase needs `ssh-add` first. "
        f"`{address.command()}` must log in without a question",
    )


_INTERACTIVE: Final = frozenset({"password", "keyboard-interactive"})


def _too_many(found: Match[str], address: Address) -> DeviceError:
    return DeviceError(
        f"{address.where} refuses after too many keys: the agent offered others before the right one",
        "name the key in ~/.ssh/config: IdentityFile FILE and IdentitiesOnly yes for this host",
    )


def _no_such_host(found: Match[str], address: Address) -> DeviceError:
    return DeviceError(
        f"there is no host {printable(found[1])}: {printable(found[2])}",
        "check its name, or give its IP address; a name that ends in .local needs mDNS on both sides",
    )


def _unreachable(found: Match[str], address: Address) -> DeviceError:
    host, port, reason = printable(found[1]), found[2], printable(found[3].strip())
    if "refused" in reason:
        return DeviceError(
            f"nothing listens on port {port} of {host}: {reason}",
            f"start the SSH server there (`sudo systemctl enable --now ssh`, on a Mac System Settings, Sharing, "
            f"Remote Login), or name its port: ssh://{host}:PORT",
        )
    return DeviceError(
        f"{host} does not answer on port {port}: {reason}",
        f"is it switched on and in this network? `ping {host}` tells",
    )


def _silent(found: Match[str], address: Address) -> DeviceError:
    return DeviceError(
        f"{address.where} takes the connection and says nothing",
        "no SSH server listens on that port, or the device is too busy to answer",
    )


def _not_agreed(found: Match[str], address: Address) -> DeviceError:
    return DeviceError(
        f"{address.where} and this computer share no {printable(found[1])}; it offers {printable(found[2])}",
        "its SSH server is old: update it, or allow what it offers for this host alone in ~/.ssh/config",
    )


def _no_server(found: Match[str], address: Address) -> DeviceError:
    return DeviceError(
        f"what listens at {address.where} is no SSH server: {printable(found[0].strip())}",
        "check the port",
    )


def _configuration(found: Match[str], address: Address) -> DeviceError:
    return DeviceError(
        f"OpenSSH does not accept its configuration: {printable(found[0].strip())}",
        f"mend it until `{address.command()}` works by hand",
    )


def _forbidden(found: Match[str], address: Address) -> DeviceError:
    return DeviceError(
        f"a server on the way to {address.where} opens no connection: {printable(found[1].strip())}",
        f"mend it until `{address.command()}` works by hand",
    )


def _few_sessions(found: Match[str], address: Address) -> DeviceError:
    return DeviceError(
        f"{address.where} opens no further session over its connection",
        "allow ten, as by default: MaxSessions 10 in /etc/ssh/sshd_config there",
    )


def _lost(found: Match[str], address: Address) -> DeviceError:
    return lost(address, found[0].strip())


def lost(address: Address, reason: str = "") -> DeviceLostError:
    """The error for a connection that broke."""
    return DeviceLostError(
        f"the connection to {address.where} broke" + (f": {printable(reason)[:_LONGEST]}" if reason else ""),
        "is the device still on and in the network? Then run the same command again",
    )


def _line(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"^{pattern}$", re.MULTILINE)


# In this order: a changed key also fails the verification, a refused one also leads to a closed connection.
_MESSAGES: Final[tuple[tuple[re.Pattern[str], Callable[[Match[str], Address], DeviceError]], ...]] = (
    (_line(r"@\s+WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\s+@"), _changed),
    (_line(r"@\s+WARNING: REVOKED HOST KEY DETECTED!\s+@"), _revoked),
    (_line(r"Host key verification failed\."), _unknown),
    (_line(r"Permissions \d+ for '(.+)' are too open\."), _key_file),
    (_line(r"sign_and_send_pubkey: signing failed .*: agent refused operation"), _agent),
    (_line(r".*Too many authentication failures.*"), _too_many),
    (_line(r"(\S+): Permission denied \(([\w,-]+)\)\."), _denied),
    (_line(r"ssh: Could not resolve hostname (.+?): (.+)"), _no_such_host),
    (_line(r"ssh: connect to host (\S+) port (\d+): (.+)"), _unreachable),
    (_line(r"Connection (?:to \S+ port \d+ timed out|timed out during banner exchange)"), _silent),
    (_line(r"Unable to negotiate with .*: no matching (.+) found\. Their offer: (.+)"), _not_agreed),
    (
        _line(r".*(?:banner line contains invalid characters|Bad remote protocol version identification:).*"),
        _no_server,
    ),
    (_line(r".*(?:Bad configuration option: |Bad owner or permissions on ).*"), _configuration),
    (_line(r"[^\s:]+ line \d+: .*"), _configuration),
    (_line(r"channel \d+: open failed: (.+)"), _forbidden),
    (
        _line(r"mux_client_request_session: session request failed: Session open refused by peer"),
        _few_sessions,
    ),
    (_line(r"Timeout, server \S+ not responding\."), _lost),
    (_line(r"client_loop: send disconnect: .*"), _lost),
    (_line(r"Connection (?:to|reset by|closed by) \S+.*"), _lost),
    (_line(r"(?:kex_exchange_identification|ssh_exchange_identification|ssh_dispatch_run_fatal): .*"), _lost),
    (_line(r"(?:Received disconnect|Disconnected) from .*"), _lost),
    (
        _line(r".*(?:Broken pipe|Connection reset by peer|Corrupted MAC on input\.|Bad packet length \d+\.)"),
        _lost,
    ),
)
