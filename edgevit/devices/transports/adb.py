"""Android, over adb."""

from __future__ import annotations

from typing import Final

from edgevit.core.plugins import Transport
from edgevit.devices._android import open_place

TRANSPORT: Final = Transport(
    summary="An Android phone or tablet, over adb.", syntax="adb[:SERIAL]", open=open_place
)
