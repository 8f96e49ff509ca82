"""Saved programs that try to run code, each at another place of the file."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.edgevit.models._pt2._programs import (
    CONSTANTS,
    PROGRAM,
    SAMPLES,
    WEIGHTS,
    Touch,
    changed,
    pickled,
    put,
    renamed,
    touch,
)

Build = Callable[[Path, Path, Path], Path]
Text = Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class Attack:
    """One file.

    Attributes:
        build: (good archive, where to write, file that the code would create) -> the bad archive.
        sentence: what the refusal says.
        runs: plain PyTorch really runs the code when it opens the file.
    """

    build: Build
    sentence: str
    runs: bool = False


def pickled_tensor(table: str, name: str) -> Build:
    """A tensor that the table calls pickled, under some name."""

    def build(good: Path, bad: Path, marker: Path) -> Path:
        entry = {"path_name": name, "is_param": False, "use_pickle": True, "tensor_meta": None}
        content = pickle.dumps(Touch(marker)) if "opaque" in name else pickled(Touch(marker))
        edits = {table: lambda document: {"config": document["config"] | {"x": entry}}}
        return changed(good, bad, edits, after={f"{table.rpartition('/')[0]}/{name}": content})

    return build


def member(name: str, content: Callable[[Path], bytes] = lambda marker: b"\x7fELF") -> Build:
    """Another or a further member."""
    return lambda good, bad, marker: changed(good, bad, {name: None}, after={name: content(marker)})


def pickle_of_marker(marker: Path) -> bytes:
    return pickled(Touch(marker))


def at(place: str, value: object) -> Build:
    """Another value at one place of the program; RUN in a text stands for code that creates the marker."""
    where = [int(part) if part.isdigit() else part for part in place.split(".")]

    def build(good: Path, bad: Path, marker: Path) -> Path:
        inserted = json.loads(json.dumps(value).replace("RUN", json.dumps(touch(marker))[1:-1]))
        return changed(good, bad, {PROGRAM: put(inserted, *where)})

    return build


def size(text: str, hint: object = None) -> Build:
    """A size that is an expression."""
    return at(f"{GRAPH}.tensor_values.image.sizes.0", {"as_expr": {"expr_str": text, "hint": hint}})


def named(old: str, new: str) -> Build:
    """Another name for a value, a module or a parameter, wherever it stands."""
    return lambda good, bad, marker: changed(
        good, bad, {part: renamed(old, new.replace("RUN", touch(marker))) for part in (PROGRAM, WEIGHTS)}
    )


def node(target: str, argument: str = "filename") -> Build:
    """A further node, which calls `target` with the marker's path."""

    def build(good: Path, bad: Path, marker: Path) -> Path:
        def edit(document: Any) -> Any:
            nodes = document["graph_module"]["graph"]["nodes"]
            text = {"name": argument, "arg": {"as_string": str(marker)}, "kind": 1}
            changes = {"target": target, "inputs": [text], "outputs": [{"as_none": True}], "name": "extra"}
            nodes.insert(0, copy.deepcopy(nodes[0]) | changes)
            return document

        return changed(good, bad, {PROGRAM: edit})

    return build


def structure(kind: str, context: object, where: str = "out_spec") -> Build:
    """A treespec with one leaf."""
    leaf = {"type": None, "context": None, "children_spec": []}
    text = json.dumps([1, {"type": kind, "context": context, "children_spec": [leaf]}])
    return at(f"{ROOT}.{where}", text)


GRAPH = "graph_module.graph"
FIRST = f"{GRAPH}.nodes.0"
ROOT = "graph_module.module_call_graph.0.signature"
THIS = {"default_factory_module": "this", "default_factory_name": "s", "dict_context": ["x"]}
ENUM = '[{"__enum__": 1, "fqn": "this:s", "name": "x"}]'

ATTACKS = {
    # members of the archive
    "weight in a folder": Attack(
        pickled_tensor(WEIGHTS, "sub/weight_x"), "none that torch.export.save", True
    ),
    "weight": Attack(pickled_tensor(WEIGHTS, "weight_99"), "use_pickle: is pickled", True),
    "constant in a folder": Attack(
        pickled_tensor(CONSTANTS, "tensor_/x"), "none that torch.export.save", True
    ),
    "opaque object": Attack(pickled_tensor(CONSTANTS, "opaque_obj_0"), "is a pickled object", True),
    "opaque object in a folder": Attack(
        pickled_tensor(CONSTANTS, "opaque_obj_/x"), "is a pickled object", True
    ),
    "custom object": Attack(pickled_tensor(CONSTANTS, "custom_obj_0"), "is a pickled object"),
    "weights of an older release": Attack(
        member("data/weights/model.pt", pickle_of_marker), r"posix\.system", True
    ),
    "sample inputs": Attack(member(SAMPLES, pickle_of_marker), r"posix\.system", True),
    "library": Attack(member("data/aotinductor/model/model.so"), "is compiled code"),
    "library elsewhere": Attack(member("data/x.wrapper.so"), "is compiled code"),
    "second program": Attack(member("models/other.json"), "is a second program"),
    "unknown member": Attack(member("data/x"), "none that torch.export.save writes"),
    # arithmetic on sizes
    "size": Attack(size("RUN"), "not arithmetic on sizes", True),
    "integer": Attack(at(f"{GRAPH}.sym_int_values.s1", {"as_expr": {"expr_str": "RUN"}}), "not arithmetic"),
    "sympify in sympify": Attack(size('sympify("RUN")'), "not arithmetic", True),
    "name of a symbol": Attack(size('Symbol("RUN")'), "not arithmetic"),
    "attribute": Attack(size("s1.__class__.mro()"), "not arithmetic"),
    "power without end": Attack(size("9**9**9**9**9"), "powers this large"),
    "deep expression": Attack(size("(" * 100 + "s1" + "+1)" * 100), "too deeply"),
    "hint": Attack(size("s1", {"as_int": "RUN"}), "no whole number"),
    "size as text": Attack(at(f"{GRAPH}.tensor_values.image.sizes.0", {"as_int": "RUN"}), "no whole number"),
    "range": Attack(at("range_constraints", {"RUN": {"min_val": 1, "max_val": 2}}), "no name of a symbol"),
    "limit": Attack(at("range_constraints", {"s1": {"min_val": "RUN", "max_val": 2}}), "min_val"),
    "guard": Attack(at("guards_code", ["RUN == 0"]), r"guards_code\[0\]: .* not arithmetic"),
    # names, which end up in generated code
    "name of the input": Attack(named("image", "image=RUN"), "no name of a value", True),
    "name of a node": Attack(named("mean", "mean=RUN"), "no name of a value"),
    "keyword": Attack(named("mean", "lambda"), "no name of a value"),
    "argument of forward": Attack(at(f"{ROOT}.forward_arg_names", ["image=RUN"]), "forward_arg_names"),
    "parameter": Attack(named("patch.bias", 'patch.x", RUN)#'), "no path of a module or parameter"),
    "class of a module": Attack(named("patch.bias", "patch.__class__"), "no path of a module or parameter"),
    "module": Attack(at(f"{FIRST}.metadata.nn_module_stack", 'a,b"x,c'), "nn_module_stack"),
    "keyword argument": Attack(at(f"{FIRST}.inputs.0.name", "a=RUN,b"), "no argument"),
    # what is called
    "function of the system": Attack(node("torch.os.system", "command"), "no operator of PyTorch"),
    "function of torch.ops": Attack(node("torch.ops.load_library"), "no operator of PyTorch"),
    "attribute of an operator": Attack(node("torch.ops.aten.add.__class__"), "no operator of PyTorch"),
    "attribute of a library": Attack(node("torch.ops.aten.__getattr__.x"), "no operator of this version"),
    "function of operator": Attack(node("_operator.methodcaller"), "no operator of PyTorch"),
    "operator that opens a file": Attack(
        node("torch.ops.aten.from_file.default"), r"takes a text \(filename\)"
    ),
    "operator that writes a file": Attack(node("torch.ops.aten.save.default"), "aten.save"),
    "function as argument": Attack(
        at(f"{FIRST}.inputs.0.arg", {"as_operator": "torch.os.system"}), "function"
    ),
    "object as argument": Attack(at(f"{FIRST}.inputs.0.arg", {"as_custom_obj": {}}), "only tensors are read"),
    # structures of inputs and outputs
    "module of a defaultdict": Attack(structure("collections.defaultdict", THIS), "only tuples, lists"),
    "module of an enum": Attack(structure("builtins.dict", ENUM), "no plain key"),
    "quote in a key": Attack(structure("builtins.dict", "[\"x':1,'y\"]", "in_spec"), "no plain key"),
    "class of a library": Attack(structure("some.library.Output", "{}"), "only tuples, lists"),
    # whatever comes next
    "unknown field": Attack(at("plugins", ["os"]), "not known here"),
    "dialect": Attack(at("verifiers", ["EVIL"]), "dialect"),
}
