"""Each MIL operation against numbers worked out by hand from its documented definition.

https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from edgevit.core.errors import UnsupportedError
from edgevit.runtimes._mil.table import KERNELS
from edgevit.runtimes.coreml_reference import operations

ONE_TO_SIX = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
IMAGE = [[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]]  # (1, 1, 3, 3)
ROW = [[[1.0, 2.0, 3.0, 4.0, 5.0]]]  # (1, 1, 5)
E1, E2 = math.exp(1), math.exp(2)


def call(name: str, inputs: dict[str, Any]) -> Any:
    """Call a kernel with lists, made to tensors where its signature takes tensors."""
    kernel = KERNELS[name]
    tensors = kernel.parameters()

    def made(key: str, value: Any) -> Any:
        if not tensors[key] or value is None:
            return value
        return tuple(map(torch.tensor, value)) if key == "values" else torch.as_tensor(value)

    return kernel.function(**{key: made(key, value) for key, value in inputs.items()})


def _places(xs: tuple[float, ...]) -> list[Any]:
    """Coordinates in an image of one row."""
    return [[[[x, 0.0] for x in xs]]]


def _sampling(padding: str, coordinates: str, align: bool, value: float = 0.0) -> dict[str, Any]:
    return {
        "sampling_mode": "bilinear",
        "padding_mode": padding,
        "padding_value": value,
        "coordinates_mode": coordinates,
        "align_corners": align,
    }


CASES: list[tuple[str, dict[str, Any], Any]] = [
    # elementwise, one input
    ("abs", {"x": [-1.5, 2.0]}, [1.5, 2.0]),
    ("acos", {"x": [1.0, 0.0]}, [0.0, math.pi / 2]),
    ("asin", {"x": [0.0, 1.0]}, [0.0, math.pi / 2]),
    ("atan", {"x": [0.0, 1.0]}, [0.0, math.pi / 4]),
    ("atanh", {"x": [0.0, 0.5]}, [0.0, 0.5 * math.log(3)]),
    ("ceil", {"x": [-1.5, 1.2]}, [-1.0, 2.0]),
    ("cos", {"x": [0.0, math.pi]}, [1.0, -1.0]),
    ("cosh", {"x": [0.0, 1.0]}, [1.0, (E1 + 1 / E1) / 2]),
    ("erf", {"x": [0.0, 1.0]}, [0.0, math.erf(1)]),
    ("exp", {"x": [0.0, 1.0]}, [1.0, E1]),
    ("exp2", {"x": [0.0, 3.0]}, [1.0, 8.0]),
    ("floor", {"x": [-1.5, 1.2]}, [-2.0, 1.0]),
    ("inverse", {"x": [0.5, 4.0], "epsilon": 0.0}, [2.0, 0.25]),
    ("inverse", {"x": [0.0]}, [1e4]),
    ("log", {"x": [1.0, E2], "epsilon": 0.0}, [0.0, 2.0]),
    ("log", {"x": [0.0], "epsilon": 1.0}, [0.0]),
    ("logical_not", {"x": [True, False]}, [False, True]),
    ("round", {"x": [0.5, 1.5, -1.2]}, [0.0, 2.0, -1.0]),
    ("rsqrt", {"x": [4.0, 0.25], "epsilon": 0.0}, [0.5, 2.0]),
    ("rsqrt", {"x": [3.0], "epsilon": 1.0}, [0.5]),
    ("sign", {"x": [-3.0, 0.0, 2.0]}, [-1.0, 0.0, 1.0]),
    ("sin", {"x": [0.0, math.pi / 2]}, [0.0, 1.0]),
    ("sinh", {"x": [0.0, 1.0]}, [0.0, (E1 - 1 / E1) / 2]),
    ("sqrt", {"x": [4.0, 9.0]}, [2.0, 3.0]),
    ("square", {"x": [-3.0, 2.0]}, [9.0, 4.0]),
    ("tan", {"x": [0.0, math.pi / 4]}, [0.0, 1.0]),
    ("tanh", {"x": [0.0, 1.0]}, [0.0, (E2 - 1) / (E2 + 1)]),
    ("clip", {"x": [-2.0, 0.5, 3.0], "alpha": -1.0, "beta": 1.0}, [-1.0, 0.5, 1.0]),
    ("threshold", {"x": [-2.0, 0.5], "alpha": 0.0}, [0.0, 0.5]),
    ("identity", {"x": [1.0, 2.0]}, [1.0, 2.0]),
    ("cast", {"x": [-1.7, 2.9], "dtype": "int32"}, [-1, 2]),
    ("cast", {"x": [0.0, 2.9], "dtype": "bool"}, [False, True]),
    ("cast", {"x": [3, 4], "dtype": "fp32"}, [3.0, 4.0]),
    # elementwise, two inputs
    ("add", {"x": ONE_TO_SIX, "y": [10.0, 20.0, 30.0]}, [[11.0, 22.0, 33.0], [14.0, 25.0, 36.0]]),
    ("sub", {"x": [5.0, 1.0], "y": [2.0, 4.0]}, [3.0, -3.0]),
    ("mul", {"x": [5.0, 1.0], "y": [2.0, 4.0]}, [10.0, 4.0]),
    ("real_div", {"x": [5.0, 1.0], "y": [2.0, 4.0]}, [2.5, 0.25]),
    ("floor_div", {"x": [5.0, -5.0], "y": [2.0, 2.0]}, [2.0, -3.0]),
    ("mod", {"x": [5.0, -5.0], "y": [3.0, 3.0]}, [2.0, 1.0]),
    ("pow", {"x": [2.0, 9.0], "y": [3.0, 0.5]}, [8.0, 3.0]),
    ("maximum", {"x": [5.0, 1.0], "y": [2.0, 4.0]}, [5.0, 4.0]),
    ("minimum", {"x": [5.0, 1.0], "y": [2.0, 4.0]}, [2.0, 1.0]),
    ("equal", {"x": [1.0, 2.0], "y": [1.0, 3.0]}, [True, False]),
    ("not_equal", {"x": [1.0, 2.0], "y": [1.0, 3.0]}, [False, True]),
    ("greater", {"x": [1.0, 2.0], "y": [1.0, 1.0]}, [False, True]),
    ("greater_equal", {"x": [1.0, 0.0], "y": [1.0, 1.0]}, [True, False]),
    ("less", {"x": [1.0, 0.0], "y": [1.0, 1.0]}, [False, True]),
    ("less_equal", {"x": [1.0, 2.0], "y": [1.0, 1.0]}, [True, False]),
    ("logical_and", {"x": [True, True], "y": [True, False]}, [True, False]),
    ("logical_or", {"x": [False, True], "y": [False, False]}, [False, True]),
    ("logical_xor", {"x": [True, True], "y": [True, False]}, [False, True]),
    ("select", {"cond": [True, False], "a": [1.0, 2.0], "b": [3.0, 4.0]}, [1.0, 4.0]),
    # activations
    ("relu", {"x": [-1.0, 2.0]}, [0.0, 2.0]),
    ("relu6", {"x": [-1.0, 2.0, 7.0]}, [0.0, 2.0, 6.0]),
    ("clamped_relu", {"x": [-1.0, 2.0, 7.0], "alpha": 0.5, "beta": 5.0}, [-0.5, 2.0, 5.0]),
    ("elu", {"x": [-1.0, 2.0], "alpha": 2.0}, [2 * (1 / E1 - 1), 2.0]),
    ("leaky_relu", {"x": [-1.0, 2.0], "alpha": 0.1}, [-0.1, 2.0]),
    ("prelu", {"x": [[[-1.0, 2.0], [-3.0, 4.0]]], "alpha": [0.5, 0.1]}, [[[-0.5, 2.0], [-0.3, 4.0]]]),
    ("thresholded_relu", {"x": [0.5, 1.0, 2.0], "alpha": 1.0}, [0.0, 1.0, 2.0]),
    ("linear_activation", {"x": [1.0, 2.0], "alpha": 3.0, "beta": 1.0}, [4.0, 7.0]),
    ("scaled_tanh", {"x": [0.5], "alpha": 3.0, "beta": 2.0}, [3 * math.tanh(1)]),
    ("sigmoid", {"x": [0.0, 1.0]}, [0.5, E1 / (1 + E1)]),
    ("sigmoid_hard", {"x": [-3.0, 0.0, 1.0, 3.0]}, [0.0, 0.5, 0.7, 1.0]),
    ("silu", {"x": [0.0, 1.0]}, [0.0, E1 / (1 + E1)]),
    ("gelu", {"x": [1.0, -1.0]}, [0.5 * (1 + math.erf(0.5**0.5)), -0.5 * (1 - math.erf(0.5**0.5))]),
    (
        "gelu",
        {"x": [1.0], "mode": "TANH_APPROXIMATION"},
        [0.5 * (1 + math.tanh((2 / math.pi) ** 0.5 * 1.044715))],
    ),
    ("gelu", {"x": [1.0], "mode": "SIGMOID_APPROXIMATION"}, [1 / (1 + math.exp(-1.702))]),
    ("softplus", {"x": [0.0, 1.0]}, [math.log(2), math.log(1 + E1)]),
    (
        "softplus_parametric",
        {"x": [[[0.0], [1.0]]], "alpha": [2.0, 3.0], "beta": [1.0, 2.0]},
        [[[2 * math.log(2)], [3 * math.log(1 + E2)]]],
    ),
    ("softsign", {"x": [-1.0, 3.0]}, [-0.5, 0.75]),
    ("softmax", {"x": [[0.0, math.log(3)]], "axis": 1}, [[0.25, 0.75]]),
    # reductions
    ("reduce_sum", {"x": ONE_TO_SIX, "axes": [0]}, [5.0, 7.0, 9.0]),
    ("reduce_sum", {"x": ONE_TO_SIX}, 21.0),
    ("reduce_mean", {"x": ONE_TO_SIX, "axes": [-1], "keep_dims": True}, [[2.0], [5.0]]),
    ("reduce_max", {"x": ONE_TO_SIX, "axes": [1]}, [3.0, 6.0]),
    ("reduce_min", {"x": ONE_TO_SIX, "axes": [0, 1]}, 1.0),
    ("reduce_prod", {"x": ONE_TO_SIX, "axes": [0, 1]}, 720.0),
    ("reduce_prod", {"x": ONE_TO_SIX, "axes": [-1], "keep_dims": True}, [[6.0], [120.0]]),
    ("reduce_l1_norm", {"x": [[-1.0, 2.0]], "axes": [1]}, [3.0]),
    ("reduce_l2_norm", {"x": [[-3.0, 4.0]], "axes": [1]}, [5.0]),
    ("reduce_log_sum", {"x": [[1.0, 3.0]], "axes": [1]}, [math.log(4)]),
    ("reduce_log_sum_exp", {"x": [[0.0, math.log(3)]], "axes": [1]}, [math.log(4)]),
    ("reduce_sum_square", {"x": [[-3.0, 4.0]], "axes": [1]}, [25.0]),
    ("reduce_argmax", {"x": [[1.0, 5.0, 2.0]], "axis": 1}, [1]),
    ("reduce_argmin", {"x": [[1.0, 5.0, -2.0]], "axis": 1, "keep_dims": True}, [[2]]),
    # products
    ("linear", {"x": [[1.0, 2.0]], "weight": [[1.0, 0.0], [3.0, 4.0]], "bias": [0.5, -1.0]}, [[1.5, 10.0]]),
    ("matmul", {"x": [[1.0, 2.0]], "y": [[3.0], [4.0]]}, [[11.0]]),
    ("matmul", {"x": [[1.0], [2.0]], "y": [[3.0, 4.0]], "transpose_x": True, "transpose_y": True}, [[11.0]]),
    (
        "einsum",  # (C, H, W1) = (1, 1, 2), (W1, H, W2) = (2, 1, 1)
        {"values": ([[[1.0, 2.0]]], [[[3.0]], [[4.0]]]), "equation": "chw,whr->chr"},
        [[[11.0]]],
    ),
    (
        "scaled_dot_product_attention",  # scores 4/2 and 0/2: softmax weights e and 1
        {
            "query": [[[2.0, 0.0, 0.0, 0.0]]],
            "key": [[[2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]],
            "value": [[[1.0], [0.0]]],
        },
        [[[E2 / (E2 + 1)]]],
    ),
    (
        "scaled_dot_product_attention",
        {
            "query": [[[1.0]]],
            "key": [[[1.0], [1.0]]],
            "value": [[[1.0], [9.0]]],
            "attn_mask": [[[True, False]]],
        },
        [[[1.0]]],
    ),
    (
        "scaled_dot_product_attention",
        {
            "query": [[[1.0]]],
            "key": [[[1.0], [1.0]]],
            "value": [[[0.0], [4.0]]],
            "attn_mask": [[[0.0, math.log(3)]]],
        },
        [[[3.0]]],
    ),
    # convolutions: kernel [1, 10] has its digits show which elements it met
    ("conv", {"x": ROW, "weight": [[[1.0, 10.0]]]}, [[[21.0, 32.0, 43.0, 54.0]]]),
    ("conv", {"x": ROW, "weight": [[[1.0, 10.0]]], "bias": [0.5], "strides": [2]}, [[[21.5, 43.5]]]),
    ("conv", {"x": ROW, "weight": [[[1.0, 10.0]]], "dilations": [2]}, [[[31.0, 42.0, 53.0]]]),
    (
        "conv",
        {"x": ROW, "weight": [[[1.0, 10.0]]], "pad_type": "custom", "pad": [1, 0]},
        [[[10.0, 21.0, 32.0, 43.0, 54.0]]],
    ),
    ("conv", {"x": ROW, "weight": [[[1.0, 10.0]]], "pad_type": "same"}, [[[21.0, 32.0, 43.0, 54.0, 5.0]]]),
    (
        "conv",
        {"x": ROW, "weight": [[[1.0, 10.0]]], "pad_type": "same_lower"},
        [[[10.0, 21.0, 32.0, 43.0, 54.0]]],
    ),
    (
        "conv",  # depthwise
        {"x": [[[1.0, 2.0], [3.0, 4.0]]], "weight": [[[1.0, 1.0]], [[0.0, 2.0]]], "groups": 2},
        [[[3.0], [8.0]]],
    ),
    ("conv", {"x": IMAGE, "weight": [[[[1.0, 0.0], [0.0, 1.0]]]]}, [[[[6.0, 8.0], [12.0, 14.0]]]]),
    ("conv_transpose", {"x": [[[1.0, 2.0]]], "weight": [[[1.0, 10.0]]]}, [[[1.0, 12.0, 20.0]]]),
    (
        "conv_transpose",
        {"x": [[[1.0, 2.0]]], "weight": [[[1.0, 10.0, 100.0]]], "strides": [2], "bias": [0.5]},
        [[[1.5, 10.5, 102.5, 20.5, 200.5]]],
    ),
    (
        "conv_transpose",
        {"x": [[[1.0, 2.0]]], "weight": [[[1.0, 10.0, 100.0]]], "pad_type": "custom", "pad": [1, 1]},
        [[[12.0, 120.0]]],
    ),
    (
        "conv_transpose",
        {"x": [[[1.0, 2.0]]], "weight": [[[1.0, 10.0]]], "strides": [2], "output_shape": [1, 1, 5]},
        [[[1.0, 10.0, 2.0, 20.0, 0.0]]],
    ),
    # pooling
    ("max_pool", {"x": IMAGE, "kernel_sizes": [2, 2]}, [[[[5.0, 6.0], [8.0, 9.0]]]]),
    (
        "max_pool",
        {"x": [[[-1.0, -2.0]]], "kernel_sizes": [2], "strides": [2], "pad_type": "custom", "pad": [1, 1]},
        [[[-1.0, -2.0]]],
    ),
    (
        "max_pool",
        {"x": ROW, "kernel_sizes": [2], "strides": [2], "ceil_mode": True},
        [[[2.0, 4.0, 5.0]]],
    ),
    ("avg_pool", {"x": IMAGE, "kernel_sizes": [2, 2]}, [[[[3.0, 4.0], [6.0, 7.0]]]]),
    (
        "avg_pool",
        {"x": ROW, "kernel_sizes": [2], "strides": [2], "pad_type": "custom", "pad": [1, 0]},
        [[[0.5, 2.5, 4.5]]],
    ),
    (
        "avg_pool",
        {
            "x": ROW,
            "kernel_sizes": [2],
            "strides": [2],
            "pad_type": "custom",
            "pad": [1, 0],
            "exclude_padding_from_average": True,
        },
        [[[1.0, 2.5, 4.5]]],
    ),
    ("avg_pool", {"x": ROW, "kernel_sizes": [2], "strides": [2], "ceil_mode": True}, [[[1.5, 3.5, 5.0]]]),
    ("l2_pool", {"x": [[[3.0, 4.0, 0.0]]], "kernel_sizes": [2]}, [[[5.0, 4.0]]]),
    # normalisation: mean 2, variance 1
    ("layer_norm", {"x": [[1.0, 3.0]], "axes": [-1], "epsilon": 0.0}, [[-1.0, 1.0]]),
    (
        "layer_norm",
        {"x": [[1.0, 3.0]], "axes": [1], "gamma": [2.0, 3.0], "beta": [0.5, 1.0], "epsilon": 3.0},
        [[-0.5, 2.5]],
    ),
    (
        "layer_norm",
        {"x": [[[1.0], [3.0]]], "axes": [1], "gamma": [2.0, 3.0], "beta": [0.5, 1.0], "epsilon": 0.0},
        [[[-1.5], [4.0]]],
    ),
    (
        "instance_norm",
        {"x": [[[1.0, 3.0], [10.0, 30.0]]], "gamma": [1.0, 2.0], "beta": [0.0, 1.0], "epsilon": 0.0},
        [[[-1.0, 1.0], [-1.0, 3.0]]],
    ),
    (
        "batch_norm",
        {
            "x": [[[1.0], [8.0]]],
            "mean": [0.0, 2.0],
            "variance": [3.0, 8.0],
            "gamma": [1.0, 2.0],
            "beta": [0.0, 1.0],
            "epsilon": 1.0,
        },
        [[[0.5], [5.0]]],
    ),
    ("l2_norm", {"x": [[[3.0, 4.0]]], "epsilon": 0.0}, [[[0.6, 0.8]]]),
    (
        "local_response_norm",  # middle channel sees all three squares: 1 + 3/3 * 14 = 15
        {"x": [[[1.0], [2.0], [3.0]]], "size": 3, "alpha": 3.0, "beta": 1.0, "k": 1.0},
        [[[1 / 6], [2 / 15], [3 / 14]]],
    ),
    # shapes
    ("reshape", {"x": ONE_TO_SIX, "shape": [3, -1]}, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
    ("reshape", {"x": ONE_TO_SIX, "shape": [1, 0, -1, 0]}, [[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]),
    (
        "reshape_like",
        {
            "x": [1.0, 2.0],
            "ref_tensors": torch.zeros(1, 2, 1),
            "begins": [0],
            "ends": [2],
            "end_masks": [False],
        },
        [[1.0, 2.0]],
    ),
    ("transpose", {"x": ONE_TO_SIX, "perm": [1, 0]}, [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]),
    ("expand_dims", {"x": [1.0, 2.0], "axes": [0, -1]}, [[[1.0], [2.0]]]),
    ("squeeze", {"x": [[[1.0], [2.0]]], "axes": [-1]}, [[1.0, 2.0]]),
    ("squeeze", {"x": [[[1.0], [2.0]]]}, [1.0, 2.0]),
    ("flatten2d", {"x": [[[1.0, 2.0], [3.0, 4.0]]], "axis": 2}, [[1.0, 2.0], [3.0, 4.0]]),
    ("slice_by_index", {"x": ONE_TO_SIX, "begin": [0, 1], "end": [2, 3]}, [[2.0, 3.0], [5.0, 6.0]]),
    ("slice_by_index", {"x": ONE_TO_SIX, "begin": [0, -2], "end": [1, -1]}, [[2.0]]),
    (
        "slice_by_index",
        {
            "x": ONE_TO_SIX,
            "begin": [1, 2],
            "end": [0, 0],
            "stride": [1, -2],
            "end_mask": [False, True],
            "squeeze_mask": [True, False],
        },
        [6.0, 4.0],
    ),
    (
        "slice_by_index",
        {"x": [1.0, 2.0, 3.0], "begin": [2], "end": [3], "stride": [2], "begin_mask": [True]},
        [1.0, 3.0],
    ),
    ("slice_by_size", {"x": ONE_TO_SIX, "begin": [1, 0], "size": [1, -1]}, [[4.0, 5.0, 6.0]]),
    ("concat", {"values": ([[1.0]], [[2.0], [3.0]]), "axis": 0}, [[1.0], [2.0], [3.0]]),
    ("concat", {"values": ([1.0, 2.0], [3.0, 4.0]), "axis": 0, "interleave": True}, [1.0, 3.0, 2.0, 4.0]),
    ("stack", {"values": ([1.0, 2.0], [3.0, 4.0]), "axis": 1}, [[1.0, 3.0], [2.0, 4.0]]),
    ("split", {"x": [1.0, 2.0, 3.0, 4.0], "axis": 0, "num_splits": 2}, [[1.0, 2.0], [3.0, 4.0]]),
    (
        "split",
        {"x": ONE_TO_SIX, "axis": 1, "split_sizes": [1, 2]},
        [[[1.0], [4.0]], [[2.0, 3.0], [5.0, 6.0]]],
    ),
    (
        "pad",
        {"x": [[1.0, 2.0]], "pad": [1, 0, 0, 1], "constant_val": 9.0},
        [[9.0, 9.0, 9.0], [1.0, 2.0, 9.0]],
    ),
    ("pad", {"x": [1.0, 2.0, 3.0], "pad": [2, 1], "mode": "reflect"}, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]),
    ("pad", {"x": [1.0, 2.0], "pad": [1, 2], "mode": "replicate"}, [1.0, 1.0, 2.0, 2.0, 2.0]),
    ("tile", {"x": [[1.0, 2.0]], "reps": [2, 2]}, [[1.0, 2.0, 1.0, 2.0]] * 2),
    ("reverse", {"x": ONE_TO_SIX, "axes": [1]}, [[3.0, 2.0, 1.0], [6.0, 5.0, 4.0]]),
    ("crop", {"x": IMAGE, "crop_height": [1, 0], "crop_width": [0, 2]}, [[[[4.0], [7.0]]]]),
    (
        "sliding_windows",
        {"x": [1.0, 2.0, 3.0, 4.0], "axis": 0, "size": 2, "stride": 2},
        [[1.0, 2.0], [3.0, 4.0]],
    ),
    # channel k of the 8: block row k // 4, block column k // 2 % 2, channel k % 2
    (
        "depth_to_space",
        {"x": [[[[float(k)]] for k in range(8)]], "block_size": 2},
        [[[[0.0, 2.0], [4.0, 6.0]], [[1.0, 3.0], [5.0, 7.0]]]],
    ),
    (
        "space_to_depth",
        {"x": [[[[0.0, 2.0], [4.0, 6.0]], [[1.0, 3.0], [5.0, 7.0]]]], "block_size": 2},
        [[[[float(k)]] for k in range(8)]],
    ),
    (
        "pixel_shuffle",
        {"x": [[[[float(k)]] for k in range(8)]], "upscale_factor": 2},
        [[[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]]],
    ),
    (
        "pixel_unshuffle",
        {"x": [[[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]]], "downscale_factor": 2},
        [[[[float(k)]] for k in range(8)]],
    ),
    # picking and making
    ("gather", {"x": ONE_TO_SIX, "indices": [2, 0], "axis": 1}, [[3.0, 1.0], [6.0, 4.0]]),
    ("gather", {"x": ONE_TO_SIX, "indices": -1, "axis": 0}, [4.0, 5.0, 6.0]),
    ("gather", {"x": ONE_TO_SIX, "indices": [[2], [0]], "axis": 1, "batch_dims": 1}, [[3.0], [4.0]]),
    (
        "gather_along_axis",
        {"x": ONE_TO_SIX, "indices": [[0, 2], [1, 1]], "axis": 1},
        [[1.0, 3.0], [5.0, 5.0]],
    ),
    (
        "scatter",
        {"data": ONE_TO_SIX, "indices": [1], "updates": [[9.0, 9.0, 9.0]]},
        [[1, 2, 3], [13, 14, 15]],
    ),
    (
        "scatter",
        {
            "data": ONE_TO_SIX,
            "indices": [2, 0],
            "updates": [[7.0, 8.0], [9.0, 10.0]],
            "axis": 1,
            "mode": "update",
        },
        [[8, 2, 7], [10, 5, 9]],
    ),
    *(
        (
            "scatter_along_axis",
            {"data": ONE_TO_SIX, "indices": [[0], [-1]], "updates": [[2.0], [4.0]], "axis": 1, "mode": mode},
            [[first, 2, 3], [4, 5, last]],
        )
        for mode, first, last in (
            *(("update", 2, 4), ("add", 3, 10), ("sub", -1, 2), ("mul", 2, 24)),
            *(("div", 0.5, 1.5), ("max", 2, 6), ("min", 1, 4)),
        )
    ),
    (
        "scatter_nd",
        {"data": ONE_TO_SIX, "indices": [[1, 0], [0, -1]], "updates": [10.0, 20.0], "mode": "update"},
        [[1, 2, 20], [10, 5, 6]],
    ),
    ("scatter_nd", {"data": ONE_TO_SIX, "indices": [[1]], "updates": [[1.0, 1, 1]]}, [[1, 2, 3], [5, 6, 7]]),
    *(
        (
            "resample",
            {"x": [[[[1.0, 2.0, 3.0]]]], "coordinates": _places(xs), **_sampling(*how)},
            [[[wanted]]],
        )
        for xs, how, wanted in (
            ((0.5, 2.0, -1.0), ("constant", "unnormalized", True, 9.0), [1.5, 3.0, 9.0]),
            ((-5.0, 5.0), ("border", "unnormalized", True), [1.0, 3.0]),
            ((-1.0, 3.0), ("reflection", "unnormalized", True), [2.0, 2.0]),
            ((-1.0, 3.0), ("symmetric", "unnormalized", True), [1.0, 3.0]),
            ((0.5, 0.75), ("border", "normalized_zero_to_one", True), [2.0, 2.5]),
            ((-1.0, 1 / 3), ("border", "normalized_minus_one_to_one", False), [1.0, 2.5]),
            ((-1.0, 0.5), ("reflection", "normalized_minus_one_to_one", False), [1.5, 2.75]),
        )
    ),
    ("gather_nd", {"x": ONE_TO_SIX, "indices": [[1, 0], [0, 2]]}, [4.0, 3.0]),
    ("gather_nd", {"x": ONE_TO_SIX, "indices": [[1], [0]], "batch_dims": 1}, [2.0, 4.0]),
    ("one_hot", {"indices": [2, 0], "one_hot_vector_size": 3}, [[0, 0, 1], [1, 0, 0]]),
    (
        "one_hot",
        {"indices": [1, 0], "one_hot_vector_size": 2, "axis": 0, "on_value": 5.0, "off_value": -1.0},
        [[-1.0, 5.0], [5.0, -1.0]],
    ),
    ("topk", {"x": [1.0, 5.0, 3.0], "k": 2}, [[5.0, 3.0], [1, 2]]),
    ("topk", {"x": [1.0, 5.0, 3.0], "k": -1, "ascending": True, "return_indices": False}, [[1.0, 3.0, 5.0]]),
    ("argsort", {"x": [1.0, 5.0, 3.0]}, [1, 2, 0]),
    ("argsort", {"x": [[1.0, 5.0, 3.0]], "axis": 1, "ascending": True}, [[0, 2, 1]]),
    ("cumsum", {"x": [1.0, 2.0, 3.0]}, [1.0, 3.0, 6.0]),
    ("cumsum", {"x": [1.0, 2.0, 3.0], "exclusive": True}, [0.0, 1.0, 3.0]),
    ("cumsum", {"x": [1.0, 2.0, 3.0], "exclusive": True, "reverse": True}, [5.0, 3.0, 0.0]),
    ("band_part", {"x": [[1.0, 2.0, 3.0]] * 3, "lower": 0, "upper": 1}, [[1, 2, 0], [0, 2, 3], [0, 0, 3]]),
    ("band_part", {"x": [[1.0, 2.0, 3.0]] * 3, "lower": -1, "upper": 0}, [[1, 0, 0], [1, 2, 0], [1, 2, 3]]),
    ("fill", {"shape": [1, 2], "value": 3.0}, [[3.0, 3.0]]),
    ("fill_like", {"ref_tensor": [[1.0], [2.0]], "value": 7.0}, [[7.0], [7.0]]),
    ("range_1d", {"start": 1, "end": 6, "step": 2}, [1, 3, 5]),
    ("shape", {"x": ONE_TO_SIX}, [2, 3]),
    # resizing, the grids of the documentation: input 0 and 1
    (
        "resize_bilinear",
        {"x": [[[0.0, 1.0]]], "target_size_width": 5, "sampling_mode": "UNALIGN_CORNERS"},
        [[[0.0, 0.1, 0.5, 0.9, 1.0]]],
    ),
    (
        "resize_bilinear",
        {"x": [[[0.0, 1.0]]], "target_size_width": 5, "sampling_mode": "STRICT_ALIGN_CORNERS"},
        [[[0.0, 0.25, 0.5, 0.75, 1.0]]],
    ),
    ("resize_bilinear", {"x": [[[0.0, 1.0]]], "target_size_width": 5}, [[[0.0, 0.4, 0.8, 1.0, 1.0]]]),
    (
        "resize_bilinear",
        {"x": [[[0.0, 1.0]]], "target_size_width": 5, "sampling_mode": "OFFSET_CORNERS"},
        [[[0.1, 0.3, 0.5, 0.7, 0.9]]],
    ),
    (
        "resize_bilinear",
        {"x": [[[0.0, 1.0]]], "target_size_width": 1, "sampling_mode": "ALIGN_CORNERS"},
        [[[0.5]]],
    ),
    ("upsample_bilinear", {"x": [[[0.0], [1.0]]], "scale_factor_height": 1.5}, [[[0.0], [0.5], [1.0]]]),
    (
        "upsample_bilinear",
        {"x": [[[0.0, 1.0]]], "scale_factor_width": 2, "align_corners": False},
        [[[0.0, 0.25, 0.75, 1.0]]],
    ),
    (
        "resize_nearest_neighbor",
        {"x": [[[1.0, 2.0]]], "target_size_height": 2, "target_size_width": 3},
        [[[1.0, 2.0, 2.0]] * 2],  # Apple's test
    ),
    ("upsample_nearest_neighbor", {"x": [[[1.0, 2.0]]], "scale_factor_width": 2}, [[[1.0, 1.0, 2.0, 2.0]]]),
    (
        "resize",
        {"x": [[[0.0, 1.0]]], "shape": [0, 5], "resized_dims": 2, "sampling_mode": "STRICT_ALIGN_CORNERS"},
        [[[0.0, 0.25, 0.5, 0.75, 1.0]]],
    ),
    (
        "resize",
        {"x": [[1.0, 2.0]], "shape": [4], "resized_dims": 1, "interpolation_mode": "NEAREST_NEIGHBOR"},
        [[1.0, 1.0, 2.0, 2.0]],
    ),
    # quantization
    (
        "quantize",  # halves go to the even neighbour
        {"input": [0.5, 1.5, -1.0, 99.0, -99.0], "scale": 1.0, "output_dtype": "int8"},
        [0, 2, -1, 99, -99],
    ),
    (
        "quantize",
        {"input": [-1.0, 0.0, 200.0], "scale": 0.5, "zero_point": 10, "output_dtype": "uint8"},
        [8, 10, 255],
    ),
    (
        "quantize",
        {
            "input": [[1.0, -3.0], [1.0, 600.0]],
            "scale": [1.0, 2.0],
            "zero_point": [0, 3],
            "output_dtype": "int8",
            "axis": 0,
        },
        [[1, -3], [3, 127]],
    ),
    ("dequantize", {"input": [8, 10, 255], "scale": 0.5, "zero_point": 10}, [-1.0, 0.0, 122.5]),
    ("dequantize", {"input": [[8], [10]], "scale": [0.5, 2.0], "axis": 0}, [[4.0], [20.0]]),
    (
        "constexpr_affine_dequantize",
        {"quantized_data": [[1, 2], [3, 4]], "zero_point": [1, 2], "scale": [0.5, 10.0], "axis": 1},
        [[0.0, 0.0], [1.0, 20.0]],
    ),
    (
        "constexpr_blockwise_shift_scale",
        {"data": [[1, 2, 3, 4]], "scale": [[1.0, 10.0]], "offset": [[1, 3]]},
        [[0.0, 1.0, 0.0, 10.0]],
    ),
    ("constexpr_blockwise_shift_scale", {"data": [[1], [2]], "scale": [[2.0], [3.0]]}, [[2.0], [6.0]]),
    ("constexpr_cast", {"source_val": [1.5], "output_dtype": "fp32"}, [1.5]),
    (
        "constexpr_lut_to_dense",  # the documentation's bytes: elements 0, 3, 2, 1, 3
        {"indices": [0b01101100, 0b11], "lut": [10.0, 11.0, 12.0, 13.0], "shape": [5]},
        [10.0, 13.0, 12.0, 11.0, 13.0],
    ),
    (
        "constexpr_lut_to_dense",  # the documentation's case of two tables
        {
            "indices": [[2, 3], [3, 0], [1, 0], [3, 0], [2, 1], [0, 3]],
            "lut": [[[[1.0], [5.0], [9.0], [13.0]]], [[[2.0], [10.0], [18.0], [26.0]]]],
        },
        [[9.0, 13.0], [13.0, 1.0], [5.0, 1.0], [26.0, 2.0], [18.0, 10.0], [2.0, 26.0]],
    ),
    (
        "constexpr_lut_to_dense",  # vectors of two along axis 0
        {"indices": [[0, 1]], "lut": [[[[1.0, 2.0], [3.0, 4.0]]]], "vector_axis": 0},
        [[1.0, 3.0], [2.0, 4.0]],
    ),
    (
        "constexpr_sparse_to_dense",  # the documentation's mask: elements 2 and 3
        {"nonzero_data": [5.0, 6.0], "mask": [0b01100], "shape": [5]},
        [0.0, 0.0, 5.0, 6.0, 0.0],
    ),
    (
        "constexpr_sparse_to_dense",
        {"nonzero_data": [5, 6], "mask": [[1, 0], [0, 1]]},
        [[5, 0], [0, 6]],
    ),
    (
        "constexpr_lut_to_sparse",
        {"indices_mask": [[1, 0, 1]], "indices_nonzero_data": [1, 0], "lut": [[[[2.0], [3.0]]]]},
        [[[1, 0, 1]], [3.0, 2.0]],
    ),
    (
        "constexpr_lut_to_sparse",
        {
            "indices_mask": [[1, 0]],
            "indices_nonzero_data": [1],
            "lut": [[[[2.0, 4.0], [3.0, 5.0]]]],
            "vector_axis": 0,
        },
        [[[1, 0], [1, 0]], [3.0, 5.0]],
    ),
    (
        "constexpr_sparse_blockwise_shift_scale",  # the first two rows of the documentation's example
        {
            "data_mask": [[1, 1, 0, 0], [1, 1, 1, 0]],
            "nonzero_data": [10, 11, 3, 4, 5],
            "scale": [[0.1, 0.2, 0.3, 0.4]],
            "offset": [[1, 2, 3, 4]],
        },
        [[[1, 1, 0, 0], [1, 1, 1, 0]], [0.9, 1.8, 0.2, 0.4, 0.6]],
    ),
]


@pytest.mark.parametrize(
    ("name", "inputs", "expected"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)]
)
def test_operation_gives_the_documented_values(name: str, inputs: dict[str, Any], expected: Any) -> None:
    if name == "reshape_like":
        inputs = {**inputs, "ref_tensors": inputs["ref_tensors"].unsqueeze(0)}
    result = call(name, inputs)
    results, wanted = (result, expected) if isinstance(result, tuple) else ((result,), (expected,))
    assert len(results) == len(wanted)
    for value, numbers in zip(results, wanted, strict=True):
        torch.testing.assert_close(
            value.double(), torch.tensor(numbers).double(), rtol=1e-5, atol=1e-6, check_stride=False
        )


def test_every_operation_of_the_table_has_a_case() -> None:
    assert {name for name, _, _ in CASES} == set(KERNELS)


def test_operations_lists_the_table_and_what_the_reader_handles() -> None:
    assert operations()["conv"][:3] == ("x", "weight", "bias")
    assert {"const", "classify", "quantize"} <= set(operations())
    assert list(operations()) == sorted(operations())


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("gelu", {"x": [1.0], "mode": "OTHER"}),
        ("cast", {"x": [1.0], "dtype": "complex64"}),
        ("quantize", {"input": [1.0], "scale": 1.0, "output_dtype": "int4"}),
        ("pad", {"x": [1.0], "pad": [1, 1], "mode": "circular"}),
        ("conv", {"x": ROW, "weight": [[[1.0]]], "pad_type": "full"}),
        ("resize_bilinear", {"x": [[[0.0, 1.0]]], "sampling_mode": "OTHER"}),
        ("scatter", {"data": [1.0], "indices": [0], "updates": [1.0], "mode": "OTHER"}),
    ],
)
def test_a_mode_outside_the_operator_set_is_refused(name: str, inputs: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match=r"Core ML"):
        call(name, inputs)


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("avg_pool", {"kernel_sizes": [3, 3], "strides": [2, 2], "pad_type": "same"}),
        ("max_pool", {"kernel_sizes": [3, 3], "strides": [2, 2], "pad_type": "custom", "pad": [1, 1, 1, 1]}),
        ("pad", {"pad": [1, 1], "mode": "reflect"}),
        ("tile", {"reps": [1, 1, 2, 1]}),
        ("resize_bilinear", {"target_size_height": 7, "target_size_width": 3}),
        ("gather", {"indices": torch.tensor([1, 0]), "axis": 1}),
        ("slice_by_index", {"begin": [0, 0, 4, 0], "end": [1, 2, 0, 5], "stride": [1, 1, -2, 1]}),
        ("instance_norm", {}),
        ("topk", {"k": 2}),
        ("space_to_depth", {"block_size": 2}),
        ("sliding_windows", {"axis": 2, "size": 3}),
        ("quantize", {"scale": torch.tensor(0.1), "output_dtype": "int8"}),
    ],
)
def test_many_images_at_once_give_what_each_gives_alone(name: str, inputs: dict[str, Any]) -> None:
    images = torch.rand(3, 1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    function = KERNELS[name].function
    key = "input" if name == "quantize" else "x"
    together = torch.vmap(lambda x: function(**{key: x}, **inputs))(images)
    alone = [function(**{key: x}, **inputs) for x in images]
    if isinstance(together, tuple):
        together, alone = together[0], [values[0] for values in alone]
    torch.testing.assert_close(together, torch.stack(alone))
