"""Models that a format cannot hold, told as soon as their size is known and before any work on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edgevit.core.disk.space import require_space
from edgevit.core.errors import UnsupportedError
from edgevit.core.precisions import Precision
from edgevit.core.results.report import NotDone
from edgevit.core.types import ModelSpec
from edgevit.steps.resolve import Work

_FLOAT32 = 4  # bytes of one parameter


def too_large(spec: ModelSpec, limits: Mapping[str, int | None], named: bool) -> dict[str, str]:
    """Target -> why it cannot hold this model; empty where all can.

    Args:
        limits: target -> `Target.float_limit_bytes`, of all that are asked for.
        named: `--to` names the targets, so that leaving one out would not be what was asked.

    Raises:
        UnsupportedError: one is too small and `named`, or all are.
    """
    size = _FLOAT32 * spec.parameters
    found = {
        name: f"{name} makes all its files from a float32 file, which ends at {limit / 1e9:.2f} GB; "
        f"the {spec.parameters / 1e6:.0f} million parameters of {spec.name} take {size / 1e9:.2f} GB"
        for name, limit in limits.items()
        if limit is not None and size > limit
    }
    if found and (named or len(found) == len(limits)):
        others = [name for name in limits if name not in found]
        raise UnsupportedError(
            "; ".join(found.values()),
            f"leave {', '.join(found)} out of --to" if others else "choose another target, such as --to onnx",
        )
    return found


def narrow(work: Work, left_out: Mapping[str, str]) -> Work:
    """`work` without these targets, and with the reason for each of their files."""
    not_done = (
        NotDone(f"{name}/{precision}", why)
        for name, why in left_out.items()
        for precision in work.pairs.get(name, ())
    )
    kept = {name: asked for name, asked in work.pairs.items() if name not in left_out}
    return replace(work, pairs=kept, not_done=(*work.not_done, *not_done))


def require_room(work: Work, spec: ModelSpec, folder: Path) -> None:
    """Before minutes of work: the files take at least their weights, and fp32 files are made in any case.

    Args:
        folder: of the temporary files.

    Raises:
        StorageError: the disk of the output or of the temporary files has less room than that.
    """
    bits = sum(precision.bits for precisions in work.pairs.values() for precision in precisions)
    output = work.output.absolute()
    place = next(parent for parent in output.parents if parent.is_dir())  # a dry run makes none
    require_space(place, spec.parameters * bits // 8, "the bundle")
    extra = sum(Precision.FP32 not in precisions for precisions in work.pairs.values())
    require_space(
        folder, spec.parameters * extra * Precision.FP32.bits // 8, "what is converted only to compare with"
    )
