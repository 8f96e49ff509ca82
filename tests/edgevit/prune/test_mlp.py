"""The whole method on small models of several libraries."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from edgevit.core.disk.digest import module_digest
from edgevit.core.errors import InputError, UnsupportedError, UsageError
from edgevit.core.types import ModelSpec, Preprocess, TensorSpec, TorchModel
from edgevit.prune import _pairs, mlp

SIZE = 32


def model_of(module: nn.Module, size: int = SIZE) -> TorchModel:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():  # heads and scales that start at 0 would hide everything
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    spec = ModelSpec(
        name="small",
        source="test",
        preprocess=Preprocess(size, size, (size, size)),
        outputs=(TensorSpec("logits", (1, 4), "float32"),),
        labels=(),
        weights_sha256=module_digest(module),
        parameters=sum(p.numel() for p in module.parameters()),
    )
    return TorchModel(spec, module.eval())


def images(count: int = 24, size: int = SIZE) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def timm_vit() -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    return VisionTransformer(img_size=SIZE, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=4)


def hf_vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        image_size=SIZE,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = ViTForImageClassification(config)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.model(image).logits
            return out

    return Logits()


def torchvision_vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    return VisionTransformer(SIZE, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=64, num_classes=4)


def torch_encoder() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, dim_feedforward=64, batch_first=True, norm_first=True)
    return nn.Sequential(
        nn.Conv2d(3, 16, 8, 8),
        nn.Flatten(2),
        Transpose(),
        nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
    )


class Transpose(nn.Module):
    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value.transpose(1, 2)


class Tokens(nn.Module):
    """Patches -> tokens -> `body`, as a frame for one MLP of interest."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 8, 8)
        self.body = body

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(self.patch(image).flatten(2).transpose(1, 2))
        return out


class QuickGelu(nn.Module):
    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value * torch.sigmoid(1.702 * value)


class Leaky(nn.Module):
    """The hidden neurons are read twice: by the next layer and by a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 64), nn.Linear(64, 16)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.first(value))
        out: torch.Tensor = self.second(hidden) + hidden.sum(-1, keepdim=True)
        return out


def mlp_of(act: nn.Module, bias: bool = True) -> nn.Module:
    return nn.Sequential(nn.Linear(16, 64, bias=bias), act, nn.Dropout(0.1), nn.Linear(64, 16, bias=bias))


@pytest.mark.parametrize("make", [timm_vit, hf_vit, torchvision_vit, torch_encoder])
def test_mlps_of_every_library_become_smaller_and_the_given_model_stays(make: object) -> None:
    assert callable(make)
    model = model_of(make())
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    pruned, lines = mlp.prune(model, 0.25, images())
    assert len(lines) == 2
    assert all("64 -> 48 hidden neurons (-25.0 % MACs)" in line for line in lines)
    widths = [m.in_features for m in pruned.module.modules() if isinstance(m, nn.Linear)]
    assert widths.count(48) == 2 and 64 not in widths
    removed = 2 * 16 * (16 + 1 + 16)
    assert pruned.spec.parameters == model.spec.parameters - removed
    assert pruned.spec.parameters == sum(p.numel() for p in pruned.module.parameters())
    assert pruned.spec.weights_sha256 == module_digest(pruned.module) != model.spec.weights_sha256
    assert before.keys() == model.module.state_dict().keys()
    assert all(torch.equal(v, before[k]) for k, v in model.module.state_dict().items())
    with torch.no_grad():
        assert pruned.module(images(3)).shape == model.module(images(3)).shape
    torch.export.export(pruned.module, (images(1),), strict=False)


def test_mobilevit_blocks_are_pruned_and_its_convolutions_are_not() -> None:
    import timm

    torch.manual_seed(0)
    model = model_of(timm.create_model("mobilevit_xxs", num_classes=4), 64)
    pairs = _pairs.find_pairs(model.module, images(1, 64))
    assert len(pairs) == 9
    assert all(p.first.endswith("mlp.fc1") and p.second == p.first.replace("fc1", "fc2") for p in pairs)


def test_the_fold_keeps_outputs_closer_than_removal_by_magnitude() -> None:
    model = model_of(timm_vit())
    pruned, _ = mlp.prune(model, 0.5, images(64))
    crude = timm_vit()
    crude.load_state_dict(model.module.state_dict())
    for pair in _pairs.find_pairs(crude, images(1)):
        first, second = crude.get_submodule(pair.first), crude.get_submodule(pair.second)
        norms = first.weight.square().sum(1) + second.weight.square().sum(0)
        gone = norms.topk(32, largest=False).indices
        with torch.no_grad():
            second.weight[:, gone] = 0
    unseen = torch.randn(32, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        wanted = model.module(unseen)
        error = (pruned.module(unseen) - wanted).square().mean()
        crude_error = (crude.eval()(unseen) - wanted).square().mean()
    assert error < 0.25 * crude_error


def test_redundant_neurons_go_without_changing_the_output() -> None:
    torch.manual_seed(0)
    body = mlp_of(nn.GELU())
    with torch.no_grad():
        for tensor in (body[0].weight, body[0].bias):
            tensor[48:] = tensor[:16]  # 16 of 64 neurons are copies
    model = dataclasses.replace(model_of(Tokens(nn.Identity())), module=Tokens(body).eval())
    pruned, _ = mlp.prune(model, 0.25, images())
    with torch.no_grad():
        old, new = model.module(images(4)), pruned.module(images(4))
    torch.testing.assert_close(new, old, rtol=0, atol=2e-3)


def test_a_layer_without_bias_gains_one_for_the_mean_of_what_was_removed() -> None:
    model = model_of(Tokens(mlp_of(nn.ReLU(), bias=False)))
    pruned, _ = mlp.prune(model, 0.25, images())
    assert pruned.module.get_submodule("body.0").bias is None
    assert pruned.module.get_submodule("body.3").bias.shape == (16,)


@pytest.mark.parametrize(
    "act", [nn.SiLU(), nn.ReLU(inplace=True), nn.Hardswish(), nn.Tanh(), QuickGelu(), nn.LeakyReLU()]
)
def test_every_elementwise_activation_is_recognised(act: nn.Module) -> None:
    assert _pairs.find_pairs(Tokens(mlp_of(act)).eval(), images(1)) == (_pairs.Pair("body.0", "body.3"),)


@pytest.mark.parametrize(
    "body",
    [
        Leaky(),
        nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 16)),
        nn.Sequential(nn.Linear(16, 64), nn.GLU(), nn.Linear(32, 16)),
        nn.Sequential(nn.Linear(16, 64), nn.Linear(64, 16)),
        nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.GELU(), nn.Linear(64, 16)),
    ],
    ids=["read twice", "norm between", "gated", "no activation", "one vector per image"],
)
def test_what_is_not_a_plain_mlp_on_tokens_is_refused(body: nn.Module) -> None:
    with pytest.raises(UnsupportedError, match="no transformer MLP"):
        mlp.prune(model_of(Tokens(body)), 0.25, images(2))


def test_a_layer_that_is_called_twice_is_left_alone() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.own = mlp_of(nn.GELU()), mlp_of(nn.GELU())

        def forward(self, value: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.own(self.shared(value) + self.shared(2 * value))
            return out

    found = _pairs.find_pairs(Tokens(Twice()).eval(), images(1))
    assert found == (_pairs.Pair("body.own.0", "body.own.3"),)


@pytest.mark.parametrize("amount", [0.0, 1.0, -0.5, 2.0, float("nan")])
def test_an_amount_outside_zero_to_one_is_a_usage_error(amount: float) -> None:
    with pytest.raises(UsageError, match="fraction"):
        mlp.prune(model_of(Tokens(mlp_of(nn.GELU()))), amount, images(2))


def test_no_images_and_images_that_give_nan_are_input_errors() -> None:
    model = model_of(Tokens(mlp_of(nn.GELU())))
    with pytest.raises(InputError, match="none"):
        mlp.prune(model, 0.25, images(0))
    with pytest.raises(InputError, match="body.3 is not finite"):
        mlp.prune(model, 0.25, torch.full((1, 3, SIZE, SIZE), float("nan")))


def test_a_model_that_cannot_be_traced_is_unsupported() -> None:
    class Branching(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image if float(image.sum()) > 0 else -image

    with pytest.raises(UnsupportedError, match="cannot trace"):
        mlp.prune(model_of(Branching()), 0.25, images(1))
