"""A list of processor cores as taskset takes it: `0,2` or `4-7`."""

from __future__ import annotations

import re
from typing import Final

from edgevit.core.errors import UsageError

_MOST: Final = 1024


def parse_cores(text: str) -> tuple[int, ...]:
    """Numbers of cores, sorted; none of an empty text.

    Raises:
        UsageError: neither numbers nor ranges, or numbers that no device has.
    """
    found: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        matched = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        first, last = (int(n or matched[1]) for n in matched.groups()) if matched else (1, 0)
        if first > last or last >= _MOST:
            raise UsageError(f"{part!r} names no cores", "give numbers and ranges, such as 4-7 or 0,2")
        found.update(range(first, last + 1))
    return tuple(sorted(found))
