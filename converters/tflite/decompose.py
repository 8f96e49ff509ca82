"""litert-torch's decompositions, each operation once for all places of a program that use it alike.

litert-torch decomposes a program by executing it with PyTorch's tracer, three times for each conversion, and the tracer
takes ten times as long as all else. What an operation becomes depends on its target, its constants and the shapes,
strides and types of its inputs alone, and a transformer has twelve blocks of the same ones:

1. Execute the program with fake tensors, for shapes and strides; group its operations by what they depend on.
2. Let litert-torch decompose a small program that has one operation of each group, none reading another's result.
3. Put what each has become wherever an operation of its group stood.

The result is the program that litert-torch makes itself, node by node, but for names that no file shows.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch
    from torch.export import ExportedProgram
    from torch.fx import Node

    Table = Mapping[Any, Callable[..., Any]] | None
    Decompose = Callable[..., ExportedProgram]

# Where an operation came from: of each node its own, however its group was decomposed.
_ORIGIN: Final = ("stack_trace", "source_fn_stack", "torch_fn")


@dataclass(slots=True)
class _Group:
    """Operations that become the same.

    Attributes:
        node: one of them.
        inputs: its inputs in the order in which its arguments name them, each once, with a fake tensor of each.
        value: its result as a fake tensor, or several.
        body: what it becomes, in order; nodes of the small program.
        entries: nodes of the small program that stand for `inputs`.
        results: nodes of the small program that are the result; None where the operation gives None.
    """

    node: Node
    inputs: dict[Node, torch.Tensor]
    value: Any
    body: tuple[Node, ...] = ()
    entries: tuple[Node, ...] = ()
    results: list[Node | None] = field(default_factory=list)


class _NotCovered(Exception):
    """The program has something that cannot be decomposed operation by operation."""


@contextmanager
def shared() -> Iterator[None]:
    """Within it litert-torch decomposes each operation once; what is not covered, as it always does."""
    from litert_torch import fx_infra
    from litert_torch.fx_infra import _safe_run_decompositions as theirs

    whole: Decompose = theirs.safe_run_decompositions

    def each_once(program: ExportedProgram, table: Table = None, can_skip: bool = True) -> ExportedProgram:
        looked_at = theirs._DUMMY_DECOMP_TABLE if table is not None and not table else table
        if can_skip and not theirs._require_decomp(program, looked_at):
            return program
        try:
            return _decompose(program, table, whole)
        except _NotCovered:
            return whole(program, table, can_skip)

    theirs.safe_run_decompositions = fx_infra.safe_run_decompositions = each_once
    try:
        yield
    finally:
        theirs.safe_run_decompositions = fx_infra.safe_run_decompositions = whole


def _decompose(program: ExportedProgram, table: Table, whole: Decompose) -> ExportedProgram:
    """`program` with each operation replaced by what `whole` makes of it."""
    from litert_torch.fx_infra import _safe_run_decompositions as theirs

    theirs._erase_assert_tensor_metadata_nodes(program)
    groups, group_of = _grouped(program, table)
    _decompose_groups(list(groups.values()), table, whole)
    return _rebuilt(program, group_of)


def _grouped(program: ExportedProgram, table: Table) -> tuple[dict[object, _Group], dict[Node, _Group]]:
    """Groups by what they depend on, and the group of each operation."""
    import torch
    from torch._guards import detect_fake_mode

    placeholders = [n for n in program.graph.nodes if n.op == "placeholder"]
    mode = detect_fake_mode([n.meta.get("val") for n in placeholders])
    if mode is None:
        raise _NotCovered
    values: dict[Node, Any] = {}
    groups: dict[object, _Group] = {}
    group_of: dict[Node, _Group] = {}
    with mode, torch.no_grad():
        for node in program.graph.nodes:
            if node.op == "output":
                break
            if node.op == "placeholder":
                if not isinstance(node.meta.get("val"), torch.Tensor):
                    raise _NotCovered
                values[node] = node.meta["val"].detach()
                continue
            if node.op != "call_function":
                raise _NotCovered
            if node.target is operator.getitem:
                values[node] = values[node.args[0]][node.args[1]]
                _describe(node, values[node])
                continue
            args, kwargs = torch.fx.map_arg((node.args, node.kwargs), values.__getitem__)
            if _stays(node.target, table):
                values[node] = node.target(*args, **kwargs)
                _describe(node, values[node])
                continue
            key = _key(node, values)
            if key not in groups:
                inputs = {source: values[source] for source in node.all_input_nodes}
                groups[key] = _Group(node, inputs, _called(node.target, args, kwargs))
            group_of[node] = groups[key]
            values[node] = groups[key].value
            if not all(v is None or isinstance(v, torch.Tensor) for v in _several(values[node])):
                raise _NotCovered
    return groups, group_of


def _stays(target: Any, table: Table) -> bool:
    """Whether it is in its simplest form already."""
    import torch

    if not isinstance(target, torch._ops.OpOverload) or target in (table or {}):
        return False
    simplest = torch.Tag.core in target.tags or target.namespace == "quantized_decomposed"
    return simplest and target is not torch.ops.aten.view.default and not target._schema.is_mutable


def _describe(node: Node, value: Any) -> None:
    """Correct what an operation that stays tells of its result: layouts may have changed in front of it."""
    from torch.fx.passes.shape_prop import _extract_tensor_metadata
    from torch.utils._pytree import tree_map

    node.meta = {**node.meta, "val": value, "tensor_meta": tree_map(_extract_tensor_metadata, value)}


def _called(target: Any, args: Any, kwargs: Any) -> Any:
    import torch

    if target is torch.ops.aten.view.default:  # as litert-torch does: layouts may have changed since
        return torch.reshape(args[0].contiguous(), args[1])
    return target(*args, **kwargs)


def _key(node: Node, values: Mapping[Node, Any]) -> object:
    """What the decomposition of an operation depends on."""
    import torch

    order = {source: index for index, source in enumerate(node.all_input_nodes)}

    def plain(value: Any) -> object:
        if isinstance(value, torch.fx.Node):
            known = values[value]
            if not isinstance(known, torch.Tensor) or any(isinstance(n, torch.SymInt) for n in known.shape):
                raise _NotCovered
            return order[value], tuple(known.shape), known.stride(), known.dtype
        if isinstance(value, list | tuple):
            return tuple(plain(v) for v in value)
        if isinstance(value, dict | slice):
            raise _NotCovered
        return type(value), repr(value)  # 1, 1.0 and True are not the same, but equal

    kwargs = tuple((name, plain(value)) for name, value in sorted(node.kwargs.items()))
    return _same_target(node.target), plain(node.args), kwargs


def _same_target(target: Any) -> object:
    """Equal for functions that do the same: litert-torch makes one for each convolution, around its operation."""
    import torch

    if (
        not isinstance(target, FunctionType)
        or not target.__closure__
        or target.__defaults__ not in (None, (None,))
    ):
        return target
    held = tuple(cell.cell_contents for cell in target.__closure__)
    return (target.__code__, held) if all(isinstance(h, torch._ops.OpOverload) for h in held) else target


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _decompose_groups(groups: list[_Group], table: Table, whole: Decompose) -> None:
    """Fill in what each group becomes."""
    import torch

    counts = [sum(value is not None for value in _several(group.value)) for group in groups]
    graph = torch.fx.Graph()
    program, given = _program(graph, groups, sum(counts))
    results: list[Node] = []
    for group, entries in zip(groups, given, strict=True):
        node = graph.node_copy(group.node, dict(zip(group.inputs, entries, strict=True)).__getitem__)
        node.meta = {**node.meta, "val": group.value}
        node.meta.setdefault("nn_module_stack", {})
        made = [node]
        if isinstance(group.value, list | tuple):
            made = []
            for index, value in enumerate(group.value):
                if value is None:
                    continue
                made.append(graph.call_function(operator.getitem, (node, index)))
                made[-1].meta = {**node.meta, "val": value}
        results += made
    graph.output(tuple(results))
    program.graph_signature.output_specs[:] = [_output(node) for node in results]
    program.graph_module.recompile()
    small = whole(program, table, can_skip=False)
    signature = small.graph_signature
    entered = [n for n in small.graph.nodes if n.op == "placeholder"]
    left = list(small.graph.output_node().args[0])
    if (
        [n.name for n in entered] != list(signature.user_inputs)
        or len(left) != len(results)
        or signature.user_inputs_to_mutate
        or any(n.op not in ("placeholder", "call_function", "output") for n in small.graph.nodes)
    ):
        raise _NotCovered
    same = dict(zip((n for n in graph.nodes if n.op == "placeholder"), entered, strict=True))
    position = {node: index for index, node in enumerate(small.graph.nodes)}
    for group, entries, count in zip(groups, given, counts, strict=True):
        group.entries = tuple(same[entry] for entry in entries)
        own, left = left[:count], left[count:]
        group.body = _slice(own, group.entries, position)
        remaining = iter(own)
        group.results = [None if v is None else next(remaining) for v in _several(group.value)]


def _program(
    graph: torch.fx.Graph, groups: list[_Group], results: int
) -> tuple[ExportedProgram, list[list[Node]]]:
    """A program of nothing but inputs, and those of each group: groups share them, each has one only once.

    A program is checked when it is made, and litert-torch's operations are no ATen's.
    """
    import torch
    from torch.export import ExportedProgram, ModuleCallEntry, ModuleCallSignature
    from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec, TensorArgument
    from torch.utils._pytree import tree_structure

    pools: dict[object, list[Node]] = {}
    entries: list[Node] = []
    of_groups: list[list[Node]] = []
    for group in groups:
        of_groups.append([])
        for value in group.inputs.values():
            pool = pools.setdefault((value.shape, value.stride(), value.dtype), [])
            free = next((entry for entry in pool if entry not in of_groups[-1]), None)
            if free is None:
                free = graph.placeholder(f"input{len(entries)}")
                free.meta = {"val": value}
                pool.append(free)
                entries.append(free)
            of_groups[-1].append(free)
    graph.output(tuple(entries))
    arguments: list[Any] = [TensorArgument(entry.name) for entry in entries]
    takes, gives = tree_structure(((0,) * len(entries), {})), tree_structure((0,) * results)
    call = ModuleCallSignature(arguments, [], takes, gives)
    program = ExportedProgram(
        root=torch.nn.Module(),
        graph=graph,
        graph_signature=ExportGraphSignature(
            [InputSpec(InputKind.USER_INPUT, argument, None) for argument in arguments],
            [_output(entry) for entry in entries],
        ),
        state_dict={},
        range_constraints={},
        module_call_graph=[ModuleCallEntry("", call)],
        example_inputs=(tuple(entry.meta["val"] for entry in entries), {}),
    )
    graph.erase_node(graph.output_node())
    return program, of_groups


def _output(node: Node) -> Any:
    from torch.export.graph_signature import OutputKind, OutputSpec, TensorArgument

    return OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node.name), None)


def _slice(results: list[Any], entries: tuple[Node, ...], position: Mapping[Node, int]) -> tuple[Node, ...]:
    """All that `results` are computed from, in order, without the inputs."""
    import torch

    found: dict[Node, None] = {}
    open_ = list(results)
    while open_:
        node = open_.pop()
        if not isinstance(node, torch.fx.Node):
            raise _NotCovered  # a constant in place of a tensor
        if node in found or node in entries:
            continue
        if node.op == "placeholder":
            raise _NotCovered  # of another group
        found[node] = None
        open_ += node.all_input_nodes
    return tuple(sorted(found, key=position.__getitem__))


def _rebuilt(program: ExportedProgram, group_of: Mapping[Node, _Group]) -> ExportedProgram:
    """The program with what each group became in place of its operations."""
    import torch
    from torch.export import ExportedProgram
    from torch.export.graph_signature import ExportGraphSignature

    graph = torch.fx.Graph()
    became: dict[Node, Any] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            became[node] = graph.node_copy(node)
        elif node.op == "output":
            graph.output(torch.fx.map_arg(node.args[0], became.__getitem__))
        elif node.target is operator.getitem and node.args[0] in group_of:
            became[node] = became[node.args[0]][node.args[1]]
        elif node not in group_of:
            became[node] = graph.node_copy(node, became.__getitem__)
            became[node].meta |= _names(node)
        else:
            group = group_of[node]
            table = dict(zip(group.entries, (became[source] for source in node.all_input_nodes), strict=True))
            origin = {key: node.meta[key] for key in _ORIGIN if key in node.meta} | _names(node)
            for part in group.body:
                table[part] = graph.node_copy(part, table.__getitem__)
                table[part].meta = {**part.meta, **origin}
            found = [None if result is None else table[result] for result in group.results]
            became[node] = found if isinstance(group.value, list | tuple) else found[0]
    ends = graph.output_node().args[0]
    signature = program.graph_signature
    specs = [
        type(spec)(spec.kind, type(spec.arg)(end.name), spec.target)
        for spec, end in zip(signature.output_specs, ends, strict=True)
    ]
    graph.eliminate_dead_code()
    return ExportedProgram(
        root=program.graph_module,
        graph=graph,
        graph_signature=ExportGraphSignature(list(signature.input_specs), specs),
        state_dict=program.state_dict,
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        example_inputs=program.example_inputs,
        constants=program.constants,
    )


def _names(node: Node) -> dict[str, Any]:
    """What litert-torch names tensors after: the module, and the operation that all came from in the end."""
    import torch

    source = node.meta.get("from_node") or [torch.fx.traceback.NodeSource(node)]
    return {"nn_module_stack": node.meta.get("nn_module_stack") or {}, "from_node": source}
