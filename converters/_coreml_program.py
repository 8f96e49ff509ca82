"""The exported program as Core ML is given it: normalisation, integers of the plan, probabilities.

Nothing here changes the caller's program: a copy of its graph is edited, the weights are shared.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.core.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from edgevit.core.types import Graph, Grid, ModelSpec, Preprocess, QuantPlan, SitePlan

NORMALIZE = ("edgevit_scale", "edgevit_shift")
PROBABILITIES = "probabilities"
MAX_RANK = 5
_WEIGHTED = ("linear", "conv")


@dataclass(frozen=True, slots=True)
class Edited:
    """What coremltools converts.

    Attributes:
        program: the edited copy.
        handles: site -> the number that coremltools carries along with the site's operation
            (`debug_handle`), for every site with a weight.
        classifier: whether the second output is `probabilities`.
    """

    program: ExportedProgram
    handles: dict[str, int]
    classifier: bool


def site_of(node: torch.fx.Node) -> str:
    """Site name of an operation, "" where it has none."""
    return str((node.meta.get("custom") or {}).get("edgevit.site", ""))


def weighted_sites(program: ExportedProgram) -> dict[str, torch.fx.Node]:
    """Site name -> node of every linear and conv in execution order."""
    nodes = [n for n in program.graph_module.graph.nodes if n.op == "call_function"]
    return {s: n for n in nodes if (s := site_of(n)) and s.rpartition(":")[2].partition(".")[0] in _WEIGHTED}


def constant(program: ExportedProgram, node: object) -> torch.Tensor | None:
    """The weight, buffer or constant behind a placeholder, None for anything else."""
    name = getattr(node, "name", None)
    for spec in program.graph_signature.input_specs:
        if spec.arg.name == name and spec.target is not None:
            found = program.state_dict.get(spec.target, program.constants.get(spec.target))
            return found.detach() if found is not None else None
    return None


def edit(graph: Graph, spec: ModelSpec, plan: QuantPlan | None) -> Edited:
    """Copy the program and edit the copy.

    Pixels in, 0 to 255 in the model's channel order: `image * 1/(255 std) - mean/std` per channel
    comes first. A site of the plan gets its int8 weight behind a dequantize, and where it has an
    input grid, its input goes through a quantize and a dequantize, one pair per tensor and grid.

    Raises:
        UnsupportedError: a tensor of rank 6 or more; a plan that Core ML's placement rules out.
        InputError: as many labels as classes are needed.
    """
    program = _copy(graph.program)
    _check_ranks(program)
    sites = weighted_sites(program)
    for handle, node in enumerate(sites.values()):
        node.meta["debug_handle"] = handle
    _gelu_mode_by_position(program)
    _normalize(program, spec.preprocess)
    if plan is not None:
        _quantize(program, plan, sites)
    if spec.labels:
        _add_probabilities(program, spec)
    program.graph_module.graph.lint()
    return Edited(_rebuilt(program), {s: i for i, s in enumerate(sites)}, bool(spec.labels))


def _copy(program: ExportedProgram) -> ExportedProgram:
    from torch.export import ExportedProgram

    module = copy.deepcopy(program.graph_module)
    for node in module.graph.nodes:
        node.meta.pop("debug_handle", None)
    return ExportedProgram(
        root=module,
        graph=module.graph,
        graph_signature=copy.deepcopy(program.graph_signature),
        state_dict=dict(program.state_dict),
        range_constraints=dict(program.range_constraints),
        module_call_graph=copy.deepcopy(program.module_call_graph),
        constants=dict(program.constants),
    )


def _rebuilt(program: ExportedProgram) -> ExportedProgram:
    """The same after the edits, so that the graph and its signature are checked against each other."""
    from torch.export import ExportedProgram

    return ExportedProgram(
        root=program.graph_module,
        graph=program.graph_module.graph,
        graph_signature=program.graph_signature,
        state_dict=program.state_dict,
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        constants=program.constants,
    )


def _check_ranks(program: ExportedProgram) -> None:
    for node in program.graph_module.graph.nodes:
        rank = len(getattr(node.meta.get("val"), "shape", ()))
        if rank > MAX_RANK:
            raise UnsupportedError(
                f"Core ML takes tensors of at most rank {MAX_RANK}, {site_of(node) or node.name} has rank {rank}",
                "rewrite that reshape or permute with fewer axes, or leave coreml out of --to",
            )


def _gelu_mode_by_position(program: ExportedProgram) -> None:
    """coremltools 9 reads gelu's `approximate` by position only and takes a keyword for "none"."""
    import torch

    for node in program.graph_module.graph.nodes:
        if node.target is torch.ops.aten.gelu.default and "approximate" in node.kwargs:
            node.args = (node.args[0], node.kwargs["approximate"])
            node.kwargs = {}


def _normalize(program: ExportedProgram, preprocess: Preprocess) -> None:
    import torch

    (name,) = program.graph_signature.user_inputs
    image = next(n for n in program.graph_module.graph.nodes if n.name == name)
    std = torch.tensor(preprocess.std, dtype=torch.float64)
    mean = torch.tensor(preprocess.mean, dtype=torch.float64)
    scale = _add_constant(program, f"{NORMALIZE[0]}_by", (1 / (255 * std)).float().reshape(1, 3, 1, 1))
    shift = _add_constant(program, f"{NORMALIZE[1]}_by", (mean / std).float().reshape(1, 3, 1, 1))
    readers = tuple(image.users)
    first = next(n for n in program.graph_module.graph.nodes if n.op != "placeholder")
    scaled = _call(first, torch.ops.aten.mul.Tensor, (image, scale), NORMALIZE[0], image.meta["val"])
    shifted = _call(first, torch.ops.aten.sub.Tensor, (scaled, shift), NORMALIZE[1], image.meta["val"])
    for reader in readers:
        reader.replace_input_with(image, shifted)


def _quantize(program: ExportedProgram, plan: QuantPlan, sites: dict[str, torch.fx.Node]) -> None:
    import torch

    pairs: dict[tuple[str, Grid], torch.fx.Node] = {}
    for number, site in enumerate(plan.sites):
        _check_site(site, sites)
        node = sites[site.site]
        x, _, *rest = node.args
        if site.weight is not None:
            integers = torch.tensor(plan.tensors[f"{site.site}.weight"], dtype=torch.int8)
            new_weight = _weight(program, node, f"edgevit_weight_{number}", integers, site.weight)
            node.args = (x, new_weight, *rest)
        if site.input is not None:
            assert isinstance(x, torch.fx.Node), site.site
            key = (x.name, site.input)
            if key not in pairs:
                pairs[key] = _pair(node, x, f"edgevit_{number}", site.input)
            node.args = (pairs[key], *node.args[1:])


def _check_site(site: SitePlan, sites: dict[str, torch.fx.Node]) -> None:
    if site.site not in sites:
        raise UnsupportedError(
            f"the plan names the site {site.site}, which is no linear or conv of this graph",
            "make the plan again for this model",
        )
    if site.output is not None or site.bias == "int32":
        raise UnsupportedError(
            f"{site.site}: the Core ML target takes float outputs and float biases only",
            "make the plan with Core ML's placement",
        )


def _weight(
    program: ExportedProgram, node: torch.fx.Node, name: str, integers: torch.Tensor, grid: Grid
) -> torch.fx.Node:
    import torch

    if grid.dtype != "int8" or any(grid.zero_point) or grid.axis is None:
        raise UnsupportedError(
            f"{site_of(node)}: Core ML takes int8 weights, symmetric and per channel",
            "make the plan with Core ML's placement",
        )
    stored = _add_constant(program, name, integers)
    scale = _add_constant(program, f"{name}_scale", torch.tensor(grid.scale, dtype=torch.float32))
    zero = _add_constant(program, f"{name}_zero_point", torch.zeros(len(grid.scale), dtype=torch.int8))
    old = node.args[1]
    assert isinstance(old, torch.fx.Node), site_of(node)
    target = _quantized_ops().dequantize_per_channel.default
    args = (stored, scale, zero, grid.axis, -127, 127, torch.int8)
    return _call(node, target, args, f"{name}_float", old.meta["val"])


def _pair(node: torch.fx.Node, x: torch.fx.Node, name: str, grid: Grid) -> torch.fx.Node:
    """A quantize and a dequantize right behind `x`, so that all its readers can share them."""
    import torch

    limits = {"int8": (-128, 127, torch.int8), "uint8": (0, 255, torch.uint8)}
    if grid.dtype not in limits or len(grid.scale) != 1:
        raise UnsupportedError(
            f"{site_of(node)}: Core ML takes int8 or uint8 activations with one scale per tensor",
            "make the plan with Core ML's placement",
        )
    numbers = (grid.scale[0], grid.zero_point[0], *limits[grid.dtype])
    ops = _quantized_ops()
    value, behind = x.meta["val"], x.next
    integer = _call(
        behind,
        ops.quantize_per_tensor.default,
        (x, *numbers),
        f"{name}_quantize",
        value.to(limits[grid.dtype][2]),
    )
    return _call(behind, ops.dequantize_per_tensor.default, (integer, *numbers), f"{name}_dequantize", value)


def _quantized_ops() -> torch._ops._OpNamespace:
    import torch
    import torch.ao.quantization.fx._decomposed  # registers the operators

    return torch.ops.quantized_decomposed


def _add_probabilities(program: ExportedProgram, spec: ModelSpec) -> None:
    import torch
    from torch.export.graph_signature import OutputKind, OutputSpec, TensorArgument

    output = next(n for n in program.graph_module.graph.nodes if n.op == "output")
    logits = output.args[0][0]
    shape = tuple(logits.meta["val"].shape)
    if shape != (1, len(spec.labels)):
        raise InputError(
            f"{len(spec.labels)} labels were given, the model's first output has shape {shape}",
            "give one label per class, in index order",
        )
    softmax = _call(output, torch.ops.aten.softmax.int, (logits, -1), PROBABILITIES, logits.meta["val"])
    first, *others = output.args[0]
    output.args = ((first, softmax, *others),)
    made = OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(softmax.name), None)
    program.graph_signature.output_specs.insert(1, made)


def _call(
    before: torch.fx.Node, target: object, args: tuple[object, ...], name: str, value: torch.Tensor
) -> torch.fx.Node:
    graph = before.graph
    with graph.inserting_before(before):
        node = graph.create_node("call_function", target, args, {}, name=name)  # type: ignore[arg-type]
    node.meta["val"] = value
    return node


def _add_constant(program: ExportedProgram, name: str, tensor: torch.Tensor) -> torch.fx.Node:
    from torch.export.graph_signature import InputKind, InputSpec, TensorArgument

    graph = program.graph_module.graph
    nodes = list(graph.nodes)
    fake_mode = next(n.meta["val"].fake_mode for n in nodes if hasattr(n.meta.get("val"), "fake_mode"))
    with graph.inserting_before(nodes[0]):
        node: torch.fx.Node = graph.placeholder(name)
    node.meta["val"] = fake_mode.from_tensor(tensor, static_shapes=True)
    made = InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(node.name), name, None)
    program.graph_signature.input_specs.insert(0, made)
    program.constants[name] = tensor
    return node
