"""LiteRT's GPU delegate: one offending operator in each planted file; its own source says what it asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tflite

from edgevit.accelerators.litert_gpu import CHECKER
from edgevit.core.errors import InputError
from edgevit.core.results.lint import LintReport
from tests.edgevit.runtimes.litert._tflite_files import Builder

Planted = Callable[[Builder, int], int]  # adds the operator that reads a tensor, returns its output


def ints(b: Builder, name: str, *values: int) -> int:
    return b.tensor(name, [len(values)], "INT32", np.array(values, np.int32))


def reverse(b: Builder, x: int) -> int:
    y = b.tensor("blocks.1.attn:flip;", [1, 4, 8])
    b.add("REVERSE_V2", 1, [x, ints(b, "axis", 1)], [y])
    return y


def custom(b: Builder, x: int) -> int:
    y = b.tensor("blocks.1.attn:erf;", [1, 4, 8])
    b.custom("FlexErf", [x], [y])
    return y


def newer_version(b: Builder, x: int) -> int:
    y = b.tensor("blocks.1.attn:linear;", [1, 4, 8])
    w = b.tensor("w", [8, 8], "INT8", np.ones((8, 8), np.int8), ([0.1] * 8, 0))
    b.add("FULLY_CONNECTED", 12, [x, w, -1], [y], tflite.FullyConnectedOptionsT())
    return y


def rank_5(b: Builder, x: int) -> int:
    y = b.tensor("blocks.1.attn:reshape;", [1, 4, 2, 2, 2])
    b.add("RESHAPE", 1, [x, ints(b, "shape", 1, 4, 2, 2, 2)], [y])
    return y


def integers(b: Builder, x: int) -> int:
    cast, y = (
        b.tensor("blocks.1.attn:cast;", [1, 4, 8], "INT32"),
        b.tensor("blocks.1.attn:max;", [1, 4, 8], "INT32"),
    )
    b.add("CAST", 1, [x], [cast])
    b.add("MAXIMUM", 2, [cast, ints(b, "zero", 0)], [y])
    return y


def spread_table(b: Builder, x: int) -> int:
    """A table of positions without the dimension of the batch."""
    y = b.tensor("blocks.1.attn:add;", [1, 4, 8])
    b.add(
        "ADD", 1, [x, b.tensor("table", [4, 8], value=np.ones((4, 8), np.float32))], [y], tflite.AddOptionsT()
    )
    return y


def keep(options: Any) -> Any:
    options.keepDims = True
    return options


def int32_gather(b: Builder, x: int) -> int:
    y = b.tensor("blocks.1.attn:gather;", [1, 2, 8])
    options = tflite.GatherOptionsT()
    options.axis = 1
    indices = b.tensor("where", [1, 2], "INT32", np.array([[0, 1]], np.int32))
    b.add("GATHER", 1, [x, indices], [y], options)
    return y


def rank_2_slice(b: Builder, x: int) -> int:
    flat, y = b.tensor("blocks.1.attn:reshape;", [4, 8]), b.tensor("blocks.1.attn:slice;", [2, 8])
    b.add("RESHAPE", 1, [x, ints(b, "shape", 4, 8)], [flat])
    b.add("SLICE", 1, [flat, ints(b, "begin", 0, 0), ints(b, "size", 2, 8)], [y], tflite.SliceOptionsT())
    return y


def loose_softmax(b: Builder, x: int) -> int:
    y = b.tensor("blocks.1.attn:softmax;", [1, 4, 8])
    options = tflite.SoftmaxOptionsT()
    options.beta = 0.5
    b.add("SOFTMAX", 1, [x], [y], options)
    return y


def compared_output(b: Builder, x: int) -> int:
    y = b.tensor("blocks.1.attn:gt;", [1, 4, 8], "BOOL")
    b.add("GREATER", 1, [x, b.tensor("half", [1], value=np.array([0.5], np.float32))], [y])
    return y


PLANTED = [
    (reverse, "REVERSE_V2", "does not know this operator"),
    (custom, "FlexErf", "does not know this operator"),
    (newer_version, "FULLY_CONNECTED", "version 12 of the operator, the GPU delegate takes those up to 9"),
    (rank_5, "RESHAPE", "1x4x2x2x2 has rank 5"),
    (integers, "MAXIMUM", "reads int32"),
    (spread_table, "ADD", "1x4x8 and 4x8 have different ranks"),
    (int32_gather, "GATHER", "int32 of rank 2"),
    (rank_2_slice, "SLICE", "rank 2, not 3 or 4"),
    (loose_softmax, "SOFTMAX", "beta is 0.5"),
    (compared_output, "GREATER", "not read by a single CAST or SELECT"),
]


def planted(path: Path, plant: Planted) -> Path:
    """EXP, EXP, EXP, then the offender, so that the largest piece of the graph is what stands before it."""
    b = Builder()
    x = b.tensor("image", [1, 4, 8])
    start = x
    for step in range(3):
        y = b.tensor(f"blocks.0.mlp:exp.{step};", [1, 4, 8])
        b.add("EXP", 1, [x], [y])
        x = y
    return b.save(path, [start], [plant(b, x)])


def lint(path: Path) -> LintReport:
    return CHECKER.check(path, "litert-gpu")


@pytest.mark.parametrize(
    ("plant", "operator", "reason"), PLANTED, ids=[plant[0].__name__ for plant in PLANTED]
)
def test_an_operator_that_the_delegate_refuses(
    plant: Planted, operator: str, reason: str, tmp_path: Path
) -> None:
    report = lint(planted(tmp_path / "m.tflite", plant))
    (found,) = [finding for finding in report.findings if "stands apart" not in finding.reason]
    assert (found.operator, found.module, found.kind) == (operator, "blocks.1.attn", "rule")
    assert reason in found.reason and found.source.startswith("https://github.com/google-ai-edge/LiteRT/")
    assert report.operators["cpu"] == len(report.findings) and report.operators["gpu"] >= 3


def test_a_float_block_stays_on_the_gpu(tmp_path: Path) -> None:
    """Layer norm, linear layer and GELU as litert-torch writes them."""
    b = Builder()
    x = b.tensor("image", [1, 4, 8])
    mean = b.tensor("norm:mean;", [1, 4, 1])
    b.add("MEAN", 1, [x, ints(b, "axis", 2)], [mean], keep(tflite.ReducerOptionsT()))
    centred = b.tensor("norm:sub;", [1, 4, 8])
    b.add("SUB", 1, [x, mean], [centred], tflite.SubOptionsT())
    w, bias = (
        b.tensor("w", [8, 8], value=np.ones((8, 8), np.float32)),
        b.tensor("b", [8], value=np.ones(8, np.float32)),
    )
    linear, gelu = b.tensor("fc:linear;", [1, 4, 8]), b.tensor("act:gelu;", [1, 4, 8])
    options = tflite.FullyConnectedOptionsT()
    options.keepNumDims = True
    b.add("FULLY_CONNECTED", 2, [centred, w, bias], [linear], options)
    b.add("GELU", 1, [linear], [gelu], tflite.GeluOptionsT())
    report = lint(b.save(tmp_path / "m.tflite", [x], [gelu]))
    assert report.findings == () and report.operators == {"gpu": 4, "cpu": 0}


def test_float16_weights_are_constants(tmp_path: Path) -> None:
    """The delegate looks through the DEQUANTIZE of a stored half; else three computed inputs would be one too many."""
    b = Builder()
    x, y = b.tensor("image", [1, 8]), b.tensor("fc:linear;", [1, 8])
    inputs = [x]
    for name, shape in (("w", [8, 8]), ("b", [8])):
        stored = b.tensor(name, shape, "FLOAT16", np.ones(shape, np.float16))
        wide = b.tensor(f"{name}/wide", shape)
        b.add("DEQUANTIZE", 3, [stored], [wide])
        inputs.append(wide)
    b.add("FULLY_CONNECTED", 1, inputs, [y], tflite.FullyConnectedOptionsT())
    report = lint(b.save(tmp_path / "m.tflite", [x], [y]))
    assert report.findings == () and report.operators == {"gpu": 1, "cpu": 0}


def test_the_smaller_piece_behind_an_offender_leaves_too(tmp_path: Path) -> None:
    """EXP x 3, REVERSE_V2, EXP: by default the delegate takes one partition."""
    b = Builder()
    x = b.tensor("image", [1, 4, 8])
    tensors = [x] + [b.tensor(f"layers.{i}:exp;", [1, 4, 8]) for i in range(5)]
    for i in range(5):
        if i == 3:
            b.add("REVERSE_V2", 1, [tensors[3], ints(b, "axis", 1)], [tensors[4]])
        else:
            b.add("EXP", 1, [tensors[i]], [tensors[i + 1]])
    report = lint(b.save(tmp_path / "m.tflite", [x], [tensors[-1]]))
    assert [(found.operator, found.module) for found in report.findings] == [
        ("REVERSE_V2", "layers.3"),
        ("EXP", "layers.4"),
    ]
    assert "apart from the largest piece" in report.findings[1].reason


def test_another_batch_is_told_of_opengl(tmp_path: Path) -> None:
    b = Builder()
    x, y = b.tensor("image", [1, 4, 8]), b.tensor("windows:reshape;", [4, 8])
    b.add("RESHAPE", 1, [x, ints(b, "shape", 4, 8)], [y])
    report = lint(b.save(tmp_path / "m.tflite", [x], [y]))
    assert report.findings == ()
    (told,) = [item for item in report.not_checked if item.what == "devices without OpenCL"]
    assert "windows:reshape; 4x8" in told.why


def test_a_file_of_another_kind_is_no_file_of_litert(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"not a flatbuffer")
    with pytest.raises(InputError, match="not a TFLite file"):
        lint(path)


def test_an_operator_without_its_operands_is_an_error_of_the_file(tmp_path: Path) -> None:
    b = Builder()
    x, y = b.tensor("image", [1, 4, 8]), b.tensor("sum", [1, 4, 8])
    b.add("ADD", 1, [x], [y], tflite.AddOptionsT())
    with pytest.raises(InputError, match="ADD 'sum' has 1 operands"):
        lint(b.save(tmp_path / "m.tflite", [x], [y]))
