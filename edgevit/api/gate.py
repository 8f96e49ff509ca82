"""`edgevit.gate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edgevit.core.progress import Progress
    from edgevit.core.results.gate import GateReport

Limit = float | Literal["off"] | None


def gate(
    bundle: str | Path,
    *,
    baseline: str | Path,
    max_drop: Limit = None,
    max_agreement_loss: Limit = None,
    min_agreement: Limit = None,
    max_sqnr_loss: Limit = None,
    max_size_growth: Limit = None,
    max_latency_regression: Limit = None,
    max_memory_growth: Limit = None,
    max_integer_loss: Limit = None,
    accept: Sequence[str] = (),
    on_inconclusive: Literal["fail", "pass"] | None = None,
    policy: str | Path | None = None,
    html: str | Path | None = None,
    thumbnails: bool = True,
    threads: int = 0,
    progress: Progress | bool | None = None,
) -> GateReport:
    """Hold a bundle against what shipped before: `edgevit gate` as a function.

    Args:
        baseline: an earlier bundle, whose files are then timed beside the new ones, or a baseline file.
        max_drop: accuracy, percentage points; this limit and all others: None for the policy's, "off" for none.
        max_agreement_loss: agreement with the float model, percentage points.
        min_agreement: least agreement with the float model, percent.
        max_sqnr_loss: dB.
        max_size_growth: percent.
        max_latency_regression: percent.
        max_memory_growth: percent of peak memory, where a device measured it.
        max_integer_loss: share of the multiply-accumulates in integers, percentage points.
        accept: interface changes that are meant, and files that may be gone.
        on_inconclusive: what counts where the images cannot decide; by default the exit code is 4.
        policy: a TOML file; by default `[tool.edgevit.gate]` of the nearest pyproject.toml.
        html: where to write the page of the comparison; by default nowhere.

    Returns:
        The checks; `raise_for_regression()` turns a closed gate into an exception.

    Raises:
        edgevit.EdgevitError: what the command would print, by kind.

    Examples:
        >>> report = edgevit.gate("dist/demo", baseline="dist/demo")
        >>> report.outcome
        'pass'
        >>> report.raise_for_regression()
    """
    from edgevit.core.settings.gate_policy import make
    from edgevit.flows._gate.page import write_page
    from edgevit.flows._gate.places import check_places
    from edgevit.flows._gate.shipped import open_bundle
    from edgevit.flows.gate import gate as flow
    from edgevit.flows.make_recipe import make as make_recipe
    from edgevit.report.progress import progress_for

    limits: dict[str, object] = {
        "max_drop": max_drop,
        "max_agreement_loss": max_agreement_loss,
        "min_agreement": min_agreement,
        "max_sqnr_loss": max_sqnr_loss,
        "max_size_growth": max_size_growth,
        "max_latency_regression": max_latency_regression,
        "max_memory_growth": max_memory_growth,
        "max_integer_loss": max_integer_loss,
    }
    rules = make(limits, accept, on_inconclusive, None if policy is None else Path(policy))
    recipe = make_recipe({"model": str(bundle), "threads": str(threads)})
    page = None if html is None else Path(html)
    check_places({"html": page}, Path(bundle), {"the baseline": Path(baseline)})
    with progress_for(progress) as display:
        display.stage("reading the bundle")
        report = flow(open_bundle(Path(bundle)), Path(baseline), rules, recipe, display)
        if page is not None:
            write_page(report, page, thumbnails, recipe, display)
    return report
