"""`edgevit.doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edgevit.core.progress import Progress
    from edgevit.core.results.answer import Answer


def doctor(
    device: str = "",
    *,
    setup: Literal["no", "here", "device"] = "no",
    progress: Progress | bool | None = None,
) -> Answer:
    """What can be converted, executed and profiled, here or on a device, and what is missing: `edgevit doctor`.

    Args:
        device: where to look, as of `edgevit.profile`; "" for this computer.
        setup: install the runtimes on the device first: from packages that this computer downloads and pushes
            (`here`, the flag --setup), or by the device's own pip (`device`, --setup-online).
        progress: as of `edgevit.convert`.

    Returns:
        Of a device `data["ready"]`, `data["needed"]` with what is there and what mends it, and `data["state"]`;
        `exit_code` 3 where something is missing that no run goes without.

    Raises:
        edgevit.EdgevitError: what the command would print, by kind.

    Examples:
        >>> edgevit.doctor("local").data["ready"]
        True
    """
    from edgevit.core.errors import UsageError
    from edgevit.report.progress import progress_for

    if setup not in ("no", "here", "device"):
        raise UsageError(f"setup={setup!r}: unknown", "setup='here', setup='device' or setup='no'")
    if not device:
        if setup != "no":
            raise UsageError("setup installs runtimes on a device, and none is named", "give device=")
        from edgevit.flows.doctor import doctor as look

        return look()
    from edgevit.flows.doctor_device import doctor_device

    with progress_for(progress) as display:
        return doctor_device(device, setup, display)
