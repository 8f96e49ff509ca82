"""From a Graph to an ONNX model in memory, with every weighted site found, confirmed and marked.

torch.onnx keeps the name of the FX node in the metadata of each ONNX node. That name leads to the
nodes of a site; the weight of one that has any, compared bit by bit with the Graph's constant,
confirms it. Each linear layer is then written in one form, MatMul with a (K, N) constant followed by
Add, whatever the exporter chose for its rank, so that later steps meet exactly two patterns: that one
and Conv.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgevit.core import metadata_keys
from edgevit.core.errors import UnsupportedError
from edgevit.core.require import require
from edgevit.core.types import Graph, ModelSpec
from edgevit.program import diagnostics
from edgevit.program.sites import kind_of, named

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    import torch
    from numpy.typing import NDArray
    from torch.export import ExportedProgram

FIRST_OPSET: Final = 18  # that torch.onnx writes
_NODE_KEY: Final = "pkg.torch.onnx.fx_node"
_MAIN: Final = {"linear": ("MatMul", "Gemm"), "conv": ("Conv",)}


@dataclass(frozen=True, slots=True)
class FloatConversion:
    """The float model in ONNX, made once per Graph and copied by every `write`.

    Attributes:
        model: all constants as initializers; every node carries the name of its site in its metadata, and
            the last node of a site makes the site's output.
        weights: site -> float32 weight in PyTorch's layout, of every linear layer and convolution
            whose weight is a constant.
        spec: for the names of the outputs and the embedded metadata.
        opset: of the files; the model has 18 at least.
        batch: images in one execution, None for any number.
        takes_pixels: the input of the files is uint8 (batch, height, width, channels).
        backend: what the quantized files are made for.
        htp_arch: generation of Qualcomm's NPU that they are executed on; "" with another backend.
    """

    model: ir.Model
    weights: Mapping[str, NDArray[np.float32]]
    spec: ModelSpec
    opset: int = FIRST_OPSET
    batch: int | None = 1
    takes_pixels: bool = False
    backend: str = ""
    htp_arch: str = ""


def export(graph: Graph, spec: ModelSpec, opset: int) -> FloatConversion:
    """Convert `graph` with torch.onnx and mark its sites.

    Raises:
        UnsupportedError: torch.onnx has no translation for an operator, or a site of the Graph is
            not in the ONNX model under its name and with its weight.
    """
    require("onnxscript", "onnx")
    import torch

    try:
        converted = torch.onnx.export(
            graph.program, dynamo=True, opset_version=max(opset, FIRST_OPSET), optimize=False, verbose=False
        )
    except Exception as error:  # the exporter wraps foreign exceptions of every class
        raise UnsupportedError(
            f"torch.onnx cannot convert {spec.name}: {_cause(error)}"
            f"{diagnostics.suffix(error, graph.program.graph.nodes)}",
            "write that line with other operators, or leave onnx out of --to",
        ) from error
    if converted is None or converted.exported_program is None:
        raise UnsupportedError(f"torch.onnx gave no model for {spec.name}", "try another onnx.opset")
    model = converted.model
    weights = _mark_sites(model, converted.exported_program)
    _tidy(model)
    _name_ends(model, spec)
    return FloatConversion(model, weights, spec, opset=opset)


def _mark_sites(model: ir.Model, program: ExportedProgram) -> dict[str, NDArray[np.float32]]:
    """Mark every node with its site, rewrite the linear layers, return the weight of each weighted site."""
    groups: dict[str, list[ir.Node]] = defaultdict(list)
    for node in model.graph:
        name = node.metadata_props.get(_NODE_KEY, "").partition(" ")[0].removeprefix("%")
        groups[name].append(node)
    weights: dict[str, NDArray[np.float32]] = {}
    for fx in program.graph_module.graph.nodes:
        site = named(fx)
        for node in groups[fx.name] if site else ():
            node.metadata_props[metadata_keys.SITE] = site
        kind = kind_of(site)
        weight = _constant(program, fx.args[1]) if kind in _MAIN and fx.op == "call_function" else None
        if weight is None:
            continue  # not weighted, or its weight is computed: stays as the exporter wrote it
        main = [node for node in groups[fx.name] if node.op_type in _MAIN[kind]]
        if len(main) != 1:
            raise UnsupportedError(
                f"site {site}: torch.onnx wrote {len(main)} products for it instead of 1",
                "leave onnx out of --to, or write the layer as a plain Linear or Conv2d",
            )
        found = _value(main[0].inputs[1])
        if main[0].op_type == "MatMul" or (
            main[0].op_type == "Gemm" and not main[0].attributes.get_int("transB", 0)
        ):
            found = None if found is None else found.T
        if found is None or found.shape != weight.shape or not (found == weight).all():
            raise UnsupportedError(
                f"site {site}: the weight in the ONNX model is not the one in the graph",
                "leave onnx out of --to, or write the layer as a plain Linear or Conv2d",
            )
        marked = [main[0]] if kind == "conv" else _plain_linear(model.graph, main[0], weight)
        for node in marked:
            node.metadata_props[metadata_keys.SITE] = site
        weights[site] = weight
    return weights


def _plain_linear(graph: ir.Graph, main: ir.Node, weight: NDArray[np.float32]) -> list[ir.Node]:
    """Replace Gemm, or Transpose + MatMul + Add, by MatMul(x, (K, N) constant) and Add."""
    import onnx_ir as ir

    last, bias = main, main.inputs[2] if main.op_type == "Gemm" and len(main.inputs) > 2 else None
    if main.op_type == "MatMul":
        after = [use.node for use in main.outputs[0].uses()]
        same = main.metadata_props.get(_NODE_KEY)
        if len(after) == 1 and after[0].op_type == "Add" and after[0].metadata_props.get(_NODE_KEY) == same:
            last = after[0]
            bias = next(v for v in last.inputs if v is not main.outputs[0])
    stored = _origin(main.inputs[1])
    name = f"{stored.name}.transposed"
    if name not in graph.initializers:
        # A view: the numbers are put in order when they are written, one weight at a time.
        constant = ir.val(name, const_value=ir.Tensor(weight.T, name=name))
        graph.register_initializer(constant)
    old = last.outputs[0]
    product = ir.node("MatMul", [main.inputs[0], graph.initializers[name]])
    nodes = [product]
    if bias is not None:
        product.outputs[0].name = f"{old.name}.product"
        product.outputs[0].type, product.outputs[0].shape = old.type, old.shape
        nodes.append(ir.node("Add", [product.outputs[0], bias]))
    new = nodes[-1].outputs[0]
    new.name, new.type, new.shape = old.name, old.type, old.shape
    graph.insert_before(last, nodes)
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove([last] if last is main else [last, main], safe=True)
    return nodes


def _tidy(model: ir.Model) -> None:
    """Fold constants, lift them to initializers, and drop what nobody reads or nobody may know.

    The exporter's node metadata holds stack traces with paths of the machine.
    """
    import onnx_ir as ir
    import onnx_ir.passes.common as common
    import onnxscript.optimizer

    onnxscript.optimizer.fold_constants(model)
    ir.passes.Sequential(
        common.IdentityEliminationPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
        common.DeduplicateInitializersPass(),
        common.TopologicalSortPass(),
    )(model)
    seen: Counter[str] = Counter()
    for node in model.graph:
        site = node.metadata_props.get(metadata_keys.SITE)
        node.metadata_props.clear()
        node.doc_string = None
        if site:
            node.metadata_props[metadata_keys.SITE] = site
        stem = f"{site}/{node.op_type}" if site else node.op_type
        node.name = f"{stem}.{seen[stem]}" if seen[stem] else stem
        seen[stem] += 1
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    model.graph.doc_string = model.doc_string = None


def _name_ends(model: ir.Model, spec: ModelSpec) -> None:
    """Input `image`, outputs as the spec names them."""
    graph = model.graph
    names = [output.name for output in spec.outputs]
    if len(graph.inputs) != 1 or len(graph.outputs) != len(names):
        raise UnsupportedError(
            f"the ONNX model has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, "
            f"expected 1 and {len(names)}",
            "try another --option onnx.opset",
        )
    taken = {value.name: value for node in graph for value in node.outputs}
    for wanted, value in (("image", graph.inputs[0]), *zip(names, graph.outputs, strict=True)):
        if wanted in taken and taken[wanted] is not value:
            taken[wanted].name = f"{wanted}.inner"
        value.name = wanted
    graph.name = spec.name


def _constant(program: ExportedProgram, node: object) -> NDArray[np.float32] | None:
    """Value of a parameter, buffer or lifted constant that `node` stands for; None if it is computed."""
    import torch

    signature = program.graph_signature
    name = getattr(node, "name", "")
    for table in (
        signature.inputs_to_parameters,
        signature.inputs_to_buffers,
        signature.inputs_to_lifted_tensor_constants,
    ):
        if name in table:
            found: torch.Tensor = program.state_dict.get(table[name], program.constants.get(table[name]))
            return found.detach().to(torch.float32).numpy()
    return None


def _origin(value: ir.Value | None) -> ir.Value:
    """The initializer behind Transpose and Identity."""
    assert value is not None  # its numbers were compared
    node = value.producer()
    return value if node is None else _origin(node.inputs[0])


def _value(value: ir.Value | None) -> NDArray[np.float32] | None:
    """Numbers of an initializer, or of one behind Transpose or Identity."""
    if value is None:
        return None
    node = value.producer()
    if node is None:
        return None if value.const_value is None else value.const_value.numpy()
    if node.op_type not in ("Transpose", "Identity"):
        return None
    inner = _value(node.inputs[0])
    if inner is None or node.op_type == "Identity":
        return inner
    return inner.transpose(node.attributes["perm"].as_ints() if "perm" in node.attributes else None)


def _cause(error: BaseException) -> str:
    """First line of the innermost exception: the exporter's own message is a page long."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
