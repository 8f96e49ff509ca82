"""External data of ONNX files made by onnx itself, then moved to where it may not be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgevit.core.errors import InputError
from edgevit.runtimes._onnxruntime.session import read_model


def external(name: str, location: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), name)
    onnx.external_data_helper.set_external_data(tensor, location, 0, 16)
    tensor.ClearField("raw_data")
    return tensor


def initializer(tensor: TensorProto) -> onnx.GraphProto:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    return helper.make_graph([helper.make_node("Neg", [tensor.name], ["y"])], "g", [], [output], [tensor])


def constant(tensor: TensorProto) -> onnx.GraphProto:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    return helper.make_graph([helper.make_node("Constant", [], ["y"], value=tensor)], "g", [], [output])


def branch(tensor: TensorProto) -> onnx.GraphProto:
    """In a graph within a graph."""
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    inner = constant(tensor)
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    return helper.make_graph([node], "g", [condition], [output])


def save(folder: Path, location: str, make: Callable[[TensorProto], onnx.GraphProto] = initializer) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(make(external("w", location))).SerializeToString())
    return path


def test_plain_weights_beside_the_model_are_fine(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for location in ("w.data", "sub/w.data"):
        (tmp_path / location).write_bytes(bytes(16))
        assert len(read_model(save(tmp_path, location)).graph.initializer) == 1


@pytest.mark.parametrize("make", [initializer, constant, branch])
def test_a_hard_link_is_refused_wherever_it_is_named(
    make: Callable[[TensorProto], onnx.GraphProto], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    path = save(tmp_path / "model", "w.data", make)
    (tmp_path / "model" / "w.data").hardlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match=r"w\.data is a hard link"):
        read_model(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../secret", "..\\secret", "C:/x", ""])
def test_a_path_out_of_the_folder_is_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    with pytest.raises(InputError, match="out of its folder"):
        read_model(save(tmp_path / "model", location))


def test_what_is_missing_or_never_ends_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, "w.data")
    with pytest.raises(InputError, match="does not exist"):
        read_model(path)
    os.mkfifo(tmp_path / "w.data")
    with pytest.raises(InputError, match="pipe"):
        read_model(path)
