"""Where the time of a file goes, by the modules of its model: operators are called after what they compute."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from edgevit.core.results.device import OperatorTime
from edgevit.core.results.profile import ModuleTime

_BEHIND: Final = re.compile("[;/#]")
# What ONNX Runtime writes around the name of a tensor.
_AROUND: Final = re.compile(r"^InsertedPrecisionFreeCast_|_token_\d+$")


def by_module(operators: Sequence[OperatorTime], sites: Mapping[str, str]) -> tuple[ModuleTime, ...]:
    """Times of operators added up by the model's modules, in the order of their first operator.

    Where the runtime does not time operators, shares are those of its own estimate.

    Args:
        sites: tensor -> site, in the file's order.

    Returns:
        Nothing for a file that names no modules, as those of other tools, and for operators that are not called after
        anything in the file.
    """
    found = sites_of([operator.name for operator in operators], sites)
    if not any(":" in site for site in found):
        return ()
    times = {operator.ms for operator in operators}
    modules: dict[str, list[int]] = {}
    for index, site in enumerate(found):
        modules.setdefault(block_of(site.partition(":")[0]), []).append(index)
    parts = shares(operators)
    return tuple(
        ModuleTime(
            name,
            None if None in times else sum(operators[index].ms or 0.0 for index in indices),
            sum(parts[index] for index in indices),
        )
        for name, indices in modules.items()
    )


def shares(operators: Sequence[OperatorTime]) -> list[float]:
    """Which part of the time of all each operator takes, or would by the runtime's estimate; 0 to 1."""
    timed = all(operator.ms is not None for operator in operators)
    weights = [(operator.ms if timed else operator.cost) or 0.0 for operator in operators]
    total = sum(weights)
    return [weight / total if total else 0.0 for weight in weights]


def sites_of(operators: Sequence[str], sites: Mapping[str, str]) -> list[str]:
    """The site of each operator, in execution order.

    What a runtime inserted is called after nothing in the file. It belongs to the last site that the file has between
    the operators before and after it, as a GELU that became six operators, or a norm that was fused with an addition;
    else to the one after it. ONNX Runtime says of a product's reshapes at which end of it they are.
    """
    order = {site: index for index, site in enumerate(dict.fromkeys(sites.values()))}
    listed = list(order)
    named = [_named(operator, sites, order) for operator in operators]
    found = list(named)
    for index, operator in enumerate(operators):
        if named[index]:
            continue
        before = next((site for site in reversed(named[:index]) if site), "")
        after = next((site for site in named[index + 1 :] if site), "") or before
        before = before or after
        between = listed[order.get(before, 0) + 1 : order.get(after, 0)]
        if "_output_" in operator:
            found[index] = before
        elif "_input_" in operator or not between:
            found[index] = after
        else:
            found[index] = between[-1]
    return found


def block_of(module: str) -> str:
    """The part of the model that a module belongs to: `blocks.3.attn` of blocks.3.attn.qkv, `stem` of stem.conv."""
    parts = module.split(".")
    numbers = [index for index, part in enumerate(parts) if re.fullmatch(r"\d+", part)]
    return ".".join(parts[: numbers[-1] + 2 if numbers else 1])


def _named(operator: str, sites: Mapping[str, str], known: Collection[str]) -> str:
    """The site that the name says: its own, or that of the tensor that it is called after; "" for none."""
    own = _BEHIND.split(operator, maxsplit=1)[0]  # `stem.conv:conv;2/int8`, `mlp.act:silu/QuickGeluFusion/`
    if ":" in own:
        return own if own in known else ""
    tensor = _AROUND.sub("", operator)
    while tensor and tensor not in sites:
        tensor, _, last = tensor.rpartition(
            max("/_.", key=tensor.rfind)
        )  # conv2d_nchwc, gelu.quantized/Reshape
        if last.isdecimal():  # add_3 is not add
            return ""
    return sites.get(tensor, "")
