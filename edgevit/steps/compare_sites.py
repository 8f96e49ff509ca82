"""Is each site where its name says, and does it compute what was planned?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.errors import StepError
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.plugins import Runtime
from edgevit.core.quant_params import QuantParams
from edgevit.core.results.report import SiteError
from edgevit.core.runner import RunOptions
from edgevit.core.widths import computed_grid
from edgevit.registries import METRICS
from edgevit.steps import messages
from edgevit.steps.messages import Built

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels

CONFIRMED_DB = 60.0


def confirm_sites(runtime: Runtime, built: Built, pixels: Pixels, reference: Path) -> None:
    """Hold every site of a float file against PyTorch's values on one image, whatever the layout.

    Raises:
        StepError: the sorted values of a site's input or output differ; names alone can swap two products.
    """
    import numpy as np
    from safetensors.numpy import load_file

    assert built.path is not None
    expected = load_file(reference)
    names = tuple(dict.fromkeys(n for s in built.sites for n in (s.input, s.output)))
    with runtime.open(Path(built.path), RunOptions(taps=names)) as runner:
        found = runner.run(pixels)
    sqnr = METRICS.get("sqnr")
    for site in built.sites:
        for port, tensor in (("input", site.input), ("output", site.output)):
            want, got = expected[f"{site.site}\t{port}"], found[tensor]
            if want.size != got.size:
                raise StepError(
                    f"{site.site}: its {port} has {got.size} values in the {built.target} file, "
                    f"{want.size} in PyTorch"
                )
            pair = [np.sort(np.asarray(a, np.float32).reshape(1, -1)) for a in (want, got)]
            db = sqnr.compute(pair[0], pair[1], None)
            if db < CONFIRMED_DB:
                raise StepError(
                    f"{site.site}: its {port} in the {built.target} file is not PyTorch's ({db:.1f} dB, "
                    f"{CONFIRMED_DB:.0f} are needed)"
                )


def compare_sites(
    runtime: Runtime, built: Built, pixels: Pixels, plan: QuantPlan, graph: Path
) -> tuple[SiteError, ...]:
    """Feed each planned site, in PyTorch, with the file's own input of it and compare the results.

    Args:
        plan: that `built` was written from.
        graph: file of the graph variant that it plans.
    """
    import torch

    from edgevit.program import graph_file
    from edgevit.quant.simulate import SiteSimulator

    assert built.path is not None
    if not messages.quantize_activations(plan.sites):
        return ()
    keep = frozenset(kept.site for kept in built.float32)
    simulator = SiteSimulator(graph_file.load(graph), plan, keep)
    taps = tuple(dict.fromkeys(n for s in built.sites for n in (s.input, s.output, s.rhs) if n))
    with runtime.open(Path(built.path), RunOptions(taps=taps)) as runner:
        found = runner.run(pixels)
    by_name = {s.site: s for s in built.sites}
    results = []
    for planned in plan.sites:
        where = by_name.get(planned.site)
        if where is None and plan.capabilities.activations is not None:
            continue  # it only moves values: a writer names all others
        if where is None:
            raise StepError(
                f"{planned.site}: the plan has it, the {built.target} file does not say where it is",
                "leave the layer in float: take its site out of the plan",
            )
        entering, leaving = simulator.shapes(planned.site)
        own_input, own_rhs = simulator.read_grids(planned.site)
        own_input = _grid(found[where.input], planned.input, own_input)
        seconds: tuple[Sequence[torch.Tensor | None], ...] = ([None] * len(pixels),)
        if where.rhs:
            shape = simulator.second_shape(planned.site)
            readings = (*_as_torch(found[where.rhs], shape), *_transposed(found[where.rhs], shape))
            own_rhs = _grid(found[where.rhs], planned.rhs, own_rhs)
            seconds = tuple(list(_real(reading, own_rhs)) for reading in readings)
        errors = []
        for value, second in product(_as_torch(found[where.input], entering), seconds):
            real = _real(value, own_input)
            expected = torch.stack(
                [simulator.run(planned.site, *pair) for pair in zip(real, second, strict=True)]
            ).numpy()
            for actual in _as_torch(found[where.output], leaving):
                errors.append(
                    replace(
                        _site_error(planned.site, expected, actual.numpy(), planned.output),
                        allowed_steps=_allowed_steps(plan, planned),
                    )
                )
        results.append(max(errors, key=lambda error: error.db))
    return tuple(results)


def _grid(
    tapped: NDArray[np.generic], read: QuantParams | None, own: QuantParams | None
) -> QuantParams | None:
    """The grid of a tensor that a file gave: that in which the site reads it, or its own before it was converted."""
    return read if read is not None and str(tapped.dtype) == read.dtype else own


def _allowed_steps(plan: QuantPlan, planned: SitePlan) -> int | None:
    """How many steps of its output a site may be off: what its kernel computes in may have finer ones."""
    if planned.output is None or not plan.capabilities.kernel_steps:
        return None
    computed = computed_grid(planned)
    off = plan.capabilities.steps_off(planned.kind, computed.dtype)
    return max(1, math.ceil(off * computed.scale[0] / planned.output.scale[0]))


def _as_torch(array: NDArray[np.generic], shape: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    """An artifact's (N, ...) as (N, *shape): as it is, with the channels moved from last to second, or both.

    Both if the shape cannot tell, as with 32 channels of 32x32. Trying both hides no fault: a wrong
    site agrees under neither reading.
    """
    import torch

    tensor = torch.from_numpy(array.astype("float32"))
    readings = []
    last = (shape[0], *shape[2:], shape[1])
    if len(shape) == 4 and tuple(tensor.shape[-3:]) == last[1:]:
        readings.append(tensor.reshape(len(array), *last).movedim(-1, 2).contiguous())
    if not readings or tuple(tensor.shape[-3:]) == shape[1:]:
        readings.append(tensor.reshape(len(array), *shape))
    return tuple(readings)


def _transposed(array: NDArray[np.generic], shape: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    """The same of a matrix that a product reads with its last two axes swapped, as TFLite's adj_y does."""
    import torch

    if array.shape[-2:] != (shape[-1], shape[-2]):
        return ()
    tensor = torch.from_numpy(array.astype("float32"))
    return (tensor.reshape(len(array), *shape[:-2], *array.shape[-2:]).transpose(-1, -2),)


def _real(integers: torch.Tensor, params: QuantParams | None) -> torch.Tensor:
    if params is None:
        return integers
    return (integers - params.zero_point[0]) * params.scale[0]


def _site_error(
    site: str, expected: NDArray[np.float32], actual: NDArray[np.float32], params: QuantParams | None
) -> SiteError:
    import numpy as np

    if params is None:
        db = METRICS.get("sqnr").compute(expected.reshape(1, -1), actual.reshape(1, -1), None)
        return SiteError(site, float(db))
    steps = np.abs(expected - actual)
    zero = params.zero_point[0]
    want, got = ((a.reshape(1, -1) - zero).astype(np.float32) for a in (expected, actual))
    db = METRICS.get("sqnr").compute(want, got, None)
    return SiteError(site, float(db), int(steps.max()), float((steps > 0).mean()))
