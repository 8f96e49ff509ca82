"""The tables of a saved program: which member of the archive holds which weight or constant.

A table can also ask PyTorch to unpickle a member (`use_pickle`, `custom_obj_`, `opaque_obj_`), by any
path below its folder. Only raw tensors are read, by the names that PyTorch gives them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from edgevit.models._pt2.grammar import Refused, boolean, mapping, record, show, text
from edgevit.models._pt2.program import path, tensor_meta

# Bytes of an element by the numbers of torch/_export/serde/schema.py, ScalarType.
_BYTES: Final = (
    dict.fromkeys((1, 2, 12, 29, 30, 31, 32, 33), 1)
    | dict.fromkeys((3, 6, 13, 28), 2)
    | dict.fromkeys((4, 7, 9, 34), 4)
    | dict.fromkeys((5, 8, 10, 35), 8)
    | {11: 16}
)


def table(value: object, prefix: str, sizes: Mapping[str, int]) -> object:
    """A decoded `weights_config.json` or `constants_config.json` as it may be handed to PyTorch.

    Args:
        value: the decoded table.
        prefix: how PyTorch names the members, `weight_` or `tensor_`.
        sizes: the names of the members that there are, without their folder, and their bytes.

    Raises:
        Refused: a pickle, another name, a tensor that does not fit its member.
    """
    row = record(
        path_name=text(rf"{prefix}[0-9]{{1,9}}", f"name of a tensor such as '{prefix}0'"),
        is_param=boolean,
        use_pickle=_raw,
        tensor_meta=tensor_meta,
    )
    found = record(config=mapping(path, row))(value)
    assert isinstance(found, dict)
    for name, entry in found["config"].items():
        reason = _misfit(entry, sizes)
        if reason is not None:
            raise Refused(f"{show(name)} {reason}")
    return found


def _misfit(entry: Mapping[str, object], sizes: Mapping[str, int]) -> str | None:
    member, meta = str(entry["path_name"]), entry["tensor_meta"]
    assert isinstance(meta, dict)
    if member not in sizes:
        return f"is said to stand in {member}, which the archive does not hold"
    numbers = [part.get("as_int") for part in (*meta["sizes"], *meta["strides"], meta["storage_offset"])]
    if not all(isinstance(n, int) and n >= 0 for n in numbers):
        return "has sizes that are no numbers"
    if meta["dtype"] not in _BYTES:
        return "is of a type that is not known here"
    shape, strides = [s["as_int"] for s in meta["sizes"]], [s["as_int"] for s in meta["strides"]]
    if len(shape) != len(strides):
        return "has another number of strides than of sizes"
    last = meta["storage_offset"]["as_int"] + sum(
        (n - 1) * step for n, step in zip(shape, strides, strict=True)
    )
    if math.prod(shape) > 0 and (last + 1) * _BYTES[meta["dtype"]] > sizes[member]:
        return f"is larger than {member}, which holds it ({sizes[member]} bytes)"
    return None


def _raw(value: object) -> object:
    if boolean(value):
        raise Refused("is pickled, and only raw tensors are read")
    return False
