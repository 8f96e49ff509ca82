from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.plugins import LoadRequest
from edgevit.core.process.sandbox import available
from edgevit.models._pt2.archive import clean_copy
from edgevit.models.exported import load
from tests._command import edgevit
from tests.edgevit.models._pt2._attacks import ATTACKS, node
from tests.edgevit.models._pt2._programs import (
    CONSTANTS,
    IMAGE,
    PROGRAM,
    SAMPLES,
    WEIGHTS,
    Touch,
    changed,
    pickled,
    put,
    renamed,
    save,
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "m.pt2"
    save(path)
    return path


def request(path: Path) -> LoadRequest:
    return LoadRequest(
        source=str(path),
        argument=str(path),
        weights=None,
        random_weights=None,
        num_classes=None,
        image_size=None,
        model_args={},
        preprocess={"normalize": "imagenet"},
        labels=(),
    )


# ---------------------------------------------------------------- what loads


@pytest.mark.parametrize("batch", [1, "batch"])
def test_a_program_gives_what_the_model_gives(tmp_path: Path, batch: int | str) -> None:
    path = tmp_path / "net.pt2"
    net = save(path, batch, extra_files={"notes/a.txt": "one", "lib.so": "two"})
    torch.testing.assert_close(load(request(path)).module(IMAGE), net(IMAGE))


def test_a_decomposed_program_and_one_with_named_outputs_load(tmp_path: Path) -> None:
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 4, 4)

        def forward(self, image: torch.Tensor) -> dict[str, Any]:
            found = torch.nn.functional.interpolate(self.conv(image), scale_factor=2.0, mode="bicubic")
            return {"logits": found.mean((2, 3)), "features": found.flatten(1)}

    net = Two().eval()
    torch.export.save(torch.export.export(net, (IMAGE[:1],)).run_decompositions(), tmp_path / "two.pt2")
    model = load(request(tmp_path / "two.pt2"))
    assert [output.name for output in model.spec.outputs] == ["logits", "features"]
    for got, expected in zip(model.module(IMAGE), net(IMAGE).values(), strict=True):
        torch.testing.assert_close(got, expected)


def test_only_what_was_checked_is_handed_on(good: Path, tmp_path: Path) -> None:
    noisy = changed(good, tmp_path / "noisy.pt2", after={"extra/x.sh": b"rm -rf /"})
    with zipfile.ZipFile(clean_copy(noisy, tmp_path)) as archive:
        held = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert held[SAMPLES] == b"" and not [name for name in held if name.startswith("extra/")]
    nodes = json.loads(held[PROGRAM])["graph_module"]["graph"]["nodes"]
    assert {key for node in nodes for key in node["metadata"]} == {
        "stack_trace",
        "nn_module_stack",
        "torch_fn",
    }
    with zipfile.ZipFile(good) as archive:
        assert held["data/weights/weight_0"] == archive.read("m/data/weights/weight_0")


def legacy(good: Path, state: object, constants: object, path: Path) -> Path:
    """As PyTorch 2.8 wrote it: weights and constants are pickled dictionaries."""
    added = {"data/weights/model.pt": pickled(state), "data/constants/model.pt": pickled(constants)}
    return changed(good, path, {WEIGHTS: None, CONSTANTS: None}, after=added)


def flat(good: Path, state: object, constants: object, path: Path) -> Path:
    """As PyTorch 2.7 wrote it: no folder, other names."""
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        target.writestr("version", "8.8")
        target.writestr("serialized_exported_program.json", source.read(f"m/{PROGRAM}"))
        target.writestr("serialized_example_inputs.pt", source.read(f"m/{SAMPLES}"))
        target.writestr("serialized_state_dict.pt", pickled(state))
        target.writestr("serialized_constants.pt", pickled(constants))
        target.writestr("extra_files/a.txt", "one")
    return path


@pytest.mark.parametrize("write", [legacy, flat])
def test_files_of_older_releases_load_and_their_pickles_hold_tensors_alone(
    write: Callable[[Path, object, object, Path], Path], good: Path, tmp_path: Path
) -> None:
    saved = torch.export.load(good)
    old = write(good, dict(saved.state_dict), dict(saved.constants), tmp_path / "old.pt2")
    expected = load(request(good)).module(IMAGE)
    torch.testing.assert_close(load(request(old)).module(IMAGE), expected)
    bad = write(good, Touch(tmp_path / "ran"), {}, tmp_path / "bad.pt2")
    with pytest.raises(
        InputError, match=r"data/weights/model\.pt is not made of .*: it asks for posix\.system"
    ):
        clean_copy(bad, tmp_path)
    assert not (tmp_path / "ran").exists()


# ---------------------------------------------------------------- what does not


@pytest.mark.parametrize("name", ATTACKS)
def test_what_may_run_code_is_refused_before_pytorch_sees_it(name: str, good: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    bad = ATTACKS[name].build(good, tmp_path / "bad.pt2", marker)
    imported = set(sys.modules)
    with pytest.raises(InputError, match=ATTACKS[name].sentence) as refused:
        load(request(bad))
    assert str(bad) in refused.value.message and len(refused.value.message) < 500
    assert not marker.exists() and "this" not in set(sys.modules) - imported


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.runs])
def test_pytorch_itself_would_run_them(name: str, good: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    bad = ATTACKS[name].build(good, tmp_path / "m.pt2", marker)
    with contextlib.suppress(Exception):  # after the code ran, most files turn out to be no program
        torch.export.load(bad)
    assert marker.exists()


def test_operators_that_edgevit_does_not_read_are_unsupported(good: Path, tmp_path: Path) -> None:
    for target in (
        "torch.ops.torchvision.nms.default",
        "torch.ops.higher_order.cond",
        "torch.ops.aten._foobar.default",
    ):
        with pytest.raises(UnsupportedError, match=r"bad.pt2 is not supported: it calls"):
            clean_copy(node(target)(good, tmp_path / "bad.pt2", tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({WEIGHTS: None}, "no member data/weights/model_weights_config.json"),
        ({PROGRAM: b"{"}, "not readable"),
        ({PROGRAM: b"[" * 100_000}, "levels deep"),
        ({PROGRAM: b'{"graph_module": ' + b"9" * 6000 + b"}"}, "digits"),
        ({"archive_format": b"pt3"}, "archive_format"),
        ({"byteorder": b"big"}, "byteorder"),
        ({"data/weights/weight_0": b""}, r"is larger than weight_0, which holds it \(0 bytes\)"),
        ({"data/weights/weight_0": None}, "which the archive does not hold"),
    ],
)
def test_damaged_files_are_refused_with_the_place(
    change: dict[str, Any], sentence: str, good: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        clean_copy(changed(good, tmp_path / "bad.pt2", change), tmp_path)


def test_two_top_folders_and_equal_names_are_refused(good: Path, tmp_path: Path) -> None:
    bad = changed(good, tmp_path / "twice.pt2", before={PROGRAM: b"{}"})
    with pytest.raises(InputError, match="is there twice"):
        clean_copy(bad, tmp_path)
    shutil.copy(good, tmp_path / "two.pt2")
    with zipfile.ZipFile(tmp_path / "two.pt2", "a") as archive:
        archive.writestr(zipfile.ZipInfo("other/models/model.json"), b"{}")
    with pytest.raises(InputError, match="several folders"):
        clean_copy(tmp_path / "two.pt2", tmp_path)


def test_a_graph_that_does_not_hang_together_is_the_files_fault(good: Path, tmp_path: Path) -> None:
    bad = changed(good, tmp_path / "bad.pt2", {PROGRAM: put([], "graph_module", "graph", "nodes")})
    with pytest.raises(InputError, match="is not a readable .pt2 file"):
        load(request(bad))
    newer = changed(good, tmp_path / "newer.pt2", {PROGRAM: put(99, "schema_version", "major")})
    with pytest.raises(InputError, match=f"a PyTorch newer than {re.escape(torch.__version__)} wrote it"):
        load(request(newer))


def test_a_program_that_fails_when_it_runs_is_the_files_fault(good: Path, tmp_path: Path) -> None:
    bad = changed(good, tmp_path / "bad.pt2", {PROGRAM: renamed("tanh", "evil")})
    with pytest.raises(InputError, match="fails on one 8x8 image .* approximate argument"):
        load(request(bad))


# ---------------------------------------------------------------- through the command line


def test_the_command_refuses_an_attack_and_says_what_held_a_good_file_back(
    good: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    bad = ATTACKS["name of the input"].build(good, tmp_path / "bad.pt2", marker)
    told = edgevit("convert", bad, "--preprocess", "normalize=imagenet", "-o", tmp_path / "out", "--json")
    assert told.returncode == 2 and not marker.exists() and not (tmp_path / "out").exists(), told.stderr
    error = json.loads(told.stdout)["error"]
    assert error["code"] == "input" and "image=__import__" in error["message"]
    told = edgevit("inspect", good, "--json")
    assert told.returncode == 0, told.stderr
    here = available()
    assert json.loads(told.stdout)["isolation"] == {"files": here.files, "network": here.network}
