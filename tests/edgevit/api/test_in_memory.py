"""A module in memory: what the workers load of it computes what it computes, and it stays as it was."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgevit
from edgevit.api._settings import recipe_of
from edgevit.core.errors import EdgevitError
from edgevit.core.plugins import LoadRequest
from edgevit.core.settings.plain import settings_to_remember
from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import TorchModel
from edgevit.flows._from_plan import remembered
from edgevit.registries import SOURCES
from tests._command import steps_forked

IMAGE = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
GIVEN: dict[str, Any] = {"image_size": 16, "preprocess": {"normalize": "imagenet"}}


class Net(torch.nn.Module):
    """Norm statistics, dropout, tied weights and a buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm = torch.nn.Conv2d(3, 8, 8, 8), torch.nn.BatchNorm2d(8)
        self.mix, self.again = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
        self.again.weight = self.mix.weight
        self.drop, self.head = torch.nn.Dropout(0.5), torch.nn.Linear(8, 3)
        self.register_buffer("offset", torch.full((8,), 0.25), persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pooled = torch.relu(self.norm(self.body(image))).mean((2, 3)) + self.offset
        return self.head(self.drop(self.again(self.mix(pooled))))


def make() -> Net:
    torch.manual_seed(0)
    net = Net()
    net.norm.running_mean.normal_()  # type: ignore[union-attr]
    return net


def load(recipe: Recipe) -> TorchModel:
    """As the worker does."""
    source, _, argument = recipe.model.partition(":")
    labels = () if recipe.labels is None else tuple(json.loads(recipe.labels.read_text()))
    return SOURCES.get(source).load(
        LoadRequest(recipe.model, argument, weights=recipe.weights, labels=labels)
    )


def state(net: torch.nn.Module) -> dict[str, tuple[int, torch.dtype, torch.Tensor]]:
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    return {name: (id(t), t.dtype, t.detach().clone()) for name, t in tensors.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_copy_is_brought_and_the_module_stays_as_it_was(dtype: torch.dtype) -> None:
    net = make().to(dtype).train()
    before = state(net)
    labels = ["cat, the small one", "dog\nhouse", "füchs"]
    with recipe_of(torch.nn.DataParallel(net), {**GIVEN, "labels": labels}) as recipe:
        model, kept = load(recipe), recipe
        settings = settings_to_remember(recipe)
    assert net.training and all(parameter.requires_grad for parameter in net.parameters())
    for name, (place, kind, value) in state(net).items():
        assert (place, kind) == before[name][:2] and torch.equal(value, before[name][2])
    with torch.no_grad():
        torch.testing.assert_close(model.module(IMAGE), net.float().eval()(IMAGE))
    own = f"module:{Net.__module__}.Net"
    assert (model.spec.name, model.spec.source, model.spec.labels) == ("Net", own, tuple(labels))
    assert model.spec.preprocess_origin.startswith("--preprocess (normalize)")
    # What was only there for this run is gone, and no plan remembers it.
    assert kept.weights is not None and kept.labels is not None
    assert not kept.weights.exists() and not kept.labels.exists()
    assert settings == {"model": own, "image_size": [16, 16], "preprocess": {"normalize": "imagenet"}}


def test_models_of_timm_and_transformers_bring_their_preprocessing_and_names() -> None:
    import timm
    from transformers import ViTConfig, ViTForImageClassification

    net = timm.create_model(
        "vit_tiny_patch16_224", depth=1, embed_dim=24, num_heads=2, img_size=32, num_classes=3
    )
    with recipe_of(net.eval(), {}) as recipe:
        model = load(recipe)
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.module(image), net(image))
    assert (model.spec.preprocess.resize, model.spec.preprocess.mean) == ((35, 35), (0.5, 0.5, 0.5))
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32,
                       patch_size=8, id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1})  # fmt: skip
    wrapped = ViTForImageClassification(config).eval()
    with recipe_of(wrapped, {}) as recipe:
        model = load(recipe)
    with torch.no_grad():
        torch.testing.assert_close(model.module(image), wrapped(image).logits)
    assert model.spec.labels == ("cat", "dog") and model.spec.outputs[0].name == "logits"
    assert model.spec.preprocess_origin.startswith("the usual values of vit models")


@pytest.mark.parametrize("channels", [1, 5])
def test_a_module_of_other_channels_is_brought_with_them(channels: int) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(channels, 4, 4, 4), torch.nn.Flatten(), torch.nn.Linear(64, 3))
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=16,
                       patch_size=8, num_channels=channels, num_labels=3)  # fmt: skip
    image = torch.randn(2, channels, 16, 16)
    for module in (net.eval(), ViTForImageClassification(config).eval()):
        with recipe_of(module, {**GIVEN, "preprocess": {"mean": 0.4, "std": 0.2}}) as recipe:
            model = load(recipe)
        with torch.no_grad():
            found = module(image)
            torch.testing.assert_close(model.module(image), getattr(found, "logits", found))
        assert model.spec.preprocess.mean == (0.4,) * channels
        assert model.spec.preprocess.color == ("gray" if channels == 1 else "bands")


def test_a_model_of_transformers_that_takes_no_image_alone_is_told() -> None:
    from transformers import BertConfig, BertModel, Siglip2VisionConfig, Siglip2VisionModel

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    patches = Siglip2VisionModel(Siglip2VisionConfig(**small, num_patches=16, patch_size=8))
    for module, words in ((patches, "takes patches"), (BertModel(BertConfig(**small)), "takes input_ids")):
        with pytest.raises(EdgevitError, match=words), recipe_of(module, GIVEN):
            pass


class Several(Net):
    """Named outputs, one of them deeper, and one that is none."""

    def forward(self, image: torch.Tensor) -> Any:
        maps = self.body(image)
        return {"maps": (maps, None), "logits": super().forward(image)}


class Headless(Net):
    num_classes = 0


@pytest.mark.parametrize(
    ("kind", "names", "task"),
    [(Several, ["logits", "maps_0"], "single-label"), (Headless, ["features"], "features")],
)
def test_outputs_keep_their_names(kind: type[Net], names: list[str], task: str) -> None:
    torch.manual_seed(0)
    net = kind().eval()
    with recipe_of(net, GIVEN) as recipe:
        model = load(recipe)
    assert [o.name for o in model.spec.outputs] == names and model.spec.output.task == task
    with torch.no_grad():
        found, expected = model.module(IMAGE), net(IMAGE)
    if kind is Several:
        torch.testing.assert_close(tuple(found), (expected["logits"], expected["maps"][0]))
    else:
        torch.testing.assert_close(found, expected)


class Locked(Net):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Broken(Net):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return super().forward(image) / 0.0


class Branching(Net):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return super().forward(image) if image.sum() > 0 else super().forward(-image)


@pytest.mark.parametrize(
    ("model", "given", "kind", "words"),
    [
        (dict, {}, edgevit.InputError, "the model given gives dict, not a torch.nn.Module"),
        (Net, {"preprocess": None}, edgevit.UsageError, "nothing says how images are prepared for module:"),
        (Net, {"num_classes": 3}, edgevit.UsageError, "num_classes does not go with a module in memory"),
        (
            Net,
            {"model_arg": {"depth": 2}},
            edgevit.UsageError,
            "model_arg does not go with a module in memory",
        ),
        (Net, {"image_size": 4}, edgevit.StepError, "Net fails on one 4x4 image in .*body"),
        (Broken, {}, edgevit.InputError, "gives NaN or infinite values"),
        (Locked, {}, edgevit.InputError, "cannot be copied: TypeError: cannot pickle '_thread.lock' object"),
        (
            Branching,
            {},
            edgevit.UnsupportedError,
            "cannot export Branching: its control flow .*test_in_memory.py",
        ),
    ],
)
def test_what_cannot_be_brought_is_told(
    model: Callable[[], object], given: dict[str, Any], kind: type[edgevit.EdgevitError], words: str
) -> None:
    with pytest.raises(kind, match=words), recipe_of(model(), {**GIVEN, **given}):
        pass


def test_arguments_of_a_factory_are_python_s_own() -> None:
    with recipe_of(
        "python:nets.py:net", {"model_arg": {"depth": 2, "dims": [8, 9], "pool": "avg"}}
    ) as recipe:
        assert recipe.model_arg == {"depth": "2", "dims": "[8, 9]", "pool": "avg"}


def test_the_command_line_has_no_module_and_a_plan_alone_brings_none(tmp_path: Path) -> None:
    with pytest.raises(edgevit.UsageError, match="in the memory of a Python program"):
        SOURCES.get("module").load(LoadRequest("module:nets.Net", "nets.Net"))
    made = {"settings": {"model": "module:nets.Net"}, "weights_sha256": "0", "calibration_digest": None}
    (tmp_path / "plan.json").write_text(json.dumps({"schema_version": 2, "made_with": made, "plans": []}))
    with pytest.raises(edgevit.UsageError, match="made with module:nets.Net, a module in the memory"):
        remembered(tmp_path, {})
    assert remembered(tmp_path, {"model": "module:nets.Net"}) == {}


def test_a_worker_reads_a_module_in_its_sandbox(capfd: pytest.CaptureFixture[str]) -> None:
    given = {**GIVEN, "labels": ["cat", "dog", "fox"], "to": ["onnx"], "precision": ["w8"]}
    with steps_forked():
        answer = edgevit.quantize(make().eval(), **given, dry_run=True)
    assert capfd.readouterr().err == ""  # nobody looks into a pipe
    assert answer.exit_code == 0 and answer.data["model"] == "Net"
    (plan,) = answer.data["plans"]  # type: ignore[misc]
    layers = ("body:conv", "mix:linear", "again:linear", "head:linear")
    assert {site["site"] for site in plan["sites"]} == {f"model.{layer}" for layer in layers}


@pytest.mark.family
def test_a_module_is_converted_executed_and_run(tmp_path: Path) -> None:
    from PIL import Image

    net = make().eval()
    report = edgevit.convert(
        net, **GIVEN, labels=["cat", "dog", "fox"], to=["onnx"], precision=["fp32"], output=tmp_path / "out"
    )
    (file,) = report.artifacts
    assert file.verdict == "pass" and report.folder == tmp_path / "out" and file.path is not None
    assert report.model.source == f"module:{Net.__module__}.Net"
    made = json.loads((report.folder / "plan.json").read_text())["made_with"]["settings"]
    assert set(made) == {"model", "image_size", "preprocess", "to", "precision"}
    assert str(tmp_path.parent) not in (report.folder / "report.json").read_text()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    answer = edgevit.run(report.folder / file.path, tmp_path / "x.png", top=1)
    values = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        logits = net(torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None])
    (found,) = answer.data["images"][0]["classes"]  # type: ignore[index]
    assert found["label"] == ["cat", "dog", "fox"][int(logits.argmax())]
    assert found["logit"] == pytest.approx(float(logits.max()), abs=1e-4)
