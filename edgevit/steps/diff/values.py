"""The tensors of one artifact for one image, found by the name of a site or by their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.plugins import Runtime
from edgevit.core.runner import FileValue, RunOptions
from edgevit.steps.diff.axes import ImageAxes, layouts
from edgevit.steps.diff.sums import sqnr

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels


@dataclass(frozen=True, slots=True)
class Match:
    """A tensor of the file, and how it is read."""

    tap: str
    layout: ImageAxes


@dataclass(slots=True)
class Values:
    """All tapped tensors of one image, real numbers.

    Attributes:
        by_tap: in execution order.
        by_count: number of elements -> taps that may be found by value.
        energy: sum of squares, filled as it is asked for.
    """

    by_tap: Mapping[str, torch.Tensor]
    by_count: Mapping[int, tuple[str, ...]]
    energy: dict[str, float] = field(default_factory=dict)


def choose_taps(
    values: tuple[FileValue, ...], counts: Mapping[str, int]
) -> tuple[dict[str, list[FileValue]], tuple[FileValue, ...], dict[str, str]]:
    """What is worth reading.

    Args:
        counts: site -> number of elements of its output.

    Returns:
        Site -> the tensors of its size that carry its name, the last first; tensors that might be
        one of the other sites; and for sites of another size in the file, the reason.
    """
    named: dict[str, list[FileValue]] = {}
    sizes: dict[str, set[int]] = {}
    for value in values:
        wanted = counts.get(value.site)
        if wanted is None:
            continue
        if value.elements is None or value.elements == wanted:
            named.setdefault(value.site, []).insert(0, value)
        else:
            sizes.setdefault(value.site, set()).add(value.elements)
    lost = {
        site: f"it has {' or '.join(map(str, sorted(sizes[site])))} values in the file, "
        f"{counts[site]} in PyTorch"
        for site in sizes
        if site not in named
    }
    open_counts = {counts[site] for site in counts if site not in named and site not in lost}
    taken = {value.tap for found in named.values() for value in found}
    others = [
        v
        for v in values
        if v.tap not in taken
        and v.site not in counts
        and ((v.elements is None and open_counts) or v.elements in open_counts)
    ]
    return named, tuple({v.tap: v for v in others}.values()), lost


def read_values(
    runtime: Runtime,
    path: Path,
    taps: Collection[FileValue],
    searched: Collection[str],
    pixels: Pixels,
    options: RunOptions,
) -> tuple[Values, ...]:
    """Execute the file; for each image, its tapped tensors and its outputs, integers turned into real numbers."""
    all_params = {value.tap: value for value in taps}
    found = []
    with runtime.open(path, replace(options, taps=tuple(all_params))) as runner:
        for index in range(len(pixels)):
            tensors: dict[str, torch.Tensor] = {}
            for name, array in runner.run(pixels[index : index + 1]).items():
                if array.dtype.kind in "fiu" and (array.dtype.kind == "f" or _grid(all_params.get(name))):
                    tensors[name] = _real(array[0], all_params.get(name))
            by_count: dict[int, list[str]] = {}
            for name in all_params:
                if name in searched and name in tensors:
                    by_count.setdefault(tensors[name].numel(), []).append(name)
            found.append(Values(tensors, {n: tuple(names) for n, names in by_count.items()}))
    return tuple(found)


def read_best(values: Values, tap: str, expected: torch.Tensor) -> tuple[Match, torch.Tensor, float] | None:
    """The reading of a tensor that comes nearest to what is expected; None if the sizes differ."""
    tensor = values.by_tap.get(tap)
    if tensor is None:
        return None
    best: tuple[Match, torch.Tensor, float] | None = None
    for layout in layouts(tuple(tensor.shape), tuple(expected.shape)):
        reading = layout.read(tensor)
        db = sqnr(expected, reading)
        if best is None or db > best[2]:
            best = Match(tap, layout), reading, db
    return best


def search(values: Values, expected: torch.Tensor, threshold: float) -> Match | None:
    """The first tensor of the file that has the expected values, in a layout that its shape allows.

    Sorted values are not enough: they are the same when q and k change places.
    """
    energy = float(expected.double().square().sum())
    near = 2 * 10 ** (-threshold / 20)
    for tap in values.by_count.get(expected.numel(), ()):
        if tap not in values.energy:
            values.energy[tap] = float(values.by_tap[tap].double().square().sum())
        if abs(values.energy[tap] - energy) > near * (2 + near) * energy:
            continue
        best = read_best(values, tap, expected)
        if best is not None and best[2] >= threshold:
            return best[0]
    return None


def _grid(value: FileValue | None) -> bool:
    return value is not None and value.scale is not None


def _real(array: NDArray[np.generic], value: FileValue | None) -> torch.Tensor:
    import numpy as np
    import torch

    tensor = torch.from_numpy(np.array(array, np.float32))  # one number per image is no array
    if value is None or value.scale is None:
        return tensor
    return (tensor - value.zero_point) * value.scale
