"""Each source: the right outputs, preprocessing, and messages."""

from __future__ import annotations

import io
import json
import os
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from edgevit.core.errors import EdgevitError, InputError, StepError, UnsupportedError, UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.core.settings.model_text import parse_source
from edgevit.core.types import TorchModel
from edgevit.models._hf.config import without_code
from edgevit.registries import SOURCES

SMALL = {"depth": "2", "embed_dim": "24", "num_heads": "2"}
IMAGENET = {"normalize": "imagenet"}
IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def load(text: str, **options: object) -> TorchModel:
    source, argument = parse_source(text)
    return SOURCES.get(source).load(LoadRequest(text, argument, **options))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


# ------------------------------------------------------------------ timm


def test_timm_file_weights_give_timm_s_own_logits(tmp_path: Path) -> None:
    reference = timm.create_model("vit_tiny_patch16_224", depth=2, embed_dim=24, num_heads=2, img_size=32,
                                  num_classes=5).eval()  # fmt: skip
    save_file(reference.state_dict(), tmp_path / "w.safetensors")
    model = load("timm:vit_tiny_patch16_224", weights=tmp_path / "w.safetensors", model_args=SMALL, num_classes=5,
                 image_size=(32, 32), labels=tuple("abcde"))  # fmt: skip
    torch.testing.assert_close(model.module(IMAGE), reference(IMAGE), rtol=0, atol=0)
    assert model.spec.outputs[0].name == "logits" and model.spec.outputs[0].shape == (1, 5)
    assert model.spec.preprocess.resize == (35, 35) and model.spec.preprocess.mean == (0.5, 0.5, 0.5)
    origin = (
        "timm's configuration of vit_tiny_patch16_224.augreg_in21k_ft_in1k, since w.safetensors holds none"
    )
    assert model.spec.preprocess_origin == origin and model.spec.warnings == ()
    assert model.spec.parameters == sum(p.numel() for p in reference.parameters())
    assert not model.module.training and not any(p.requires_grad for p in model.module.parameters())


def test_timm_distilled_and_headless_models_have_one_output() -> None:
    options = {"random_weights": 0, "image_size": (32, 32), "model_args": SMALL}
    distilled = load("timm:deit_tiny_distilled_patch16_224", **options)
    assert [o.name for o in distilled.spec.outputs] == ["logits"] and len(distilled.spec.labels) == 1000
    assert load("timm:vit_tiny_patch16_224", num_classes=0, **options).spec.outputs[0].name == "features"


def test_the_digest_follows_the_weights() -> None:
    options = {"image_size": (32, 32), "model_args": SMALL}
    digests = [
        load("timm:vit_tiny_patch16_224", random_weights=s, **options).spec.weights_sha256 for s in (1, 1, 2)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_timm_reads_jax_checkpoints(tmp_path: Path) -> None:
    reference = timm.create_model("vit_tiny_patch16_224", depth=1, embed_dim=8, num_heads=2, img_size=32,
                                  num_classes=3).eval()  # fmt: skip
    state = {key: value.detach().numpy() for key, value in reference.state_dict().items()}
    block, heads = "Transformer/encoderblock_0/", "MultiHeadDotProductAttention_1/"
    jax = {
        "embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "cls": state["cls_token"],
        "Transformer/posembed_input/pos_embedding": state["pos_embed"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": state["head.weight"].T,
        "head/bias": state["head.bias"],
        block + "LayerNorm_0/scale": state["blocks.0.norm1.weight"],
        block + "LayerNorm_0/bias": state["blocks.0.norm1.bias"],
        block + "LayerNorm_2/scale": state["blocks.0.norm2.weight"],
        block + "LayerNorm_2/bias": state["blocks.0.norm2.bias"],
        block + heads + "out/kernel": state["blocks.0.attn.proj.weight"].T.reshape(2, 4, 8),
        block + heads + "out/bias": state["blocks.0.attn.proj.bias"],
    }
    for index, part in enumerate(("query", "key", "value")):
        rows = slice(8 * index, 8 * index + 8)
        jax[block + heads + part + "/kernel"] = state["blocks.0.attn.qkv.weight"][rows].T.reshape(8, 2, 4)
        jax[block + heads + part + "/bias"] = state["blocks.0.attn.qkv.bias"][rows].reshape(2, 4)
    for index in (0, 1):
        jax[f"{block}MlpBlock_3/Dense_{index}/kernel"] = state[f"blocks.0.mlp.fc{index + 1}.weight"].T
        jax[f"{block}MlpBlock_3/Dense_{index}/bias"] = state[f"blocks.0.mlp.fc{index + 1}.bias"]
    path = tmp_path / "w.npz"
    np.savez(path, **jax)
    options = {"weights": path, "image_size": (32, 32)}
    one = {"depth": "1", "embed_dim": "8", "num_heads": "2"}
    model = load("timm:vit_tiny_patch16_224", num_classes=3, model_args=one, **options)
    torch.testing.assert_close(model.module(IMAGE), reference(IMAGE))
    with pytest.raises(InputError, match="1 blocks, the model has 2"):
        load("timm:vit_tiny_patch16_224", num_classes=3, model_args={**one, "depth": "2"}, **options)
    with pytest.raises(InputError, match="has 3 classes, --num-classes asks for 4"):
        load("timm:vit_tiny_patch16_224", num_classes=4, model_args=one, **options)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        load("timm:vit_tiny_patch17_224")
    assert "vit_tiny_patch16_224" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        load("torchvision:resnet19", random_weights=0)
    assert "resnet18" in caught.value.hint
    with pytest.raises(UsageError, match="tag"):
        load("timm:vit_tiny_patch16_224.nope")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("text", ["timm:resnet10t", "torchvision:squeezenet1_1", "hf:nobody/nothing"])
def test_no_weights_and_no_network_names_both_flags(text: str) -> None:
    with pytest.raises(InputError) as caught:
        load(text)
    assert "--weights" in caught.value.hint and "--random-weights" in caught.value.hint


def test_wrong_flags_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exclude"):
        load("timm:resnet10t", weights=tmp_path / "x.pth", random_weights=0)
    with pytest.raises(UsageError, match="nonsense"):
        load("timm:resnet10t", random_weights=0, model_args={"nonsense": "1"})
    with pytest.raises(UsageError, match="--num-classes"):
        load("demo", num_classes=3)


def test_labels_of_another_number_are_refused_with_both_numbers() -> None:
    with pytest.raises(InputError, match="2 labels, but the model has 5 classes"):
        load("timm:vit_tiny_patch16_224", random_weights=0, num_classes=5, labels=("a", "b"), model_args=SMALL,
             image_size=(32, 32))  # fmt: skip


# ------------------------------------------------------------------ hf


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ViTConfig, ViTForImageClassification

    folder = tmp_path_factory.mktemp("hf") / "tiny"
    config = ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                       image_size=32, patch_size=8, id2label={0: "cat", 1: "dog"},
                       label2id={"cat": 0, "dog": 1})  # fmt: skip
    torch.manual_seed(0)
    ViTForImageClassification(config).save_pretrained(folder)
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 32, "width": 32},
        "resample": 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_hf_folder_gives_transformers_own_logits(hf_folder: Path) -> None:
    from transformers import AutoModelForImageClassification

    model = load(f"hf:{hf_folder}")
    expected = AutoModelForImageClassification.from_pretrained(hf_folder)(pixel_values=IMAGE).logits
    torch.testing.assert_close(model.module(IMAGE), expected)
    assert model.spec.labels == ("cat", "dog") and model.spec.name == "tiny"
    assert model.spec.preprocess.interpolation == "bicubic" and model.spec.outputs[0].name == "logits"


def test_hf_pytorch_file_and_random_weights(hf_folder: Path, tmp_path: Path) -> None:
    folder = copy(hf_folder, tmp_path / "bin")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert load(f"hf:{folder}").spec.weights_sha256 == load(f"hf:{hf_folder}").spec.weights_sha256
    assert (
        load(f"hf:{folder}", random_weights=1).spec.weights_sha256 != load(f"hf:{folder}").spec.weights_sha256
    )


def test_hf_weights_that_do_not_fit_are_named(hf_folder: Path, tmp_path: Path) -> None:
    folder = copy(hf_folder, tmp_path / "bad")
    state = load_file(folder / "model.safetensors")
    del state["classifier.bias"]
    save_file(
        {**state, "zz": torch.zeros(1), "vit.layernorm.weight": torch.zeros(3)}, folder / "model.safetensors"
    )
    with pytest.raises(InputError) as caught:
        load(f"hf:{folder}")
    for part in ("missing: classifier.bias", "unexpected: zz", "layernorm.weight ((3,) in the file"):
        assert part in caught.value.message


def test_hf_never_runs_the_code_of_a_repository(hf_folder: Path, tmp_path: Path) -> None:
    folder = copy(hf_folder, tmp_path / "code")
    marker = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass C: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.C", "AutoModelForImageClassification": "evil.C"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedError, match="'evil'"):
        load(f"hf:{folder}")
    kernels = {
        "attn_implementation": "someone/kernels",
        "nested": {"_attn_implementation": "someone/kernels"},
    }
    (folder / "config.json").write_text(json.dumps({**config, **kernels, "model_type": "vit"}))
    load(f"hf:{folder}")  # with the kernels, transformers would fetch a library and load it
    assert without_code(kernels) == {"nested": {}}
    assert not marker.exists()


def test_hf_broken_files_are_input_errors(hf_folder: Path, tmp_path: Path) -> None:
    folder = copy(hf_folder, tmp_path / "broken")
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json"):
        load(f"hf:{folder}")
    with pytest.raises(InputError, match="not a folder"):
        load(f"hf:{tmp_path}/none")


# ------------------------------------------------------------------ torchvision, python, exported, demo


def test_torchvision_takes_preprocessing_and_labels_from_the_record() -> None:
    model = load("torchvision:squeezenet1_1", random_weights=0, image_size=(64, 64))
    assert model.spec.preprocess.resize == (73, 73) and model.spec.preprocess.interpolation == "bilinear"
    assert len(model.spec.labels) == 1000 and model.module(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
    record = "torchvision's record of the weights SqueezeNet1_1_Weights.IMAGENET1K_V1"
    assert model.spec.preprocess_origin == record


FACTORY = """
import torch
class Two(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.head = torch.nn.Linear(3, n)
    def forward(self, image):
        pooled = image.mean((2, 3))
        return {"pooled": pooled, "logits": self.head(pooled)}
def make(n=4): return Two(n)
def broken(): raise KeyError("boom")
def text(): return "no module"
"""


def test_python_factory_with_named_outputs(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FACTORY)
    model = load(
        f"python:{tmp_path}/net.py:make", image_size=(32, 32), model_args={"n": "5"}, preprocess=IMAGENET
    )
    assert [(o.name, o.shape) for o in model.spec.outputs] == [("logits", (1, 5)), ("pooled", (1, 3))]
    assert model.spec.preprocess_origin.startswith("--preprocess (normalize); assumed: color=rgb, resize=32")
    with pytest.raises(
        UsageError, match=r"nothing says how images are prepared for python:.*no pretrained_cfg"
    ):
        load(f"python:{tmp_path}/net.py:make")
    assert [tuple(part.shape) for part in model.module(IMAGE)] == [(2, 5), (2, 3)]


@pytest.mark.parametrize(
    ("factory", "kind"), [("broken", StepError), ("text", InputError), ("mak", UsageError)]
)
def test_python_factory_that_fails_is_a_typed_error(
    tmp_path: Path, factory: str, kind: type[EdgevitError]
) -> None:
    (tmp_path / "net.py").write_text(FACTORY)
    with pytest.raises(kind, match=factory):
        load(f"python:{tmp_path}/net.py:{factory}")


PICKY = """
import torch
class Flat(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3 * 16 * 16, 4))
    def forward(self, x):
        return torch.matmul(x.flatten(1), self.weight)
def make(): return torch.nn.Sequential(torch.nn.Identity(), Flat())
"""


def test_a_size_that_the_model_refuses_is_told_with_operator_module_and_line(tmp_path: Path) -> None:
    (tmp_path / "picky.py").write_text(PICKY)
    load(f"python:{tmp_path}/picky.py:make", image_size=(16, 16), preprocess=IMAGENET)
    for options in ({"preprocess": IMAGENET}, {"random_weights": 1}):
        with pytest.raises(StepError) as caught:
            load(f"python:{tmp_path}/picky.py:make", image_size=(32, 32), **options)
        assert caught.value.exit_code == 3 and "--image-size" in caught.value.hint
        for part in ("32x32", "torch.matmul", "1 (Flat)", "picky.py:8", "shapes cannot be multiplied"):
            assert part in caught.value.message, (part, caught.value.message)


def test_hugging_face_takes_the_head_of_the_checkpoint_where_the_configuration_is_silent(
    tmp_path: Path,
) -> None:
    """A configuration without id2label means two classes to transformers, whatever the weights hold."""
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = ViTConfig(image_size=32, patch_size=16, num_labels=5, **sizes)
    net = ViTForImageClassification(config).eval()
    net.save_pretrained(tmp_path)
    data = json.loads((tmp_path / "config.json").read_text())
    silent = {k: v for k, v in data.items() if k not in ("id2label", "label2id", "num_labels")}
    (tmp_path / "config.json").write_text(json.dumps(silent))
    model = load(f"hf:{tmp_path}", labels=tuple("abcde"))
    image = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(model.module(image), net(pixel_values=image).logits)
    with pytest.raises(InputError, match="2 labels, but the classifier in .* has 5 classes"):
        load(f"hf:{tmp_path}", labels=("a", "b"))
    (tmp_path / "config.json").write_text(json.dumps({**silent, "id2label": {"0": "cat", "1": "dog"}}))
    with pytest.raises(InputError, match="2 labels, but the classifier in .* has 5 classes"):
        load(f"hf:{tmp_path}")


def test_hf_models_without_a_classifier_give_named_features(tmp_path: Path) -> None:
    from transformers import AutoModel, ViTConfig, ViTModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(image_size=32, patch_size=8, **sizes)).save_pretrained(tmp_path / "vit")
    model = load(f"hf:{tmp_path}/vit")
    expected = AutoModel.from_pretrained(tmp_path / "vit")(pixel_values=IMAGE)
    assert [(o.name, o.shape) for o in model.spec.outputs] == [
        ("last_hidden_state", (1, 17, 16)),
        ("pooler_output", (1, 16)),
    ]
    for spec, value in zip(model.spec.outputs, model.module(IMAGE), strict=True):
        torch.testing.assert_close(value, expected[spec.name])
    assert load(f"hf:{tmp_path}/vit", random_weights=1, num_classes=3).spec.outputs[0].shape == (1, 3)


def exported(path: Path) -> torch.nn.Module:
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 5)
    ).eval()
    torch.export.save(torch.export.export(module, (IMAGE[:1],)), path)
    return module


def test_an_exported_program_keeps_its_paths_and_takes_any_batch(tmp_path: Path) -> None:
    reference = exported(tmp_path / "net.pt2")
    model = load(str(tmp_path / "net.pt2"), preprocess=IMAGENET)
    torch.testing.assert_close(model.module(IMAGE), reference(IMAGE))
    with pytest.raises(UsageError, match="a saved program keeps neither mean nor std"):
        load(str(tmp_path / "net.pt2"))
    assert model.spec.preprocess.height == 32 and "model.3" in dict(model.module.named_modules())
    with pytest.raises(UsageError, match="--weights"):
        load(str(tmp_path / "net.pt2"), weights=tmp_path / "x.pth")


def test_a_pickle_inside_a_pt2_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.system, (f"touch {marker}",))

    exported(tmp_path / "good.pt2")
    content = io.BytesIO()
    torch.save(Attack(), content)
    with zipfile.ZipFile(tmp_path / "good.pt2") as good, zipfile.ZipFile(tmp_path / "bad.pt2", "w") as bad:
        for name in good.namelist():
            bad.writestr(
                name, content.getvalue() if name.endswith("sample_inputs/model.pt") else good.read(name)
            )
    with pytest.raises(InputError, match="refused"):
        load(str(tmp_path / "bad.pt2"))
    assert not marker.exists()


def test_a_file_that_is_no_pt2_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "x.pt2").write_bytes(b"hello")
    with pytest.raises(InputError, match="not a .pt2"):
        load(str(tmp_path / "x.pt2"))


def test_the_demo_loads_without_network_and_knows_its_classes() -> None:
    model = load("demo")
    assert len(model.spec.labels) == 10 and model.spec.outputs[0].shape == (1, 10)
    assert model.spec.preprocess_origin == "the demo's own configuration" and model.spec.warnings == ()
    assert model.spec.preprocess.height == 128 and model.spec.preprocess.color == "rgb"


def test_a_size_that_a_model_cannot_be_made_for_names_the_line_and_the_flag() -> None:
    with pytest.raises(StepError, match=r"vision_transformer\.py:\d+: Input shape indivisible") as told:
        load("torchvision:vit_b_32", random_weights=0, image_size=(100, 100))
    assert told.value.exit_code == 3 and "--image-size" in told.value.hint
