"""`models/model.json`, the graph of a saved program: every field that PyTorch reads, and what it may hold.

The names are those of `torch/_export/serde/schema.py`. Names of nodes, inputs, parameters and modules end
up in Python code that torch.fx generates and runs (`def forward(self, NAME)`, `getattr(self, "NAME")`),
so they are identifiers, or dotted paths without quotes. What loading does not need is left out: the
guards (checked all the same), `custom`, `from_node`, `source_fn_stack`, names of namedtuples.
"""

from __future__ import annotations

import keyword
import re
from typing import Final

from edgevit.models._pt2.expressions import expression, guard, symbol
from edgevit.models._pt2.grammar import (
    Refused,
    Rule,
    boolean,
    dropped,
    integer,
    later,
    list_of,
    mapping,
    never,
    number,
    optional,
    record,
    show,
    text,
    union,
)
from edgevit.models._pt2.operators import target
from edgevit.models._pt2.treespec import treespec

_LONGEST: Final = 100_000
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w{0,500}", re.ASCII)
_MODULE: Final = re.compile(r"[\w /:+-]{1,200}(@\d{1,6})?")


def identifier(value: object) -> object:
    """Rule for the name of a node: a Python identifier that is no keyword."""
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value) or keyword.iskeyword(value):
        raise Refused(f"{show(value)} is no name of a value")
    return value


def path(value: object) -> object:
    """Rule for the path of a module or parameter, as in `blocks.0.mlp`; empty for the model itself."""
    parts = value.split(".") if isinstance(value, str) else [""]
    if value != "" and not all(_MODULE.fullmatch(p) and not p.startswith("__") for p in parts):
        raise Refused(f"{show(value)} is no path of a module or parameter")
    return value


def _module_stack(value: object) -> object:
    """`KEY,PATH,CLASS` for each module that a node stands in, joined by semicolons."""
    for entry in value.split(";") if isinstance(value, str) else [""]:
        match entry.split(","):
            case [key, place, kind] if re.fullmatch(r"[\w.@ ()'/:+-]*", key) and re.fullmatch(
                r"[\w.<>' -]*", kind
            ):
                path(place)
            case _:
                raise Refused(f"{show(entry)} is no module that a node stands in")
    return value


word: Final[Rule] = text(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,2000}", "plain text")


def _stack_trace(value: object) -> object:
    """Lines of the author's source, which may hold anything; shown in messages."""
    if not isinstance(value, str):
        raise Refused(f"{show(value)} is no text")
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", " ", value[:_LONGEST])


_HINT = union(as_int=integer(), as_bool=boolean, as_float=number)
_SYMBOLIC = record("hint", expr_str=expression, hint=optional(_HINT))
_SYM_INT = union(as_expr=_SYMBOLIC, as_int=integer())
_DEVICE = record("index", type=text("cpu|cuda|mps|xpu|meta", "device"), index=optional(integer(0, 1024)))

tensor_meta: Final[Rule] = record(
    dtype=integer(1, 64),
    sizes=list_of(_SYM_INT),
    requires_grad=boolean,
    device=_DEVICE,
    strides=list_of(_SYM_INT),
    storage_offset=_SYM_INT,
    layout=integer(7, 7),  # strided
)

_TENSOR = record(name=identifier)
_OPTIONAL_TENSOR = union(as_tensor=_TENSOR, as_none=boolean)
_SYM_INT_ARGUMENT = union(as_name=identifier, as_int=integer())
_SYM_FLOAT_ARGUMENT = union(as_name=identifier, as_float=number)
_SYM_BOOL_ARGUMENT = union(as_name=identifier, as_bool=boolean)
_OBJECT = never("is an object of a Python or C++ class, and only tensors are read")

_ARGUMENT: Rule = union(
    as_none=boolean,
    as_tensor=_TENSOR,
    as_tensors=list_of(_TENSOR),
    as_int=integer(),
    as_ints=list_of(integer()),
    as_float=number,
    as_floats=list_of(number),
    as_string=word,
    as_strings=list_of(word),
    as_sym_int=_SYM_INT_ARGUMENT,
    as_sym_ints=list_of(_SYM_INT_ARGUMENT),
    as_scalar_type=integer(1, 64),
    as_memory_format=integer(1, 4),
    as_layout=integer(1, 7),
    as_device=_DEVICE,
    as_bool=boolean,
    as_bools=list_of(boolean),
    as_sym_bool=_SYM_BOOL_ARGUMENT,
    as_sym_bools=list_of(_SYM_BOOL_ARGUMENT),
    as_graph=record(name=identifier, graph=later(lambda: _GRAPH)),
    as_optional_tensors=list_of(_OPTIONAL_TENSOR),
    as_optional_tensor=_OPTIONAL_TENSOR,
    as_custom_obj=_OBJECT,
    as_operator=never("is a function that is handed to another"),
    as_sym_float=_SYM_FLOAT_ARGUMENT,
    as_sym_floats=list_of(_SYM_FLOAT_ARGUMENT),
    as_complex=record(real=number, imag=number),
    as_nested_tensors=list_of(list_of(_TENSOR)),
    as_int_lists=list_of(list_of(integer())),
    as_float_lists=list_of(list_of(number)),
    as_string_to_argument=mapping(identifier, later(lambda: _ARGUMENT)),
)

_NODE = record(
    "metadata is_hop_single_tensor_return name",
    target=target,
    inputs=list_of(
        record(
            "kind",
            name=lambda value: value if value == "" else text(_IDENTIFIER.pattern, "argument")(value),
            arg=_ARGUMENT,
            kind=optional(integer(0, 2)),
        )
    ),
    outputs=list_of(_ARGUMENT),
    metadata=lambda value: _described(value),
    is_hop_single_tensor_return=optional(boolean),
    name=optional(identifier),
)
_DESCRIBED = record(
    "stack_trace nn_module_stack torch_fn source_fn_stack custom from_node",
    stack_trace=_stack_trace,
    nn_module_stack=_module_stack,
    torch_fn=word,
    source_fn_stack=dropped,
    custom=dropped,
    from_node=dropped,
)

_GRAPH: Rule = record(
    "is_single_tensor_return custom_obj_values sym_float_values",
    inputs=list_of(_ARGUMENT),
    outputs=list_of(_ARGUMENT),
    nodes=list_of(_NODE),
    tensor_values=mapping(identifier, tensor_meta),
    sym_int_values=mapping(identifier, _SYM_INT),
    sym_bool_values=mapping(identifier, union(as_expr=_SYMBOLIC, as_bool=boolean)),
    is_single_tensor_return=boolean,
    custom_obj_values=mapping(identifier, _OBJECT),
    sym_float_values=mapping(identifier, union(as_expr=_SYMBOLIC, as_float=number)),
)

_CONSTANT = union(as_none=boolean, as_int=integer(), as_float=number, as_string=word, as_bool=boolean)
_INPUT = union(
    user_input=record(arg=_ARGUMENT),
    parameter=record(arg=_TENSOR, parameter_name=path),
    buffer=record(arg=_TENSOR, buffer_name=path, persistent=boolean),
    tensor_constant=record(arg=_TENSOR, tensor_constant_name=path),
    custom_obj=_OBJECT,
    token=record(arg=_TENSOR),
    constant_input=record(name=identifier, value=_CONSTANT),
)
_OUTPUT = union(
    user_output=record(arg=_ARGUMENT),
    loss_output=record(arg=_TENSOR),
    buffer_mutation=record(arg=_TENSOR, buffer_name=path),
    parameter_mutation=record(arg=_TENSOR, parameter_name=path),
    gradient_to_parameter=record(arg=_TENSOR, parameter_name=path),
    gradient_to_user_input=record(arg=_TENSOR, user_input_name=identifier),
    user_input_mutation=record(arg=_TENSOR, user_input_name=identifier),
    token=record(arg=_TENSOR),
)
_CALL = record(
    "forward_arg_names",
    inputs=list_of(_ARGUMENT),
    outputs=list_of(_ARGUMENT),
    in_spec=treespec,
    out_spec=treespec,
    forward_arg_names=optional(list_of(identifier)),
)

_PROGRAM: Final[Rule] = record(
    "verifiers torch_version guards_code",
    graph_module=record(
        "metadata treespec_namedtuple_fields",
        graph=_GRAPH,
        signature=record(input_specs=list_of(_INPUT), output_specs=list_of(_OUTPUT)),
        module_call_graph=list_of(record("signature", fqn=path, signature=optional(_CALL))),
        metadata=dropped,
        treespec_namedtuple_fields=dropped,
    ),
    opset_version=mapping(text(r"\w{1,50}", "library"), integer(0, 10**6)),
    range_constraints=mapping(symbol, record(min_val=optional(integer()), max_val=optional(integer()))),
    schema_version=record(major=integer(0, 10**6), minor=integer(0, 10**6)),
    verifiers=list_of(text("|ATEN|TRAINING", "dialect of torch.export")),
    torch_version=word,
    guards_code=list_of(guard),
)


def program(value: object) -> object:
    """The decoded `models/model.json` as it may be handed to PyTorch.

    Raises:
        Refused: something in it is not what PyTorch's writer writes; the text says where.
        UnsupportedError: an operator or a container that edgevit does not read.
    """
    found = _PROGRAM(value)
    assert isinstance(found, dict)
    module = {**found["graph_module"], "metadata": {}, "treespec_namedtuple_fields": {}}
    return {**found, "graph_module": module, "guards_code": []}


def _described(value: object) -> object:
    found = _DESCRIBED(value)
    assert isinstance(found, dict)
    return {name: item for name, item in found.items() if item is not None}
