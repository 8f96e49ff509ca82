"""Names of tensors without what wrappers put into them: DDP, torch.compile, FSDP, a LightningModule's attribute.

`model._orig_mod.blocks.0.module.attn.qkv.weight` is `blocks.0.attn.qkv.weight` of the model itself. Wrappers of
PyTorch are segments of their own names and are dropped wherever they stand. The attribute under which a training
script kept the model has any name: it is a prefix, and known by what stands behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

WRAPPERS: Final = frozenset(
    ("module", "_orig_mod", "_fsdp_wrapped_module", "_fpw_module", "_checkpoint_wrapped_module")
)
_LARGE: Final = 0.2  # of the tensors: what is smaller is no model of its own
_DEEP: Final = 3
_MOST: Final = 32


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """Each name without the segments of wrappers; the names as they are if two would become one."""
    given = list(names)
    bare = [".".join(s for s in name.split(".") if s not in WRAPPERS) for name in given]
    if len(set(bare)) < len(set(given)) or "" in bare:
        return {name: name for name in given}
    return dict(zip(given, bare, strict=True))


def common_prefix(names: Collection[str]) -> str:
    """The segments that all names begin with, ending in a dot; "" for a single name."""
    if len(names) < 2:
        return ""
    first, last = min(names).split("."), max(names).split(".")
    shared = 0
    while shared < min(len(first), len(last)) - 1 and first[shared] == last[shared]:
        shared += 1
    return "".join(f"{segment}." for segment in first[:shared])


def fitting_prefixes(names: Iterable[str], wanted: Collection[str]) -> list[str]:
    """Prefixes behind which names of a model stand, those with the most of them first.

    Only those are given that have at least half as many as the best, and of a model of one layer, which is found
    everywhere, not all.
    """
    found: Counter[str] = Counter()
    for name in names:
        segments = name.split(".")
        for start in range(len(segments)):
            if ".".join(segments[start:]) in wanted:
                found["".join(f"{segment}." for segment in segments[:start])] += 1
    most = max(found.values(), default=0)
    near = (prefix for prefix, count in found.items() if 2 * count >= most)
    return sorted(near, key=lambda prefix: (-found[prefix], len(prefix)))[:_MOST]


def large_prefixes(names: Iterable[str]) -> list[str]:
    """Prefixes that a model of other names may stand behind: "" first, then what holds much of the tensors."""
    found: Counter[str] = Counter()
    given = list(names)
    for name in given:
        segments = name.split(".")[:-1]
        for end in range(1, min(_DEEP, len(segments)) + 1):
            if segments[end - 1].isdigit():  # a layer of many, not a model
                break
            found["".join(f"{segment}." for segment in segments[:end])] += 1
    large = [p for p, count in found.items() if count > _LARGE * len(given)]
    return ["", *sorted(large, key=lambda p: (p.count("."), -found[p]))]
