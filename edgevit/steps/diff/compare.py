"""The step that holds one artifact against its model, layer by layer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import UnsupportedError
from edgevit.core.pixels import in_rgb
from edgevit.core.plugins import Fold, Runtime
from edgevit.core.precisions import Precision
from edgevit.core.progress import Advance, Emit, Stage
from edgevit.core.results.layers import Difference
from edgevit.core.runner import Contents, FileValue, RunOptions
from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import NOT_STATED, Graph, Stats, TorchModel
from edgevit.core.version import SCHEMA_VERSION
from edgevit.program.sites import kind_of
from edgevit.registries import REWRITES, RUNTIMES, TARGETS
from edgevit.steps import named_outputs
from edgevit.steps.artifacts import guess_precision, stated_precision
from edgevit.steps.diff.judge import judge
from edgevit.steps.diff.output import another_input, bring_both, first_output
from edgevit.steps.diff.substitute import Rules, Substituted, run_beside
from edgevit.steps.diff.values import Values, choose_taps, read_values
from edgevit.steps.planning.algorithms import find

if TYPE_CHECKING:
    import torch

    from edgevit.core.types import Pixels

# A layer fed with the artifact's own inputs: rounding of one operation, not of a whole model. With 8 bits
# for its weights and its output one layer of the demo, which passes every check, is 19.3 dB off.
THRESHOLDS = {Precision.FP32: 60.0, Precision.FP16: 40.0}
QUANTIZED_DB = 12.0
# What differs and is made good by the next layers, exactly, was computed in another form.
CANCELLED_DB = {Precision.FP32: 90.0, Precision.FP16: 50.0}
# How a site is called, which no other tool's names look like.
_SITE = re.compile(r"[^:]*:[a-z_]\w*(\.\d+)?")
# They move values and compute none: what they do wrong shows at the next layer.
_MOVING = frozenset(
    (
        *("view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand", "slice", "select"),
        *("unsqueeze", "squeeze", "split", "split_with_sizes", "chunk", "unbind", "clone", "alias"),
        *("contiguous", "flatten", "unflatten", "cat", "stack", "roll", "flip", "pad", "constant_pad_nd"),
        *("index", "index_select", "gather", "detach", "_to_copy", "to", "dropout", "lift_fresh_copy"),
        *("repeat", "movedim", "narrow", "swapaxes", "tile", "unfold", "pixel_shuffle", "pixel_unshuffle"),
        *("im2col", "as_strided", "type_as", "copy"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRequest:
    """Which file, executed by what, against which model, on how many images."""

    recipe: Recipe
    artifact: str
    shown: str
    target: str
    runtime: str
    images: str
    count: int
    threshold: float | None
    file_preprocess: Mapping[str, str] = field(default_factory=dict)


def diff(asked: DiffRequest, emit: Emit) -> Difference:
    """Compare every layer of one artifact with its model. Runs in a worker."""
    import torch

    from edgevit.core.pixels import normalise
    from edgevit.graph.adapt import adapt
    from edgevit.graph.export import export_model
    from edgevit.models._preprocess import override
    from edgevit.program.sites import site_of
    from edgevit.steps.open import load_model
    from edgevit.steps.output_kind import model_kind
    from edgevit.steps.run_float import run_float
    from edgevit.steps.samples import head_of, read_samples

    path, runtime = Path(asked.artifact), RUNTIMES.get(asked.runtime)
    emit(Stage("loading the model"))
    model = load_model(asked.recipe, needs_preprocess=False)
    contents = runtime.contents(path)
    model, notes = _same_input(model, contents)
    spec = model.spec
    pixels = read_samples(
        asked.images,
        head_of(spec),
        spec.preprocess,
        asked.count,
        asked.recipe.skip_bad_images,
        lambda n: None,
    ).pixels
    precision = stated_precision(contents) or guess_precision(contents, runtime.integer_macs(path))
    emit(Stage("exporting the graph"))
    assert runtime.values is not None
    listed = runtime.values(path)
    by_name = any(_SITE.fullmatch(value.site) for value in listed)
    # Of files of other tools, what their converters do as well: every further rewrite is a value that they lack.
    every = {name: REWRITES.get(name) for name in REWRITES.names()}
    rewrites = {name: rewrite for name, rewrite in every.items() if by_name or rewrite.common}
    graph = export_model(model, rewrites, asked.recipe.without)
    reference = named_outputs.first(run_float(model, pixels))
    kind = model_kind(spec.output, graph.program, reference)
    emit(Stage("executing the file"))
    threshold = asked.threshold or THRESHOLDS.get(precision, QUANTIZED_DB)
    if by_name:
        placed = TARGETS.get(asked.target).capabilities(precision)
        for name in () if placed is None else placed.folds:
            fold = find(name, Fold)
            # what the others scale is found by value
            if name not in asked.recipe.without and not fold.observers:
                fold.apply(graph, Stats({}, 0))
        graph = adapt(graph, rewrites, asked.target, precision.needs_plan, asked.recipe.without)
    options = RunOptions(asked.recipe.threads, (), override(spec.preprocess, asked.file_preprocess))
    rules, images, lost = _read(graph, listed, model, asked, runtime, precision, threshold, pixels, options)
    compared_as = explanation = ""
    output = first_output(site_of(_output_nodes(graph)[0]), reference, kind, contents, rules, images)
    if output is not None:
        rules, images, compared_as = bring_both(output, rules, images)
        explanation = another_input(output, runtime, path, options, precision, pixels)
    emit(Stage("comparing layer by layer", len(pixels)))
    inputs = torch.from_numpy(normalise(pixels, spec.preprocess))
    found: dict[str, Substituted] = {}
    for index, values in enumerate(images):
        run_beside(graph, inputs[index : index + 1], values, rules, found)
        emit(Advance())
    judged = judge(graph, found, threshold, CANCELLED_DB.get(precision), lost, by_name)
    if not judged.layers:
        raise UnsupportedError(
            f"no layer of {spec.name} was found in {path.name}: neither names nor values agree anywhere",
            "check --reference, its weights and --preprocess: the file was made from another model",
        )
    return Difference(
        schema_version=SCHEMA_VERSION,
        artifact=asked.shown,
        reference=asked.recipe.model,
        executed_by=runtime.executed_by(path),
        precision=precision,
        threshold_db=threshold,
        images=len(pixels),
        matched_by="name" if by_name else "value",
        layers=judged.layers,
        first_wrong=judged.first_wrong,
        compared=len(judged.layers),
        not_found=judged.not_found,
        notes=tuple(notes),
        compared_as=compared_as,
        explanation=explanation,
    )


def _same_input(model: TorchModel, contents: Contents) -> tuple[TorchModel, list[str]]:
    """Let a model that states no preprocessing take the file's; note where the two differ or know none."""
    spec, own = model.spec, contents.preprocess
    size = (spec.preprocess.height, spec.preprocess.width)
    if spec.preprocess_origin == NOT_STATED:
        if own is None or (own.height, own.width) != size:
            return model, ["neither model nor file states its preprocessing: both get ImageNet's"]
        spec = replace(spec, preprocess=own)
        return replace(model, spec=spec), ["the model states no preprocessing: both get the file's own"]
    if own is not None and in_rgb(own) != in_rgb(spec.preprocess):
        return model, ["the file's own preprocessing is not the model's: its first layer sees other values"]
    return model, []


def _read(
    graph: Graph,
    listed: tuple[FileValue, ...],
    model: TorchModel,
    asked: DiffRequest,
    runtime: Runtime,
    precision: Precision,
    threshold: float,
    pixels: Pixels,
    options: RunOptions,
) -> tuple[Rules, tuple[Values, ...], dict[str, str]]:
    """How the file's tensors are found, their values for each image, and sites of another size in the file."""
    from edgevit.program.sites import site_of

    counts = _comparable(graph)
    ends = {
        site_of(node): spec.name for node, spec in zip(_output_nodes(graph), model.spec.outputs, strict=True)
    }
    counts |= {s: math.prod(n.meta["val"].shape) for n in _output_nodes(graph) if (s := site_of(n)) in ends}
    named, searched, lost = choose_taps(listed, counts)
    images = read_values(
        runtime,
        Path(asked.artifact),
        (*(value for tensors in named.values() for value in tensors), *searched),
        {value.tap for value in searched},
        pixels,
        options,
    )
    outputs = _output_taps(ends, counts, images[0].by_tap, runtime, Path(asked.artifact))
    rules = Rules(
        sites=frozenset(counts),
        named={site: tuple(value.tap for value in tensors) for site, tensors in named.items()},
        output=outputs,
        brought={},
        threshold=threshold,
        search_db=threshold,
        folds=precision.needs_plan,
    )
    return rules, images, lost


def _comparable(graph: Graph) -> dict[str, int]:
    """Site -> number of elements, of every operation that computes float values from the image."""
    import torch

    from edgevit.graph.export import input_node
    from edgevit.program.sites import site_of

    depends, counts = {input_node(graph.program)}, {}
    for node in graph.program.graph_module.graph.nodes:
        if node.op != "call_function" or not depends & set(node.all_input_nodes):
            continue
        depends.add(node)
        value, site = node.meta.get("val"), site_of(node)
        computes = "#" not in site and kind_of(site) not in _MOVING
        if computes and isinstance(value, torch.Tensor) and value.is_floating_point():
            counts[site] = math.prod(value.shape)
    return counts


def _output_nodes(graph: Graph) -> list[torch.fx.Node]:
    node = next(n for n in graph.program.graph_module.graph.nodes if n.op == "output")
    return [n for n in node.args[0] if n.op == "call_function"]


def _output_taps(
    ends: dict[str, str], counts: dict[str, int], tensors: Any, runtime: Runtime, path: Path
) -> dict[str, str]:
    """Site of an output -> what the file calls it: by the name, else the first output of as many elements."""
    names = [spec.name for spec in runtime.contents(path).outputs if spec.name in tensors]
    found = {}
    for site, name in ends.items():
        fitting = [n for n in names if tensors[n].numel() == counts[site]]
        if name in fitting or fitting:
            found[site] = name if name in fitting else fitting[0]
    return found
