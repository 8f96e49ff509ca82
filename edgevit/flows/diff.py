"""`edgevit diff`: where a converted file first differs from its model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgevit.core._plain import to_plain
from edgevit.core.errors import UnsupportedError, UsageError
from edgevit.core.progress import Progress, Silent
from edgevit.core.results.answer import Answer, Table
from edgevit.core.results.layers import Difference, LayerComparison
from edgevit.core.settings.model_text import parse_source
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.registries import RUNTIMES, SOURCES, TARGETS
from edgevit.steps.artifacts import one_artifact
from edgevit.steps.diff.compare import DiffRequest

_WORST = 10
_AROUND = 3
_COLUMNS = ("layer", "own error", "inputs", "in all", "cosine", "largest", "")


def diff(
    artifact: Path,
    recipe: Recipe,
    count: int = 2,
    threshold: float | None = None,
    show_all: bool = False,
    progress: Progress | None = None,
    file_preprocess: Mapping[str, str] | None = None,
) -> Answer:
    """Hold every layer of one converted file against `recipe.model`.

    Args:
        count: number of images.
        threshold: own error in dB from which on a layer is right; None for that of the precision.
        show_all: all layers in the table, not only the interesting ones.
        file_preprocess: color, mean, std or normalize of a file that carries none, as `--preprocess` takes them.

    Returns:
        The Difference, with exit code 1 if a layer is wrong or the file takes another input.

    Raises:
        InputError: the file is missing, or a bundle.
        UsageError: a threshold that is no number of decibels.
        UnsupportedError: nothing here gives out the file's intermediate values, or nothing in it
            can be compared.
    """
    if threshold is not None and not -200 <= threshold <= 400:
        raise UsageError(f"--threshold {threshold:g} is out of range", "give dB from -200 to 400")
    found = one_artifact(artifact)
    artifact = found.path
    source, _ = parse_source(recipe.model, SOURCES.names())
    images = recipe.evaluate or SOURCES.get(source).images or f"synthetic:{count}"
    request = DiffRequest(
        recipe=recipe,
        artifact=str(artifact.absolute()),
        shown=str(artifact),
        target=found.target,
        runtime=_runtime(found.target),
        images=images,
        count=count,
        threshold=threshold,
        file_preprocess=file_preprocess or {},
    )
    step = f"comparing {artifact.name} with {recipe.model}"
    told = _jobs.stages(progress or Silent())
    job = _jobs.job(step, "diff.compare:diff", request, recipe, recipe.threads, told)
    difference = _jobs.run(job, Difference)
    return Answer(to_plain(difference), _tables(difference, show_all), 0 if difference.same else 1)


def _runtime(target: str) -> str:
    """The first runtime that works here and gives out intermediate values."""
    reasons = []
    for name in TARGETS.get(target).runtimes:
        runtime = RUNTIMES.get(name)
        reason = runtime.unavailable() or (
            "it gives out no intermediate values" if runtime.values is None else None
        )
        if reason is None:
            return name
        reasons.append(f"{name}: {reason}")
    raise UnsupportedError(
        f"nothing here can look into {target} files: {'; '.join(reasons)}", "see `edgevit doctor`"
    )


def _tables(found: Difference, show_all: bool) -> tuple[Table, ...]:
    tables = [Table(verdict(found), _COLUMNS, _rows(found, found.layers if show_all else _around(found)))]
    worst = sorted(found.layers, key=lambda layer: layer.sqnr_db)[:_WORST]
    if not show_all:
        tables.append(Table("the worst layers by their own error", _COLUMNS, _rows(found, tuple(worst))))
    rows = [("executed by", found.executed_by), ("precision", found.precision)]
    rows += [("images", str(found.images)), ("layers compared", f"{found.compared}, by {found.matched_by}")]
    rows += [("right from", f"{found.threshold_db:g} dB")]
    rows += [("outputs compared as", found.compared_as)] if found.compared_as else []
    if found.not_found:
        names = ", ".join(item.site for item in found.not_found[: None if show_all else _WORST])
        more = "" if show_all or len(found.not_found) <= _WORST else ", ..."
        rows.append((f"not found ({len(found.not_found)})", names + more))
    rows += [("note", note) for note in found.notes]
    return (*tables, Table("", ("what", "value"), tuple(rows)))


def verdict(found: Difference) -> str:
    """In one sentence, where the file goes wrong, or why."""
    if found.explanation:
        return f"{found.artifact}: {found.explanation}"
    wrong = found.first_wrong
    if wrong is None:
        return f"{found.artifact}: no layer is wrong"
    line = f" ({wrong.line})" if wrong.line else ""
    text = f"{found.artifact}: the first wrong layer is {wrong.site}{line}"
    if wrong.sqnr_db is None:
        return f"{text}: its values are nowhere in the file, and nothing behind it is right"
    text += f": {wrong.sqnr_db:.1f} dB from its own inputs, which are right to {wrong.input_sqnr_db:.1f} dB"
    return f"{text}; not seen one by one: {', '.join(wrong.between)}" if wrong.between else text


def _around(found: Difference) -> tuple[LayerComparison, ...]:
    """The layers beside the first wrong one; the last layer where there is none."""
    if found.first_wrong is None:
        return found.layers[-1:]
    names = [layer.site for layer in found.layers]
    if found.first_wrong.site in names:
        at = names.index(found.first_wrong.site)
    else:
        at = next((i for i, layer in enumerate(found.layers) if layer.wrong), len(names) - 1)
    return found.layers[max(0, at - _AROUND) : at + _AROUND + 1]


def _rows(found: Difference, layers: tuple[LayerComparison, ...]) -> tuple[tuple[str, ...], ...]:
    first = found.first_wrong.site if found.first_wrong is not None else None
    return tuple(
        (
            layer.site,
            f"{layer.sqnr_db:.1f} dB",
            f"{layer.input_sqnr_db:.1f} dB",
            f"{layer.total_sqnr_db:.1f} dB",
            f"{layer.cosine:.6f}",
            f"{layer.max_abs:.3g}",
            "first wrong" if layer.site == first else "wrong" if layer.wrong else "",
        )
        for layer in layers
    )
