"""Our conditions of LiteRT's GPU delegate against TensorFlow's own check of them, operator by operator.

    python -m venv TF && TF/bin/pip install 'tensorflow-cpu==2.15.*'
    python -m bench.gpu_conditions TF/bin/python --random 5000 dist/*/tflite/fp32/model.tflite

`--random 5000` adds operators with operands and options drawn at random, one in each file: many are refused.

TensorFlow 2.15 is the last one whose wheel for Linux has `CheckGpuDelegateCompatibility` in its analyzer; later ones
call every file compatible. It covers the conditions of each operator, not versions, element types and ranks, which the
delegate asks for elsewhere. Where the conditions have changed since, the table counts it apart (`_GONE`, `_NEW`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as tflite

from edgevit.accelerators import _gpu_limits as limits
from edgevit.accelerators._operators import Operator
from edgevit.accelerators._tflite import LEAST, read
from tests.edgevit.runtimes.litert._tflite_files import Builder

# One child for each file, since the check ends with a segmentation fault on some operators with operands missing.
_ASK: Final = """
import contextlib, io, json, os, re, sys
import tensorflow as tf
def asked(path):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        tf.lite.experimental.Analyzer.analyze(model_path=path, gpu_compatibility=True)
    found, last = {}, None
    for line in text.getvalue().splitlines():
        node = re.match(r"  Op#(\\d+) ", line)
        told = re.match(r"GPU COMPATIBILITY WARNING: (?!Subgraph#)(.*)", line)
        last = int(node[1]) if node else last
        if told:
            found[last] = told[1]
    return found
answers = []
for path in json.load(sys.stdin):
    back, into = os.pipe()
    child = os.fork()
    if not child:
        os.close(back)
        with os.fdopen(into, "w") as pipe:
            json.dump(asked(path), pipe)
        os._exit(0)
    os.close(into)
    with os.fdopen(back) as pipe:
        told = pipe.read()
    ended = os.waitpid(child, 0)[1]
    answers.append(json.loads(told) if not ended else None)
print(json.dumps(answers))
"""
# What LiteRT of 2026, which ours follow, no longer refuses, and what it refuses besides.
_GONE: Final = (
    "MUL requires one tensor that not less",
    "depth_multiplier != 1",
    "Does not accept INT32 input",
    "FullyConnected doesn't support constant input",
    "Cond must be float or bool type, if, else tensors must be float",
)
_NEW: Final = "different ranks"

_OPTIONS: Final = {
    "ADD": "Add",
    "AVERAGE_POOL_2D": "Pool2D",
    "BATCH_MATMUL": "BatchMatMul",
    "CONCATENATION": "Concatenation",
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "DEPTH_TO_SPACE": "DepthToSpace",
    "DIV": "Div",
    "FULLY_CONNECTED": "FullyConnected",
    "GATHER": "Gather",
    "LEAKY_RELU": "LeakyRelu",
    "MAX_POOL_2D": "Pool2D",
    "MIRROR_PAD": "MirrorPad",
    "MUL": "Mul",
    "PACK": "Pack",
    **dict.fromkeys(("MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "SUM"), "Reducer"),
    "RESIZE_BILINEAR": "ResizeBilinear",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor",
    "SOFTMAX": "Softmax",
    "SPACE_TO_DEPTH": "SpaceToDepth",
    "SPLIT": "Split",
    "STRIDED_SLICE": "StridedSlice",
    "SUB": "Sub",
    "TRANSPOSE_CONV": "TransposeConv",
    "UNPACK": "Unpack",
}
_COUNTS: Final = {
    **dict.fromkeys(("RESHAPE", "TILE", "TRANSPOSE", "PRELU", "CONCATENATION"), 2),
    **dict.fromkeys(
        ("DIV", "FLOOR_DIV", "FLOOR_MOD", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "SUB"), 2
    ),
    **LEAST,
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"), 3),
}
_IMAGES: Final = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "AVERAGE_POOL_2D", "MAX_POOL_2D")
# Conditions that are not among our rules, operators that are new since 2.15, and one whose sizes never fit here.
_LEFT_OUT: Final = (*limits.UNJUDGED, "RELU_0_TO_1", "UNPACK", "DEPTHWISE_CONV_2D")
# Kinds that the delegate does not know at all.
_UNKNOWN: Final = ("ARG_MAX", "BROADCAST_TO", "FILL", "GATHER_ND", "REVERSE_V2", "TOPK_V2")


_MAY_BE_0: Final = (
    "mode",
    "blockSize",
    "ellipsisMask",
    "newAxisMask",
    "shrinkAxisMask",
    "beginMask",
    "endMask",
)


def at_random(path: Path, random: np.random.Generator) -> Path:
    """One operator with as many operands as it has, which need not fit together: the check does not execute it."""
    b = Builder()
    kind = str(random.choice([*(kind for kind in limits.VERSIONS if kind not in _LEFT_OUT), *_UNKNOWN]))
    rank = 4 if kind in _IMAGES else random.integers(1, 5)
    like = random.integers(1, 5, rank).tolist()
    given = [_operand(b, f"in.{place}", like, random, kind, place) for place in range(_COUNTS.get(kind, 1))]
    made = _operand(b, "out", like, random, kind, 0)
    b.add(kind, 1, given, [made], _options(kind, random))
    return b.save(path, given, [made])


def _operand(
    b: Builder, name: str, like: list[int], random: np.random.Generator, kind: str, place: int
) -> int:
    other = random.integers(1, 5, random.integers(0, 5)).tolist()
    ones = [1 if random.random() < 0.3 else side for side in like]
    choices = [like, like, ones] if kind in _IMAGES else [like, like, ones, like[1:], other]
    settings = [[len(like), 2], [len(like)], [2], []]
    shape = [*choices, *(settings if place else [])][random.integers(0, len(choices) + (4 if place else 0))]
    kinds = ("FLOAT32", "FLOAT32", "FLOAT32", "INT32", "INT32", "INT8", "INT16", "BOOL")
    dtype = kinds[random.integers(0, len(kinds))]
    types = {"FLOAT32": np.float32, "INT32": np.int32, "INT8": np.int8, "INT16": np.int16, "BOOL": np.bool_}
    constant = place > 0 and random.random() < 0.5
    return b.tensor(name, shape, dtype, np.ones(shape, types[dtype]) if constant else None)


def _options(kind: str, random: np.random.Generator) -> Any:
    if kind not in _OPTIONS:
        return None
    options = getattr(tflite, f"{_OPTIONS[kind]}OptionsT")()
    for name, now in vars(options).items():
        if now is None or name == "quantSpec":
            continue
        if isinstance(now, bool):
            setattr(options, name, bool(random.random() < 0.3))
        elif name == "fusedActivationFunction":
            setattr(options, name, int(random.choice([0, 0, 1, 3, 4, 5])))
        elif isinstance(now, float):
            setattr(options, name, float(random.choice([0.5, 1, 1])))
        elif "type" not in name.lower() and name not in ("padding", "axis", "weightsFormat"):
            setattr(
                options,
                name,
                int(random.choice([0, 1, 1, 2]) if name in _MAY_BE_0 else random.integers(1, 3)),
            )
    return options


def ours(operator: Operator) -> str:
    return limits.has_no_parser(operator) or limits.condition(operator)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("python", help="of an environment with TensorFlow 2.15")
    parser.add_argument("files", nargs="*", type=Path, help=".tflite files that store no float16")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="operators drawn at random")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        drawn = [
            at_random(Path(folder) / f"{i}.tflite", np.random.default_rng(i)) for i in range(given.random)
        ]
        compare(given.python, given.files, drawn)


def compare(python: str, files: list[Path], drawn: list[Path]) -> None:
    """Ask both, print where they differ."""
    paths = json.dumps([str(path) for path in (*files, *drawn)])
    asked = subprocess.run([python, "-c", _ASK], input=paths, capture_output=True, text=True, check=True)
    answers = json.loads(asked.stdout)
    print("| file | operators | refused by both | changed since 2.15 | different | TensorFlow crashes |")
    print("| --- | --- | --- | --- | --- | --- |")
    for path, told in zip(files, answers[: len(files)], strict=True):
        row(str(path), [(read(path), told)])
    if drawn:
        row(
            "drawn at random",
            [(read(path), told) for path, told in zip(drawn, answers[len(files) :], strict=True)],
        )


def row(name: str, pairs: list[tuple[tuple[Operator, ...], dict[str, str] | None]]) -> None:
    """One line of the table and the operators that are judged differently."""
    both, changed, different, crashes, asked = 0, 0, [], 0, 0
    for operators, told in pairs:
        if told is None:
            crashes += 1
            continue
        asked += len(operators)
        for index, operator in enumerate(operators):
            their, our = told.get(str(index), ""), ours(operator)
            both += bool(their and our)
            if bool(their) == bool(our):
                continue
            if their.startswith(_GONE) or _NEW in our:
                changed += 1
            else:
                different.append(f"    {index} {operator.kind}: theirs '{their}'; ours '{our}'")
    print(f"| {name} | {asked} | {both} | {changed} | {len(different)} | {crashes} |")
    print("\n".join(different), end="\n" * bool(different))


if __name__ == "__main__":
    main()
