"""Weight files: what fits goes in, what does not is named, what wants to run is refused."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgevit.core.errors import InputError, UnsupportedError
from edgevit.models._checkpoint.weights import load_weights


def net(classes: int = 3) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, classes))


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


class Attack:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self.marker}",))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s, "epoch": 3},
                                  lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}])  # fmt: skip
def test_pytorch_checkpoints_go_in(tmp_path: Path, wrap: object) -> None:
    assert callable(wrap)
    given, taken = net(), net()
    torch.save(wrap(given.state_dict()), tmp_path / "w.pth")
    load_weights(taken, tmp_path / "w.pth")
    assert same(given, taken)


def test_safetensors_go_in_without_batch_counters(tmp_path: Path) -> None:
    given, taken = net(), net()
    state = {k: v for k, v in given.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "w.safetensors")
    load_weights(taken, tmp_path / "w.safetensors")
    assert same(given, taken)


def test_another_architecture_is_told_by_missing_unexpected_and_reshaped_keys(tmp_path: Path) -> None:
    state = net(5).state_dict()
    state["extra.weight"] = state.pop("0.weight")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InputError) as caught:
        load_weights(net(3), tmp_path / "w.safetensors")
    message = caught.value.message
    assert "1 missing: 0.weight" in message and "1 unexpected: extra.weight" in message
    assert "2.weight ((5, 4) in the file, (3, 4) in the model)" in message


def test_many_differences_are_counted_and_shortened(tmp_path: Path) -> None:
    save_file({f"x{index}": torch.zeros(1) for index in range(40)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="40 unexpected: x0, .*, [.][.][.]"):
        load_weights(net(), tmp_path / "w.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_name_their_tensors(tmp_path: Path, value: float) -> None:
    state = net().state_dict()
    state["2.weight"][0, 0] = value
    state["1.running_var"][0] = value
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"2 tensors in .*2\.weight, 1\.running_var"):
        load_weights(net(), tmp_path / "w.safetensors")


@pytest.mark.parametrize("form", ["zip", "legacy", "plain"])
def test_a_pickle_that_wants_to_run_code_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    path, marker = tmp_path / "w.pth", tmp_path / "ran"
    content = {**net().state_dict(), "bomb": Attack(marker)}
    if form == "plain":
        path.write_bytes(pickle.dumps(content["bomb"]))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(InputError, match=r"refused: .*system") as caught:
        load_weights(net(), path)
    assert not marker.exists() and "state_dict" in caught.value.hint


def test_a_compressed_checkpoint_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1_000_000)}, tmp_path / "big.pth")
    with (
        zipfile.ZipFile(tmp_path / "big.pth") as whole,
        zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for name in whole.namelist():
            small.writestr(name, whole.read(name))
    with pytest.raises(InputError, match="uncompressed members"):
        load_weights(net(), tmp_path / "w.pth")


# The end of a zip archive that says that it is in two files; `zipfile.is_zipfile` raises at it.
ONE_OF_TWO = bytes(99) + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 2) + b"PK\5\6" + bytes(18)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(80), bytes(64), ONE_OF_TWO])
def test_garbage_is_an_input_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="not a readable|directory is damaged"):
        load_weights(net(), tmp_path / name)


def test_a_truncated_checkpoint_a_missing_file_and_another_kind_are_input_errors(tmp_path: Path) -> None:
    torch.save(net().state_dict(), tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(whole[: len(whole) // 2])
    for name in ("w.pth", "none.pth", "w.h5"):
        if name == "w.h5":
            (tmp_path / name).touch()
        with pytest.raises(InputError, match=name):
            load_weights(net(), tmp_path / name)


def test_a_checkpoint_without_a_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="no state_dict"):
        load_weights(net(), tmp_path / "w.pth")


def test_npz_is_only_for_models_that_read_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", kernel=np.zeros(3))
    with pytest.raises(UnsupportedError, match="npz"):
        load_weights(net(), tmp_path / "w.npz")
