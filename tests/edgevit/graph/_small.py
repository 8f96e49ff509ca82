"""Small models with all weights and norm statistics random, so that no rewrite can hide behind zeros and ones."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

from edgevit.core.disk.digest import module_digest
from edgevit.core.plugins import Rewrite
from edgevit.core.types import Graph, ModelSpec, Preprocess, TensorSpec, TorchModel
from edgevit.graph.export import export_model
from edgevit.graph.rewrites import fold_batch_norm, remove_aliases, split_attention

SIZE = 16
REWRITES: dict[str, Rewrite] = {
    "remove_aliases": remove_aliases.REWRITE,
    "split_attention": split_attention.REWRITE,
    "fold_batch_norm": fold_batch_norm.REWRITE,
}


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                tensor.copy_(0.5 + noise.abs() if name.endswith("running_var") else 0.3 * noise + 0.05)
    return module.eval().requires_grad_(False)


def model_of(module: nn.Module, outputs: int = 1, size: int = SIZE) -> TorchModel:
    spec = ModelSpec(
        name="small",
        source="test",
        preprocess=Preprocess(size, size, (size, size)),
        outputs=tuple(TensorSpec(f"out{i}", (1,), "float32") for i in range(outputs)),
        labels=(),
        weights_sha256=module_digest(module),
        parameters=sum(p.numel() for p in module.parameters()),
    )
    return TorchModel(spec, module)


def graph_of(module: nn.Module, **rewrites: Rewrite) -> Graph:
    return export_model(model_of(module), rewrites or REWRITES)


def images(count: int = 5, size: int = SIZE) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(7))


def db(reference: torch.Tensor, other: torch.Tensor) -> float:
    signal, noise = reference.double().square().sum(), (reference.double() - other.double()).square().sum()
    return float(10 * torch.log10(signal / noise.clamp(min=1e-300)))


class ConvNet(nn.Module):
    """Convolutions with batch norm, one of them grouped, one without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.SiLU())
        self.depth = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.BatchNorm2d(8, eps=1e-2), nn.SiLU())
        self.head = nn.Linear(8, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.depth(self.stem(image)).mean((2, 3)))
        return out


class Attention(nn.Module):
    """Two heads on four tokens of eight channels."""

    def __init__(self, dim: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        batch, tokens, dim = value.shape
        q, k, v = (
            self.qkv(value)
            .reshape(batch, tokens, 3, self.heads, dim // self.heads)
            .permute(2, 0, 3, 1, 4)
            .unbind(0)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        out: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))
        return out


class Vit(nn.Module):
    """Patches, two blocks, a mean, a head; the whole transformer in eight channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 8, 8)
        self.norm1 = nn.ModuleList([nn.LayerNorm(8), nn.LayerNorm(8)])
        self.attn = nn.ModuleList([Attention(), Attention()])
        self.norm2 = nn.ModuleList([nn.LayerNorm(8), nn.LayerNorm(8)])
        self.mlp = nn.ModuleList(
            [nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.1), nn.Linear(16, 8)) for _ in range(2)]
        )
        self.head = nn.Linear(8, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value = self.patch(image).flatten(2).transpose(1, 2)
        for norm1, attn, norm2, mlp in zip(self.norm1, self.attn, self.norm2, self.mlp, strict=True):
            value = value + attn(norm1(value))
            value = value + mlp(norm2(value))
        out: torch.Tensor = self.head(value.mean(1))
        return out


def conv_net() -> nn.Module:
    return randomised(ConvNet())


def vit() -> nn.Module:
    return randomised(Vit())


@cache
def conv_graph() -> Graph:
    """Exported once; for tests that only read."""
    return graph_of(conv_net())


@cache
def vit_graph() -> Graph:
    """Exported once; for tests that only read."""
    return graph_of(vit())
