"""`edgevit inspect`: what a model or a converted file consists of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgevit.core._plain import to_plain
from edgevit.core.progress import Silent
from edgevit.core.results.answer import Answer, Table
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.steps.artifacts import find_artifacts, target_of
from edgevit.steps.inspect import ArtifactFacts, ArtifactRequest, ModelFacts
from edgevit.steps.messages import PrepareRequest

Rows = tuple[tuple[str, str], ...]


def inspect(recipe: Recipe) -> Answer:
    """Look into `recipe.model`, which is a MODEL or the path of a converted file.

    Raises:
        EdgevitError: it cannot be read or loaded.
    """
    path = Path(recipe.model)
    facts: ArtifactFacts | ModelFacts
    if target_of(path) is not None:
        find_artifacts(path)
        request = ArtifactRequest(str(path.absolute()))
        job = _jobs.on_file(f"reading {path.name}", "inspect:artifact", request, path, recipe)
        facts = _jobs.run(job, ArtifactFacts)
    else:
        asked, step = PrepareRequest(work="", recipe=recipe), f"reading {recipe.model}"
        job = _jobs.job(step, "inspect:model", asked, recipe, 0, _jobs.stages(Silent()))
        facts = _jobs.run(job, ModelFacts)
    data = to_plain(facts)
    if facts.isolation is None:
        del data["isolation"]
    return Answer(data, (_table(recipe.model, facts), _counts("operators", facts.operators)))


def _table(title: str, facts: ArtifactFacts | ModelFacts) -> Table:
    rows = [*(_of_model(facts) if isinstance(facts, ModelFacts) else _of_artifact(facts))]
    rows.append(("max rank", f"{facts.max_rank:,}"))
    inputs = facts.inputs if isinstance(facts, ArtifactFacts) else ()
    for port, specs in (("input", inputs), ("output", facts.outputs)):
        rows += [(port, f"{spec.name} {spec.dtype} {spec.shape}") for spec in specs]
    rows += [(f"weights in {kind}", f"{size:,} bytes") for kind, size in facts.weight_bytes.items()]
    if isinstance(facts, ArtifactFacts) and facts.integer_macs is not None:
        integer = facts.integer_macs
        rows.append(("integer MACs", f"{integer.static:,} static, {integer.dynamic:,} dynamic"))
        rows.append(("seen in", f"the {integer.source}"))
        if integer.partitions is not None:
            rows.append(("delegate partitions", str(integer.partitions)))
    preprocess = {} if facts.preprocess is None else to_plain(facts.preprocess)
    rows += [(f"preprocess {key}", str(value)) for key, value in preprocess.items()]
    if isinstance(facts, ModelFacts):
        origins = (("weights from", facts.weights_origin), ("preprocess from", facts.preprocess_origin))
        rows += [(what, origin) for what, origin in origins if origin]
    if facts.output is not None:
        rows.append(("outputs are", f"{facts.output.words} ({facts.output.task})"))
    labels = facts.labels
    more = " | ..." if len(labels) > 4 else ""
    rows.append(("labels", f"{len(labels)}: {' | '.join(labels[:4])}{more}" if labels else "none"))
    rows += [("note", text) for text in (facts.notes if isinstance(facts, ModelFacts) else ())]
    rows += [("warning", text) for text in facts.warnings]
    return Table(title, ("what", "value"), tuple(rows))


def _of_model(facts: ModelFacts) -> Rows:
    return (
        ("name", facts.name),
        ("parameters", f"{facts.parameters:,}"),
        ("macs", f"{facts.macs:,}"),
    )


def _of_artifact(facts: ArtifactFacts) -> Rows:
    return (("precision", facts.precision), ("size bytes", f"{facts.size_bytes:,}"))


def _counts(title: str, counts: Mapping[str, int]) -> Table:
    return Table(title, ("operator", "count"), tuple((name, str(count)) for name, count in counts.items()))
