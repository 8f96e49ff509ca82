"""`edgevit inspect`: what a model or a converted file consists of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgevit.core._plain import from_plain
from edgevit.core.outputs import OutputKind
from edgevit.core.progress import Silent
from edgevit.core.results.answer import Answer, Table
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.steps.artifacts import find_artifacts, target_of
from edgevit.steps.messages import PrepareRequest


def inspect(recipe: Recipe) -> Answer:
    """Look into `recipe.model`, which is a MODEL or the path of a converted file.

    Raises:
        EdgevitError: it cannot be read or loaded.
    """
    path = Path(recipe.model)
    if target_of(path) is not None:
        find_artifacts(path)
        request = {"path": str(path.absolute())}
        step = f"reading {path.name}"
        data = _jobs.run(_jobs.on_file(step, "inspect:artifact", request, path, recipe))
    else:
        asked = PrepareRequest(work="", recipe=recipe)
        step = f"reading {recipe.model}"
        data = _jobs.run(_jobs.job(step, "inspect:model", asked, recipe, 0, _jobs.stages(Silent())))
    return Answer(data, (_facts(recipe.model, data), _counts("operators", data["operators"])))


def _facts(title: str, data: dict[str, Any]) -> Table:
    rows = []
    for key in ("name", "precision", "parameters", "macs", "size_bytes", "max_rank"):
        if key in data:
            value = data[key]
            rows.append((key.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value)))
    for port in ("inputs", "outputs"):
        rows += [(port[:-1], f"{t['name']} {t['dtype']} {tuple(t['shape'])}") for t in data.get(port, [])]
    rows += [(f"weights in {kind}", f"{size:,} bytes") for kind, size in data["weight_bytes"].items()]
    if data.get("integer_macs"):
        integer = data["integer_macs"]
        rows.append(("integer MACs", f"{integer['static']:,} static, {integer['dynamic']:,} dynamic"))
        rows.append(("seen in", f"the {integer['source']}"))
        if integer["partitions"] is not None:
            rows.append(("delegate partitions", str(integer["partitions"])))
    rows += [(f"preprocess {key}", str(value)) for key, value in (data["preprocess"] or {}).items()]
    if data.get("weights_origin"):
        rows.append(("weights from", data["weights_origin"]))
    if data.get("preprocess_origin"):
        rows.append(("preprocess from", data["preprocess_origin"]))
    if data["output"] is not None:
        kind = from_plain(OutputKind, data["output"], "output")
        rows.append(("outputs are", f"{kind.words} ({kind.task})"))
    labels = data["labels"]
    more = " | ..." if len(labels) > 4 else ""
    rows.append(("labels", f"{len(labels)}: {' | '.join(labels[:4])}{more}" if labels else "none"))
    rows += [("note", text) for text in data.get("notes", ())]
    rows += [("warning", text) for text in data.get("warnings", ())]
    return Table(title, ("what", "value"), tuple(rows))


def _counts(title: str, counts: dict[str, int]) -> Table:
    return Table(title, ("operator", "count"), tuple((name, str(count)) for name, count in counts.items()))
