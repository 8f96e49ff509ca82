"""Branches that a model fuses itself: in each way in which the ecosystem offers it, and only where it is exact."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgevit.graph import reparameterize
from edgevit.graph.export import export_model
from tests.edgevit.graph import _small as small
from tests.edgevit.graph.rewrites import _rewritten as r


class Branches(nn.Module):
    """RepVGG's block: a 3x3 and a 1x1 convolution and the identity, each with a batch norm, added."""

    def __init__(self, wide: int = 8) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(wide, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide))
        self.point = nn.Sequential(nn.Conv2d(wide, wide, 1, bias=False), nn.BatchNorm2d(wide))
        self.same = nn.BatchNorm2d(wide)
        self.one: nn.Conv2d | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = (
            self.wide(x) + self.point(x) + self.same(x) if self.one is None else self.one(x)
        ).relu()
        return out

    def joined(self) -> nn.Conv2d:
        conv = nn.Conv2d(len(self.same.weight), len(self.same.weight), 3, padding=1)
        kernel, bias = torch.zeros_like(conv.weight), torch.zeros_like(conv.bias)
        unit = torch.eye(len(self.same.weight))[:, :, None, None]
        for weight, norm in (
            (self.wide[0].weight, self.wide[1]),
            (nn.functional.pad(self.point[0].weight, [1] * 4), self.point[1]),
            (nn.functional.pad(unit, [1] * 4), self.same),
        ):
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            kernel, bias = (
                kernel + weight * gain[:, None, None, None],
                bias + norm.bias - norm.running_mean * gain,
            )
        conv.weight.data, conv.bias.data = kernel, bias
        return conv


class InPlace(Branches):
    def switch_to_deploy(self) -> None:
        self.one = self.joined()
        del self.wide, self.point, self.same


class Returning(Branches):
    def fuse(self, verbose: bool = False) -> nn.Module:
        return nn.Sequential(self.joined(), nn.ReLU())


class Whole(nn.Module):
    """The method belongs to the model, and gives another one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 8, 3), Branches()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.block(self.stem(image))
        return out

    def reparameterize(self) -> nn.Module:
        return nn.Sequential(self.stem, self.block.joined(), nn.ReLU())


class Wrong(Branches):
    def reparameterize(self) -> None:
        self.one = self.joined()
        assert self.one.bias is not None
        self.one.bias.data[0] += 1e-2


class Failing(Branches):
    def fuse(self) -> nn.Module:
        raise AttributeError("no attribute 'rbr_dense'")


class Other(Branches):
    """`fuse` is a layer here, and `reparameterize` wants what only the model has."""

    def __init__(self) -> None:
        super().__init__()
        self.fuse = nn.Conv2d(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fuse(super().forward(x))
        return out

    def reparameterize(self, mean: torch.Tensor) -> torch.Tensor:
        raise AssertionError("not asked for")


def _blocks() -> nn.Module:
    """A convolution, then one block of each kind, each of which becomes one more."""
    from timm.models import byobnet, fastvit, repvit

    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        InPlace(),
        Returning(),
        byobnet.RepVggBlock(8, 8),
        byobnet.MobileOneBlock(8, 8, num_conv_branches=2),
        fastvit.MobileOneBlock(8, 8, 3, num_conv_branches=2),
        fastvit.RepMixer(8, layer_scale_init_value=0.1),
        fastvit.RepConditionalPosEnc(8, 8, (3, 3)),
        repvit.RepVggDw(8, 3),
    )


@pytest.mark.parametrize(("made", "layers"), [(_blocks, 9), (Whole, 2)])
def test_one_convolution_is_left_of_each_block_and_gives_the_same(
    made: Callable[[], nn.Module], layers: int
) -> None:
    module = small.randomised(made())
    before = set(module.state_dict())
    graph = export_model(small.model_of(module), {})
    assert graph.rewrites == ("reparameterize",)
    kinds = r.kinds(graph)
    assert kinds["conv"] == layers and not kinds["batch_norm"] and not kinds["add"], kinds
    assert r.difference(graph, module) > 110
    (note,) = graph.notes
    assert "fused" in note and "--without reparameterize" in note
    assert before == set(module.state_dict()), "the model that was given stays the reference"


def test_it_can_be_switched_off() -> None:
    graph = export_model(small.model_of(small.randomised(Whole())), {}, without=("reparameterize",))
    assert not graph.rewrites and not graph.notes and r.kinds(graph)["conv"] == 3


@pytest.mark.parametrize(("block", "why"), [(Wrong, "the outputs would differ"), (Failing, "rbr_dense")])
def test_what_is_not_exact_stays_as_it_is(block: type[Branches], why: str) -> None:
    module = small.randomised(nn.Sequential(nn.Conv2d(3, 8, 3), block()))
    graph = export_model(small.model_of(module), {})
    assert not graph.rewrites and r.kinds(graph)["conv"] == 3
    (note,) = graph.notes
    assert "not fused" in note and why in note
    assert r.difference(graph, module) > 110


def test_a_layer_or_a_method_with_arguments_is_something_else() -> None:
    module = small.randomised(nn.Sequential(nn.Conv2d(3, 8, 3), Other()))
    noise = torch.zeros(1, 3, small.SIZE, small.SIZE)
    assert reparameterize.reparameterize(module, noise) == reparameterize.Fused(module)
