"""Times of operators: against the runtimes' own numbers, and each under its name."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert import schema_py_generated as tflite
from onnx import TensorProto, helper, numpy_helper

from edgevit.agent import litert_profile, operators
from edgevit.agent.feed import Feed
from edgevit.runtimes._onnxruntime import integer
from tests.edgevit.runtimes.litert import _tflite_files as files

SIDE = 32
FEED = Feed("NHWC", False, (0.5,) * 3, (0.25,) * 3)


def job(path: Path, feed: Feed = FEED, runs: int = 8) -> dict[str, Any]:
    return {"path": str(path), "feed": asdict(feed), "shape": [SIDE, SIDE, 3], "threads": 1, "runs": runs}


def profiled(path: Path, feed: Feed = FEED) -> list[dict[str, Any]]:
    found = operators.profile(job(path, feed), lambda _: None)
    assert found["runs"] == 8
    listed: list[dict[str, Any]] = found["operators"]
    return listed


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32) / 30


def tflite_layers(path: Path, quantized: bool = False) -> Path:
    """Two linear layers with a GELU between them, and a cumulative sum, for which XNNPACK has no kernel."""
    b = files.Builder()
    image = b.tensor("image", [1, SIDE, SIDE, 3])
    flat = b.tensor("embed:reshape;", [1, SIDE * SIDE * 3])
    size = b.tensor("size", [2], "INT32", np.array([1, SIDE * SIDE * 3], np.int32))
    inner = SIDE * SIDE * 3
    b.add("RESHAPE", 1, [image, size], [flat])
    last = flat
    for name, wide, out in (("blocks.0.mlp.fc1:linear", inner, 256), ("blocks.0.mlp.fc2:linear", 256, 1000)):
        weight = b.tensor(name + "/w", [out, wide], value=weights(out, wide))
        made = b.tensor(name + ";2", [1, out])
        b.add("FULLY_CONNECTED", 1, [last, weight, -1], [made], tflite.FullyConnectedOptionsT())
        if out == 256:
            last = b.tensor("blocks.0.mlp.act:gelu;", [1, out])
            b.add("GELU", 1, [made], [last], tflite.GeluOptionsT())
        else:
            last = made
    axis = b.tensor("axis", [1], "INT32", np.array([1], np.int32))
    summed = b.tensor("logits", [1, 1000])
    b.add("CUMSUM", 1, [last, axis], [summed], tflite.CumsumOptionsT())
    return b.save(path, [image], [summed])


def test_litert_tells_each_kernel_under_the_operator_it_executes(tmp_path: Path) -> None:
    found = profiled(tflite_layers(tmp_path / "m.tflite"))
    found = [
        one for one in found if "Static Reshape" not in one["by"]
    ]  # XNNPACK's own, in front of each layer
    assert [(one["name"], one["type"]) for one in found] == [
        ("blocks.0.mlp.fc1:linear;2", "FULLY_CONNECTED"),
        ("blocks.0.mlp.act:gelu;", "GELU"),
        ("blocks.0.mlp.fc2:linear;2", "FULLY_CONNECTED"),
        ("logits", "CUMSUM"),
    ]
    by = {one["name"]: one["by"] for one in found}
    assert by["logits"] == "LiteRT"
    assert by["blocks.0.mlp.fc1:linear;2"].startswith("XNNPACK Fully Connected")
    first, _, second, _ = (one["ms"] for one in found)
    assert 1.2 < first / second < 12, "786,432 products against 256,000"


def test_operators_of_litert_together_take_what_the_file_takes(tmp_path: Path) -> None:
    """Against the interpreter's own clock: the fastest of runs, since the machine may be busy."""
    from time import perf_counter

    from ai_edge_litert.interpreter import Interpreter

    path = tflite_layers(tmp_path / "m.tflite")
    total = sum(one["ms"] for one in profiled(path))
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    times = []
    for _ in range(100):
        begin = perf_counter()
        interpreter.invoke()
        times.append((perf_counter() - begin) * 1e3)
    assert 0.4 * min(times) < total < 4 * np.median(times)


def test_integers_of_litert_are_named_too(tmp_path: Path) -> None:
    b = files.Builder()
    image = b.tensor("image", [1, SIDE, SIDE, 3])
    small = b.tensor("image/int8", [1, SIDE, SIDE, 3], "INT8", grid=([0.02], 0))
    weight = b.tensor(
        "w", [8, 3, 3, 3], "INT8", np.ones((8, 3, 3, 3), np.int8), ([0.01 * i for i in range(1, 9)], 0)
    )
    bias = b.tensor("b", [8], "INT32", np.zeros(8, np.int32), ([0.0002 * i for i in range(1, 9)], 0))
    made = b.tensor("stem:conv;2/int8", [1, SIDE, SIDE, 8], "INT8", grid=([0.05], 0))
    out = b.tensor("stem:conv;2", [1, SIDE, SIDE, 8])
    b.add("QUANTIZE", 1, [image], [small])
    options = tflite.Conv2DOptionsT()
    options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    b.add("CONV_2D", 5, [small, weight, bias], [made], options)
    b.add("DEQUANTIZE", 2, [made], [out])
    found = profiled(b.save(tmp_path / "m.tflite", [image], [out]))
    assert [(one["name"], one["type"]) for one in found] == [
        ("image/int8", "QUANTIZE"),
        ("stem:conv;2/int8", "CONV_2D"),
        ("stem:conv;2", "DEQUANTIZE"),
    ]
    assert "QC8" in found[1]["by"]
    assert [one["static_macs"] for one in found] == [0, SIDE * SIDE * 8 * 27, 0]
    assert operators.profile(job(tmp_path / "m.tflite", runs=0), lambda _: None)["operators"] == [
        {"name": one["name"], "type": one["type"], "by": ""} for one in found
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no libLiteRt"),
        (b"an older one", "takes its options in a way that is not known"),
    ],
)
def test_another_litert_is_refused_with_the_reason(
    content: bytes | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ai_edge_litert

    if content is not None:
        (tmp_path / "libLiteRt.so").write_bytes(content)
    monkeypatch.setattr(ai_edge_litert, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(NotImplementedError, match=words):
        litert_profile._Library()


def test_a_function_that_is_missing_or_fails_is_told() -> None:
    lib = litert_profile._Library()
    with pytest.raises(NotImplementedError, match="no function LiteRtNothing"):
        lib.call("Nothing")
    with pytest.raises(NotImplementedError, match="LiteRtCreateModelFromFile gave status"):
        litert_profile._Model(lib, "/no/such/file.tflite", 1)


def test_bytes_that_are_not_the_inputs_are_not_written(tmp_path: Path) -> None:
    model = litert_profile._Model(litert_profile._Library(), str(tflite_layers(tmp_path / "m.tflite")), 1)
    with pytest.raises(NotImplementedError, match="the input has 12288 bytes, not 5"):
        model.fill(b"short")


@pytest.mark.parametrize(("size", "count"), [(88, 1), (104, 3), (120, 400), (104, 1)])
@pytest.mark.parametrize("padding", [0, 4])
def test_the_size_of_an_event_is_seen_from_what_was_written(size: int, count: int, padding: int) -> None:
    room = count * litert_profile._ROOM
    written = np.random.default_rng(size).integers(0, 256, count * size - padding, np.uint8).tobytes()
    copies = [written + bytes([filled]) * (room - len(written)) for filled in (0xA5, 0x5A)]
    assert litert_profile._size(copies[0], copies[1], count) == size


def onnx_layers(path: Path) -> Path:
    inner = SIDE * SIDE * 3
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"], name="embed:reshape/Flatten"),
            helper.make_node("MatMul", ["flat", "w1"], ["hidden"], name="blocks.0.fc1:linear/MatMul"),
            helper.make_node("Erf", ["hidden"], ["soft"], name="blocks.0.act:erf/Erf"),
            helper.make_node("MatMul", ["soft", "w2"], ["logits"], name="blocks.0.fc2:linear/MatMul"),
        ],
        "layers",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1000])],
        [
            numpy_helper.from_array(weights(inner, 256), "w1"),
            numpy_helper.from_array(weights(256, 1000), "w2"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_onnx_runtime_says_the_same_of_itself(tmp_path: Path) -> None:
    path = onnx_layers(tmp_path / "m.onnx")
    found = profiled(path)
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.intra_op_num_threads = 1
    options.profile_file_prefix = str(tmp_path / "own")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    session.run(None, {"image": np.zeros((1, SIDE, SIDE, 3), np.float32)})
    events = json.loads(Path(session.end_profiling()).read_text())
    own = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    assert [(one["name"], one["type"], one["by"]) for one in found] == [
        (event["name"].removesuffix("_kernel_time"), event["args"]["op_name"], event["args"]["provider"])
        for event in own
    ]
    assert {one["by"] for one in found} == {"CPUExecutionProvider"}
    assert all(one["ms"] >= 0 for one in found) and sum(one["ms"] for one in found) > 0


def integer_layers(path: Path, dynamic: bool) -> Path:
    """A linear layer on integers of the whole image, whose kernels pack their weights."""
    inner, outer = SIDE * SIDE * 3, 64
    weight = np.random.default_rng(0).integers(-127, 128, (inner, outer), np.int8)
    if dynamic:
        nodes = [
            helper.make_node("DynamicQuantizeLinear", ["flat"], ["q", "scale", "zero"]),
            helper.make_node("MatMulInteger", ["q", "w", "zero", "wz"], ["sums"]),
            helper.make_node("Cast", ["sums"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["scale", "ws"], ["both"]),
            helper.make_node("Mul", ["real", "both"], ["logits"]),
        ]
    else:
        nodes = [
            helper.make_node("QuantizeLinear", ["flat", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
            helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["y"]),
            helper.make_node("MatMul", ["x", "y"], ["logits"]),
        ]
    constants = {
        "w": weight,
        "ws": np.float32(0.01),
        "wz": np.int8(0),
        "s": np.float32(0.1),
        "z": np.uint8(128),
    }
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["flat"]), *nodes],
        "integers",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, outer])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize("dynamic", [False, True])
def test_integers_of_onnx_runtime_are_counted_although_it_packs_the_weights(
    dynamic: bool, tmp_path: Path
) -> None:
    path = integer_layers(tmp_path / "m.onnx", dynamic)
    found = profiled(path)
    macs = [sum(one[f"{ranges}_macs"] for one in found) for ranges in ("static", "dynamic")]
    wanted = SIDE * SIDE * 3 * 64
    assert macs == ([0, wanted] if dynamic else [wanted, 0])
    counted = integer.count(path)
    assert [counted.static, counted.dynamic] == macs


def test_times_of_onnx_runtime_by_hand() -> None:
    def event(name: str, microseconds: int) -> dict[str, Any]:
        args = {"op_name": name.title(), "provider": "CPUExecutionProvider"}
        return {"cat": "Node", "name": name + "_kernel_time", "dur": microseconds, "args": args}

    def run(first: int, second: int) -> list[dict[str, Any]]:
        other = {"cat": "Session", "name": "model_run", "dur": 10**6, "args": {}}
        before = {"cat": "Node", "name": "gemm_fence_before", "dur": 10**6, "args": {}}
        return [other, event("gemm", first), before, event("softmax", second)]

    warm = run(90_000, 90_000) * 2
    counted = run(2000, 10) + run(4000, 11) + run(3000, 11) + run(900_000, 12)
    floats = {"by": "CPUExecutionProvider", "static_macs": 0, "dynamic_macs": 0}
    assert operators.of_events(warm + counted, run(1, 1), 2) == [
        {"name": "gemm", "type": "Gemm", "ms": 3.5, **floats},
        {"name": "softmax", "type": "Softmax", "ms": 0.011, **floats},
    ]


def test_a_file_that_no_runtime_profiles_is_named() -> None:
    with pytest.raises(NotImplementedError, match=r"model\.bin"):
        operators.profile({"path": "model.bin"}, lambda _: None)


@pytest.mark.parametrize(
    ("times", "wanted"),
    [([3.0], 3.0), ([1.0, 2.0], 1.5), ([1.0, 2.0, 3.0, 900.0], 2.5), ([0.0] * 4 + [1.0] * 4, 0.5)],
)
def test_the_middle_half_counts(times: list[float], wanted: float) -> None:
    assert operators.typical(times) == wanted
    assert operators.typical(times[::-1]) == wanted
