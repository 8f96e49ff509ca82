"""The structure of inputs and outputs, which PyTorch stores as JSON inside JSON.

PyTorch imports what the context of a `collections.defaultdict` or of an enum names, whatever module that
is, and pastes the keys of keyword arguments into generated code. Only tuples, lists and dictionaries with
plain keys are handed on.
"""

from __future__ import annotations

import json
from typing import Final

from edgevit.core.disk.documents import parse_json
from edgevit.core.errors import InputError
from edgevit.models._pt2.grammar import Refused, Rule, later, list_of, nothing, record, show, text

_PROTOCOL: Final = 1
_LONGEST: Final = 1 << 20
_KEYED: Final = ("builtins.dict", "collections.OrderedDict")
_key: Final[Rule] = text(r"[\w .:/-]{1,200}", "plain key of a dictionary")


def treespec(value: object) -> object:
    """Rule for `in_spec` and `out_spec`: the same structure, written anew."""
    found = _decoded(value)
    if not isinstance(found, list) or len(found) != 2 or found[0] != _PROTOCOL:
        raise Refused(f"{show(value)} is no structure of inputs and outputs")
    return json.dumps([_PROTOCOL, _node(found[1])])


def _decoded(value: object) -> object:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise Refused(f"{show(value)} is no structure of inputs and outputs")
    try:
        return parse_json(value, "its text")
    except InputError as error:
        raise Refused(error.message) from None


def _type(value: object) -> object:
    if value not in (None, "builtins.tuple", "builtins.list", *_KEYED):
        raise Refused(
            f"inputs or outputs are in a {show(value)}, and only tuples, lists and dictionaries are read"
        )
    return value


def _node(value: object) -> object:
    node = _shape(value)
    assert isinstance(node, dict)
    if node["type"] is None:
        children, context = list_of(nothing)(node["children_spec"]), nothing(node["context"])
    elif node["type"] in _KEYED:
        children = node["children_spec"]
        context = json.dumps(list_of(_key)(_decoded(node["context"])))
    else:
        children, context = node["children_spec"], json.dumps(nothing(_decoded(node["context"])))
    return {"type": node["type"], "context": context, "children_spec": children}


_shape: Final[Rule] = record(
    type=_type, context=lambda value: value, children_spec=list_of(later(lambda: _node))
)
