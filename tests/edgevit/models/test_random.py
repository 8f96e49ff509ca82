"""Seeded random weights."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import timm
import torch

from edgevit.core.errors import StepError, UnsupportedError
from edgevit.models._random import randomise


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", {"depth": 2, "img_size": 64, "init_values": 1e-6, "num_classes": 5}),
        ("mobilevit_xxs", {"num_classes": 5}),
        ("swinv2_tiny_window8_256", {"img_size": 64, "depths": (1, 1, 2, 1), "window_size": 2}),
        ("resnet18", {"zero_init_last": True}),
    ],
)
def test_every_floating_parameter_varies_and_activations_stay_moderate(
    name: str, options: dict[str, object]
) -> None:
    module = timm.create_model(name, **options)
    before = {key: value.clone() for key, value in module.named_buffers()}
    randomise(module, 0, (64, 64))
    for key, parameter in module.named_parameters():
        assert bool(torch.isfinite(parameter).all()), key
        assert float((parameter != 0).float().mean()) > 0.999, key
        assert parameter.numel() == 1 or float(parameter.detach().std()) > 0, key
    for key, buffer in module.named_buffers():
        if key.endswith("running_var"):
            assert float(buffer.min()) >= 0.5 and float(buffer.max()) <= 2, key
        elif not key.endswith("running_mean"):
            assert torch.equal(buffer, before[key]), key
    peaks: list[float] = []
    for part in module.modules():
        part.register_forward_hook(
            lambda m, i, o: peaks.append(float(o.abs().max())) if isinstance(o, torch.Tensor) else None
        )
    with torch.no_grad():
        logits = module.eval()(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    assert max(peaks) <= 1000
    assert float((logits - logits.mean(0)).std()) > 0.01  # the image matters


@pytest.mark.family
@pytest.mark.parametrize("seed", [0, 1])
def test_rounding_is_not_amplified(seed: int) -> None:
    """DaViT adds up products of all its tokens before a softmax, which chose one alone: 78 dB."""
    module = timm.create_model("davit_tiny", depths=(1, 1, 3, 1))
    randomise(module, seed, (224, 224))
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        single = module(image).double()
        double = module.double()(image.double())
    assert 10 * torch.log10(double.square().sum() / (double - single).square().sum()) > 100


def test_values_depend_on_seed_and_name_alone() -> None:
    def build(order: str) -> torch.nn.Module:
        torch.manual_seed(ord(order[0]))
        parts = {"a": torch.nn.Conv2d(3, 3, 1), "b": torch.nn.Conv2d(3, 3, 1)}
        return torch.nn.Sequential(OrderedDict((key, parts[key]) for key in order))

    first, second, other = build("ab"), build("ba"), build("ab")
    randomise(first, 7, (8, 8))
    randomise(second, 7, (8, 8))
    randomise(other, 8, (8, 8))
    assert torch.equal(first.a.weight, second.a.weight) and torch.equal(first.b.bias, second.b.bias)
    assert not torch.equal(first.a.weight, other.a.weight) and not torch.equal(first.a.weight, first.b.weight)


def test_tied_parameters_stay_tied() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(3, 3, 1))
    module[1].weight = module[0].weight
    randomise(module, 0, (4, 4))
    assert module[1].weight is module[0].weight


def test_a_size_that_the_model_refuses_is_named() -> None:
    module = timm.create_model("vit_tiny_patch16_224", depth=1)
    with pytest.raises(StepError, match="VisionTransformer fails on one 64x64 image"):
        randomise(module, 0, (64, 64))


class _Scaled(torch.nn.Module):
    """What a fixed transform of pixels from 0 to 255 gives is large, and its own statistics bring it back."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.large, self.head = torch.nn.Threshold(-1e9, 0), torch.nn.Conv2d(3, 4, 3)
        self.scale = scale

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.large(image * self.scale) / self.scale).mean((2, 3))
        return out


def test_large_values_that_no_weight_made_do_not_count() -> None:
    found = []
    for scale in (1.0, 2.0**14):
        module = _Scaled(scale)
        randomise(module, 0, (16, 16))
        found.append(module.head.weight)
    assert torch.equal(*found)
    module = _Scaled(1.0)
    module.head = torch.nn.Sequential(module.head, torch.nn.Conv2d(4, 4, 1), _Large())  # type: ignore[assignment]
    with pytest.raises(UnsupportedError, match="activations as large as"):
        randomise(module, 0, (16, 16))


class _Large(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value * 1e7 * self.gain
