"""From a Graph to a float TFLite flatbuffer that still shows where every site begins and ends.

litert-torch folds neighbours into a linear layer or a convolution (the affine part of a LayerNorm, a
LayerScale), after which neither the weights nor the input of the site exist in the file. So each site is
marked: a quantize and a dequantize node before and after it, which no pass moves across, and whose scale
numbers the site. The markers carry no meaning and are taken out of the flatbuffer again.
"""

from __future__ import annotations

import copy
import gc
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from converters.tflite import decompose
from converters.tflite.flatbuffer import EXTRA
from converters.tflite.refuse import refuse_wrong_values
from edgevit.core.errors import UnsupportedError
from edgevit.core.require import require
from edgevit.core.types import Graph
from edgevit.program import diagnostics
from edgevit.program.sites import kind_of, named

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

WEIGHTED: Final = ("linear", "conv")
_STEP: Final = 2.0**-16


@dataclass(frozen=True, slots=True)
class Marked:
    """One linear layer or convolution of the Graph.

    Attributes:
        site, kind: its name and role.
        weight: in PyTorch's layout.
        depthwise: a convolution with one input channel per group.
        before, after: scales of the markers around it.
    """

    site: str
    kind: str
    weight: torch.Tensor
    depthwise: bool
    before: float
    after: float


def lower(graph: Graph, reverse_channels: bool) -> tuple[bytes, tuple[Marked, ...]]:
    """Convert with litert-torch: NHWC input, float32, markers around all weighted sites.

    Args:
        graph: its program is not changed.
        reverse_channels: the program wants BGR and the file shall take RGB.

    Raises:
        UnsupportedError: litert-torch cannot convert the model, or would convert it wrongly.
    """
    refuse_wrong_values(graph.program)
    require("litert_torch", EXTRA)
    from litert_torch import fx_infra
    from litert_torch._config import config
    from litert_torch._convert import core, litert_converter

    config.show_progress = False  # it would print on stdout
    held = (*graph.program.state_dict.values(), *graph.program.constants.values())
    program = copy.deepcopy(graph.program, {id(value): value for value in held})  # the weights are shared
    marked = _fence(program)
    _to_channels_last(program, reverse_channels)
    for node in program.graph.nodes:
        site = named(node)
        if site:  # names the tensors of the file: the last module's class name, which may be any text
            node.meta["nn_module_stack"] = {"site": ("", site)}
    program.graph_module.recompile()
    try:
        program = fx_infra.graph_utils.reset_from_node_meta(program)
        with decompose.shared():
            program = fx_infra.safe_run_decompositions(
                program, fx_infra.decomp.pre_convert_decomp(), can_skip=False
            )
            program = core._run_convert_passes(program)
            exporter = litert_converter.exported_programs_to_flatbuffer([program], [_Signature()])
        # By way of a file: the converter's own copies of the weights are gone before ours is made.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "float.tflite"
            exporter.to_file(str(path))
            del exporter, program
            gc.collect()
            return path.read_bytes(), marked
    except Exception as error:  # the converter raises many unrelated classes, MLIR's among them
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise UnsupportedError(
            f"litert-torch cannot convert this model: {lines[0] if lines else type(error).__name__}"
            f"{diagnostics.suffix(error, graph.program.graph.nodes)}",
            "write that line with other operators, or leave tflite out of --to",
        ) from error


@dataclass(frozen=True, slots=True)
class _Signature:
    """What litert-torch asks of a signature once the program is exported."""

    name: str = "serving_default"
    flat_arg_names: tuple[str, ...] = ("image",)


def _fence(program: ExportedProgram) -> tuple[Marked, ...]:
    import torch
    import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed

    ops = torch.ops.quantized_decomposed
    names = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs}
    marked: list[Marked] = []

    def insert(value: Any, before: Any, scale: float) -> Any:
        with program.graph.inserting_before(before):
            params = (scale, 0, -128, 127, torch.int8)
            q = program.graph.call_function(ops.quantize_per_tensor.default, (value, *params))
            dq = program.graph.call_function(ops.dequantize_per_tensor.default, (q, *params))
        q.meta, dq.meta = dict(value.meta), dict(value.meta)
        q.meta["val"] = value.meta["val"].to(torch.int8)
        return dq

    for node in list(program.graph.nodes):
        site = named(node)
        kind = kind_of(site)
        if kind not in WEIGHTED:
            continue
        value, weight = node.args[0], _constant(program, names.get(node.args[1].name))
        if weight is None:
            continue  # a product of two computed tensors: nothing of it can be rounded beforehand
        number = 2 * len(marked) + 1
        before, after = 1 + number * _STEP, 1 + (number + 1) * _STEP
        node.replace_input_with(value, insert(value, node, before))
        users = list(node.users)
        end = insert(node, node.next, after)
        for index, user in enumerate(users):
            # One dequantize per reader: where readers differ in layout, the layout pass marks the one that
            # they share with a dictionary of its own and then misses transpositions.
            if index:
                with program.graph.inserting_after(end):
                    end = program.graph.node_copy(end)
            user.replace_input_with(node, end)
        depthwise = weight.dim() == 4 and weight.shape[1] == 1 and _groups(node) > 1
        marked.append(Marked(site, kind, weight, depthwise, before, after))
    for spec in program.graph_signature.output_specs:  # the outputs may have moved behind a fence
        index = program.graph_signature.output_specs.index(spec)
        spec.arg.name = program.graph.output_node().args[0][index].name
    return tuple(marked)


def _groups(node: Any) -> int:
    names = [argument.name for argument in node.target._schema.arguments]
    index = names.index("groups")
    return int(node.args[index]) if len(node.args) > index else 1


def _constant(program: ExportedProgram, target: str | None) -> torch.Tensor | None:
    if target is None:
        return None
    found = program.state_dict.get(target)
    if found is None:
        found = program.constants.get(target)
    return found.detach() if found is not None else None


def _to_channels_last(program: ExportedProgram, reverse_channels: bool) -> None:
    """Make the input (1, H, W, channels), of colours in RGB: a permutation, and the channels reversed where asked."""
    import torch

    (name,) = program.graph_signature.user_inputs
    node = next(n for n in program.graph.nodes if n.name == name)
    users, nchw = list(node.users), node.meta["val"]
    channels = range(nchw.shape[1])
    first = next(n for n in program.graph.nodes if n.op == "call_function")
    aten = torch.ops.aten

    def insert(target: Any, args: tuple[Any, ...], value: torch.Tensor) -> Any:
        added = program.graph.call_function(target, args)
        added.meta = {"val": value, "nn_module_stack": {"site": ("", f"{name}:layout")}}
        added.meta["stack_trace"] = users[0].meta.get("stack_trace") if users else None
        return added

    with program.graph.inserting_before(first):
        last = insert(aten.permute.default, (node, [0, 3, 1, 2]), nchw)
        if reverse_channels:
            planes = [
                insert(aten.slice.Tensor, (last, 1, c, c + 1), nchw[:, c : c + 1]) for c in reversed(channels)
            ]
            last = insert(aten.cat.default, (planes, 1), nchw)
    for user in users:
        user.replace_input_with(node, last)
    node.meta = dict(node.meta)
    node.meta["val"] = nchw.permute(0, 2, 3, 1).contiguous()
    node.meta.pop("tensor_meta", None)
    program._example_inputs = ((torch.zeros(node.meta["val"].shape),), {})
