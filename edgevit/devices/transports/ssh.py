"""Any Linux board and a Mac, over the user's own OpenSSH client."""

from __future__ import annotations

from typing import Final

from edgevit.core.plugins import Transport
from edgevit.devices._ssh.place import open_place

TRANSPORT: Final = Transport(
    summary="A Linux board or a Mac, over the user's own OpenSSH client.",
    syntax="ssh://[USER@]HOST[:PORT]",
    open=open_place,
)
