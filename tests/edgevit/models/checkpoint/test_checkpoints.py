"""Checkpoints as training scripts write them: each form gives the outputs of the model that was saved, exactly."""

from __future__ import annotations

import argparse
import collections
import copy
import datetime
import functools
import json
import pathlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgevit.core.errors import EdgevitError, InputError, UsageError
from edgevit.models._checkpoint.weights import choose_weights, load_weights

State = dict[str, Any]


class Net(nn.Module):
    """Convolution, batch norm, two blocks and a head, with a stem that is called as a wrapper is."""

    def __init__(self, classes: int = 5, width: int = 4) -> None:
        super().__init__()
        self.module = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.head = nn.Linear(width, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value = self.norm(self.module(image)).mean((2, 3))
        for block in self.blocks:
            value = value + block(value).relu()
        logits: torch.Tensor = self.head(value)
        return logits


def net(seed: int = 0, **options: int) -> Net:
    torch.manual_seed(seed)
    made = Net(**options).eval()
    buffers = dict(made.norm.named_buffers())
    buffers["running_mean"].normal_()
    buffers["running_var"].uniform_(0.5, 2)
    return made


IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(7))
OWN, AVERAGE = net(1), net(2)


def loaded(path: Path, key: str | None = None, **options: int) -> tuple[torch.Tensor, str, tuple[str, ...]]:
    """The outputs of a fresh model that was filled from `path`, where its weights are from, what was said."""
    module = net(99, **options)
    chosen = choose_weights(module, path, key)
    assert chosen is not None
    told = load_weights(module, path, chosen=chosen)
    with torch.no_grad():
        return module(IMAGE), chosen.origin, told


def outputs(module: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = module(IMAGE)
    return found


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def inside(state: State) -> State:
    """Wrappers around submodules, in the middle of names."""
    return {name.replace("blocks.0.", "blocks.0._orig_mod.module."): value for name, value in state.items()}


FORMS: dict[str, Callable[[State], object]] = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "best_acc": torch.tensor(0.5)},
    "model_state_dict": lambda s: {"model_state_dict": s, "optimizer_state_dict": {"state": {}, "param_groups": []}},
    "net": lambda s: {"net": s, "acc": 91.2},
    "weights": lambda s: {"weights": s},
    "deep": lambda s: {"checkpoint": {"model": {"state": s}}},
    "ddp": lambda s: prefixed("module.", s),
    "compiled": lambda s: prefixed("_orig_mod.", s),
    "compiled ddp": lambda s: prefixed("_orig_mod.module.", s),
    "ddp of compiled": lambda s: {"model": prefixed("module._orig_mod.", s)},
    "compiled blocks": inside,
    "fsdp": lambda s: prefixed("_fsdp_wrapped_module.", inside(s)),
    "attribute": lambda s: prefixed("net.", s),
    "lightning": lambda s: {"state_dict": prefixed("model.", s), "loops": {}, "callbacks": {}},
    "lightning, compiled": lambda s: {"state_dict": prefixed("model._orig_mod.", s)},
    "wrapped twice": lambda s: {"state_dict": prefixed("module.encoder.backbone.", s)},
    "parameters": lambda s: {n: nn.Parameter(v, v.is_floating_point()) for n, v in s.items()},
    "no counters": lambda s: {n: v for n, v in s.items() if not n.endswith("num_batches_tracked")},
    "deepspeed": lambda s: {"module": s, "optimizer": None},
    "one counter": lambda s: {**prefixed("module.", s), "n_averaged": torch.tensor(3)},
}  # fmt: skip


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_outputs_of_what_was_saved(tmp_path: Path, form: str, legacy: bool) -> None:
    path = tmp_path / "model_best.pth.tar"
    torch.save(FORMS[form](OWN.state_dict()), path, _use_new_zipfile_serialization=not legacy)
    found, origin, _ = loaded(path)
    assert torch.equal(found, outputs(OWN)) and "model_best.pth.tar" in origin


@pytest.mark.parametrize("ending", ["ckpt", "bin", "pth.tar", "pt", "weights", "safetensors"])
def test_the_content_decides_and_not_the_ending(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"epoch=4-step=500.{ending}"
    torch.save({"state_dict": OWN.state_dict()}, path)
    assert torch.equal(loaded(path)[0], outputs(OWN))
    save_file(OWN.state_dict(), path)
    assert torch.equal(loaded(path)[0], outputs(OWN))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.float8_e5m2])
def test_weights_of_another_precision_are_told(tmp_path: Path, dtype: torch.dtype) -> None:
    half = {name: t.to(dtype) if t.is_floating_point() else t for name, t in OWN.state_dict().items()}
    rounded = copy.deepcopy(OWN)
    rounded.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in half.items()})
    torch.save(half, tmp_path / "w.pth")
    found, origin, _ = loaded(tmp_path / "w.pth")
    assert torch.equal(found, outputs(rounded)) and str(dtype).removeprefix("torch.") in origin


# ------------------------------------------------------------------ several sets of weights in one file

TWO: dict[str, tuple[Callable[[State, State], object], str, str]] = {
    "timm": (lambda s, a: {"state_dict": s, "state_dict_ema": a, "arch": "x"}, "state_dict_ema", "state_dict"),
    "torchvision": (
        lambda s, a: {"model": s, "model_ema": {**prefixed("module.", a), "n_averaged": torch.tensor(9)}},
        "model_ema",
        "model",
    ),
    "ema": (lambda s, a: {"net": prefixed("module.", s), "ema": a, "updates": 3}, "ema", "net"),
    "dino": (
        lambda s, a: {
            "student": prefixed("module.backbone.", s),
            "teacher": {**prefixed("backbone.", a), "head.mlp.0.weight": torch.zeros(7, 4)},
            "dino_loss": {"center": torch.zeros(1, 9)},
        },
        "teacher.backbone",
        "student",
    ),
    "lightning prefixes": (
        lambda s, a: {"state_dict": {**prefixed("model.", s), **prefixed("model_ema.module.", a)}},
        "state_dict.model_ema",
        "state_dict.model",
    ),
    "lightning callback": (
        lambda s, a: {"state_dict": prefixed("model.", s), "callbacks": {"EMA": {"ema": prefixed("model.", a)}}},
        "callbacks.EMA.ema.model",
        "state_dict",
    ),
    "lightning averaging": (
        lambda s, a: {"current_model_state": prefixed("net.", s), "state_dict": prefixed("net.", a)},
        "state_dict.net",
        "current_model_state",
    ),
    "swa": (lambda s, a: {"model": s, "swa_state_dict": prefixed("module.", a)}, "swa_state_dict", "model"),
}  # fmt: skip


@pytest.mark.parametrize("form", TWO)
def test_the_average_is_taken_and_the_other_on_demand(tmp_path: Path, form: str) -> None:
    make, average, other = TWO[form]
    path = tmp_path / "w.ckpt"
    torch.save(make(OWN.state_dict(), AVERAGE.state_dict()), path)
    found, origin, told = loaded(path)
    assert torch.equal(found, outputs(AVERAGE)) and "moving average" in origin
    assert any(f"{average} was taken" in text and f"--weights-key {other}" in text for text in told)
    found, origin, told = loaded(path, other)
    assert torch.equal(found, outputs(OWN)) and "moving average" not in origin
    assert not any("was taken" in text for text in told)
    assert torch.equal(loaded(path, average)[0], outputs(AVERAGE))
    with pytest.raises(UsageError, match="--weights-key head") as raised:
        loaded(path, "head")
    assert average in raised.value.hint


@pytest.mark.parametrize(
    "make",
    [
        lambda s, a: {"generator": s, "critic": a},
        lambda s, a: {"state_dict": {**prefixed("student.", s), **prefixed("teacher.", a)}},  # distillation
        lambda s, a: {"ema_0.999": s, "ema_0.9999": a},
    ],
)
def test_what_leaves_a_doubt_is_asked(tmp_path: Path, make: Callable[[State, State], object]) -> None:
    torch.save(make(OWN.state_dict(), AVERAGE.state_dict()), tmp_path / "w.pth")
    with pytest.raises(InputError, match="2 sets of weights that fit this model and differ") as raised:
        loaded(tmp_path / "w.pth")
    keys = [
        word
        for word in raised.value.hint.split()
        if "-" not in word and word not in ("or", "say", "which", "one:")
    ]
    results = [loaded(tmp_path / "w.pth", key)[0] for key in keys]
    assert (
        len(results) == 2
        and torch.equal(results[0], outputs(OWN))
        and torch.equal(results[1], outputs(AVERAGE))
    )


def test_equal_sets_are_no_doubt_and_another_width_is_no_choice(tmp_path: Path) -> None:
    torch.save({"a": OWN.state_dict(), "b": OWN.state_dict()}, tmp_path / "w.pth")
    found, _, told = loaded(tmp_path / "w.pth")
    assert torch.equal(found, outputs(OWN)) and told == ()
    wide = net(3, width=8).state_dict()
    torch.save({**prefixed("student.", OWN.state_dict()), **prefixed("teacher.", wide)}, tmp_path / "w.pth")
    assert torch.equal(loaded(tmp_path / "w.pth")[0], outputs(OWN))


def test_an_average_without_buffers_is_told_and_not_taken(tmp_path: Path) -> None:
    shadow = {name: value for name, value in AVERAGE.state_dict().items() if "running" not in name}
    torch.save({"model": OWN.state_dict(), "ema": {"shadow": shadow, "decay": 0.99}}, tmp_path / "w.pth")
    found, _, told = loaded(tmp_path / "w.pth")
    assert torch.equal(found, outputs(OWN))
    assert any("ema.shadow" in text and "not taken: 2 missing: norm.running_mean" in text for text in told)
    with pytest.raises(InputError, match="norm.running_mean"):
        loaded(tmp_path / "w.pth", "ema")


# ------------------------------------------------------------------ what is beside the weights


def test_parts_that_are_not_of_the_model_are_told(tmp_path: Path) -> None:
    beside = {
        "criterion.weight": torch.ones(5),
        "train_acc.total": torch.zeros(3),
        "teacher.w": torch.ones(2, 2),
    }
    torch.save({"state_dict": {**prefixed("model.", OWN.state_dict()), **beside}}, tmp_path / "w.ckpt")
    found, origin, told = loaded(tmp_path / "w.ckpt")
    assert torch.equal(found, outputs(OWN)) and origin == "state_dict in w.ckpt, names without model."
    assert told == (
        "left out of w.ckpt, because it is not of the model: criterion (1 tensor), train_acc (1 tensor), "
        "teacher (1 tensor)",
    )
    torch.save({**OWN.state_dict(), "criterion.weight": torch.ones(5)}, tmp_path / "w.ckpt")
    assert "criterion (1 tensor)" in loaded(tmp_path / "w.ckpt")[2][0]
    for name in ("aux_head.weight", "logit_scale", "avg_pool.scale"):  # another architecture's
        torch.save({**OWN.state_dict(), name: torch.ones(1)}, tmp_path / "w.ckpt")
        with pytest.raises(InputError, match=f"1 unexpected: {name}"):
            loaded(tmp_path / "w.ckpt")


@pytest.mark.parametrize(
    "value",
    [
        argparse.Namespace(model="vit", lr=1e-3, data=pathlib.Path("photos")),
        pathlib.PurePosixPath("a/b"),
        pathlib.PureWindowsPath("c:/a"),
        np.float64(0.75),
        np.arange(4.0),
        np.dtype("float32"),
        {"nested": [np.int64(3), (argparse.Namespace(),)]},
        torch.__version__,
        datetime.datetime.now(),
        collections.defaultdict(list, a=[1]),
        collections.deque([1], 3),
        [range(3), {1, 2}, frozenset((1,)), b"x"],
    ],
)
def test_arguments_scores_and_paths_beside_the_weights_are_harmless(tmp_path: Path, value: object) -> None:
    torch.save({"state_dict": OWN.state_dict(), "args": value}, tmp_path / "w.pth.tar")
    assert torch.equal(loaded(tmp_path / "w.pth.tar")[0], outputs(OWN))


def test_layers_and_optimizers_among_lightning_s_hyper_parameters_are_not_made(tmp_path: Path) -> None:
    """As `save_hyperparameters` keeps them: classes, partials (of a Hydra configuration) and objects."""
    given = {
        "act": nn.GELU,
        "optimizer": functools.partial(torch.optim.AdamW, lr=1e-3),
        "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR,
        "criterion": nn.CrossEntropyLoss(weight=torch.ones(5)),
    }
    checkpoint = {"state_dict": prefixed("net.", OWN.state_dict()), "hyper_parameters": given}
    torch.save(checkpoint, tmp_path / "w.ckpt")
    found, _, told = loaded(tmp_path / "w.ckpt")
    assert torch.equal(found, outputs(OWN))
    assert any("not read in w.ckpt" in text and "hyper_parameters.criterion" in text for text in told)
    torch.save(checkpoint, tmp_path / "w.ckpt", _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match="hyper_parameters, which Lightning keeps .* hold torch.nn"):
        loaded(tmp_path / "w.ckpt")


def test_of_lightning_s_own_classes_the_message_says_how_to_leave_them_out(tmp_path: Path) -> None:
    given = {"state_dict": prefixed("net.", OWN.state_dict()), "hyper_parameters": {"net": OWN}}
    torch.save(given, tmp_path / "w.ckpt")
    with pytest.raises(InputError, match="hyper_parameters, which Lightning keeps") as raised:
        loaded(tmp_path / "w.ckpt")
    way_out = raised.value.hint.partition("trust it: ")[2].replace("'w.ckpt'", "path")
    exec(
        way_out.replace("'weights.pth'", "out"),
        {"torch": torch, "path": tmp_path / "w.ckpt", "out": tmp_path / "w"},
    )
    assert torch.equal(loaded(tmp_path / "w")[0], outputs(OWN))


def test_an_average_in_a_list_is_told_and_not_taken(tmp_path: Path) -> None:
    """As torch_ema writes it: tensors in the order of the parameters, without their names."""
    shadow = {"decay": 0.99, "num_updates": 3, "shadow_params": list(AVERAGE.parameters())}
    torch.save({"model": OWN.state_dict(), "ema": shadow}, tmp_path / "w.pth")
    found, _, told = loaded(tmp_path / "w.pth")
    assert torch.equal(found, outputs(OWN))
    assert any("ema.shadow_params" in text and "no names" in text for text in told)


def test_weights_in_a_list_are_found(tmp_path: Path) -> None:
    torch.save([3, OWN.state_dict(), {"state": {}, "param_groups": []}], tmp_path / "w.pth")
    found, origin, _ = loaded(tmp_path / "w.pth")
    assert torch.equal(found, outputs(OWN)) and origin == "1 in w.pth"


def test_a_path_of_windows_and_a_dictionary_of_lightning(tmp_path: Path) -> None:
    """As their own machines write them: the names are replaced in the pickle, which keeps their lengths."""
    torch.save({"path": pathlib.Path("a"), "state_dict": OWN.state_dict()}, tmp_path / "w.pth",
               _use_new_zipfile_serialization=False)  # fmt: skip
    content = (tmp_path / "w.pth").read_bytes()
    for name in (b"pathlib\nWindowsPath", b"pathlib._local\nPosixPath", b"omegaconf.dictconfig\nDictConfig"):
        (tmp_path / "v.pth").write_bytes(content.replace(b"pathlib\nPosixPath", name))
        assert torch.equal(loaded(tmp_path / "v.pth")[0], outputs(OWN))


# ------------------------------------------------------------------ what does not fit


@pytest.mark.parametrize(
    ("state", "words", "hint"),
    [
        (net(3, classes=37).state_dict(), ("fit but for the classifier: it has 37 classes", "5 in the model"),
         "--num-classes 37"),
        ({n: v for n, v in OWN.state_dict().items() if "head" not in n}, ("which they lack: head.weight",),
         "--num-classes 0"),
        ({n.replace("head.", "head.1."): v for n, v in net(3, classes=37).state_dict().items()},
         ("another one for 37 classes (head.1.weight, head.1.bias)", "not head.weight"), "python:FILE:FACTORY"),
        (net(3, width=8).state_dict(), ("module.weight ((8, 3, 3, 3) in the file, (4, 3, 3, 3) in the model)",), ""),
        ({n: v for n, v in OWN.state_dict().items() if "blocks.1" not in n},
         ("layers in blocks: 1 in the file, 2 in the model; 2 missing: blocks.1.weight", "is of 'vit_giant'"), ""),
        ({**OWN.state_dict(), "blocks.2.weight": torch.ones(4, 4)}, ("1 unexpected: blocks.2.weight",), ""),
        ({"lora_A": torch.ones(2)}, ("LoRA adapter",), "merge_and_unload"),
        ({"base_model.model.blocks.0.lora_B.default.weight": torch.ones(2)}, ("LoRA adapter",), "merge_and_unload"),
        ({"blocks.0.qweight": torch.ones(2)}, ("quantized already",), "float checkpoint"),
        ({n: v.int() for n, v in OWN.state_dict().items()}, ("no plain numbers", "module.weight (int32)"), "float"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_mismatch_says_what_differs_in_a_few_words(
    tmp_path: Path, state: State, words: tuple[str, ...], hint: str, prefix: str
) -> None:
    torch.save({"state_dict": prefixed(prefix, state), "arch": "vit_giant"}, tmp_path / "w.ckpt")
    with pytest.raises(InputError) as raised:
        loaded(tmp_path / "w.ckpt")
    assert all(word in raised.value.message for word in words), raised.value.message
    assert hint in raised.value.hint and len(raised.value.message) < 500


def test_a_head_outside_the_backbone_is_named(tmp_path: Path) -> None:
    state = {("" if "head" in n else "backbone.") + n: v for n, v in OWN.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"fit but for the classifier: .*5 classes .*head.weight"):
        loaded(tmp_path / "w.pth")


def test_a_wrapper_of_the_model_itself_is_a_prefix_too(tmp_path: Path) -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = net(9)

    torch.save(prefixed("model.", OWN.state_dict()), tmp_path / "w.pth")
    outer = Outer().eval()
    load_weights(outer, tmp_path / "w.pth")
    assert torch.equal(outputs(outer.body), outputs(OWN))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda t: t.to_sparse(), "sparse"),
        (lambda t: t.to("meta"), "without values"),
        (lambda t: t.to(torch.complex64), "complex64"),
        (lambda t: t.to(torch.uint8), "uint8"),
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "quantized"),
    ],
)
def test_what_would_not_be_copied_exactly_is_refused(
    tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], word: str
) -> None:
    torch.save({**OWN.state_dict(), "head.weight": change(OWN.head.weight.detach())}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=rf"1 tensors in .*: head.weight \({word}\)"):
        loaded(tmp_path / "w.pth")


def test_an_average_of_torch_itself(tmp_path: Path) -> None:
    from torch.optim.swa_utils import AveragedModel

    torch.save(AveragedModel(nn.DataParallel(OWN)).state_dict(), tmp_path / "w.pth")
    found, origin, _ = loaded(tmp_path / "w.pth")
    assert torch.equal(found, outputs(OWN)) and "moving average" in origin


def test_an_optimizer_alone_is_told(tmp_path: Path) -> None:
    moments = {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4, 3, 3, 3)}
    state = {"state": {0: moments}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    for content in (state, {"optimizer": state, "epoch": 3}):
        torch.save(content, tmp_path / "optimizer.pt")
        with pytest.raises(InputError, match="state of an optimizer"):
            loaded(tmp_path / "optimizer.pt")


def test_the_same_dictionary_in_itself_ends(tmp_path: Path) -> None:
    loop: State = {"epoch": 1}
    loop["self"] = loop
    torch.save(loop, tmp_path / "w.pth")
    with pytest.raises(EdgevitError, match="no state_dict"):
        loaded(tmp_path / "w.pth")


# ------------------------------------------------------------------ several files


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_shards_are_read_by_their_index_and_by_their_folder(tmp_path: Path, ending: str) -> None:
    base = "model" if ending == "safetensors" else "pytorch_model"
    state = OWN.state_dict()
    names = list(state)
    places: dict[str, str] = {}
    for index, part in enumerate((names[:6], names[6:]), start=1):
        file = f"{base}-{index:05}-of-00002.{ending}"
        held = {name: state[name] for name in part}
        save_file(held, tmp_path / file) if ending == "safetensors" else torch.save(held, tmp_path / file)
        places |= dict.fromkeys(part, file)
    index_file = tmp_path / f"{base}.{ending}.index.json"
    index_file.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    for path in (index_file, tmp_path):
        assert torch.equal(loaded(path)[0], outputs(OWN))
    with pytest.raises(InputError, match="one of 2 files of one model") as raised:
        loaded(tmp_path / f"{base}-00001-of-00002.{ending}")
    assert index_file.name in raised.value.hint
    (tmp_path / f"{base}-00002-of-00002.{ending}").unlink()
    with pytest.raises(InputError, match="which is not beside it"):
        loaded(index_file)


def test_a_folder_with_one_file_is_that_file(tmp_path: Path) -> None:
    torch.save({"state_dict": OWN.state_dict()}, tmp_path / "last.ckpt")
    (tmp_path / "hparams.yaml").touch()
    found, origin, _ = loaded(tmp_path)
    assert torch.equal(found, outputs(OWN)) and origin.startswith("state_dict in ")


def test_a_whole_module_is_refused_by_what_it_is(tmp_path: Path) -> None:
    inside = {"model": nn.Linear(2, 2), "epoch": 1}
    for content in (nn.Sequential(nn.Linear(2, 2)), inside, {**inside, "best": torch.tensor(0.5)}):
        for legacy in (False, True):
            torch.save(content, tmp_path / "model.pt", _use_new_zipfile_serialization=not legacy)
            with pytest.raises(InputError, match="a whole pickled module, of torch.nn") as raised:
                loaded(tmp_path / "model.pt")
            assert "torch.save(model.state_dict()" in raised.value.hint


def test_a_newer_pickle_is_told(tmp_path: Path) -> None:
    torch.save(OWN.state_dict(), tmp_path / "w.pth", pickle_protocol=4)
    with pytest.raises(InputError, match="pickle protocol is newer") as raised:
        loaded(tmp_path / "w.pth")
    assert "pickle_protocol" in raised.value.hint
