"""The site names inside an ONNX file, against PyTorch's own values."""

from __future__ import annotations

from pathlib import Path

import onnx
import timm
import torch

from converters.onnx import TARGET
from edgevit.core.runner import RunOptions
from edgevit.program.run import run
from edgevit.program.sites import site_of
from edgevit.runtimes.onnxruntime import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _small_models as models


def _observe(node: torch.fx.Node, value: torch.Tensor) -> dict[str, torch.Tensor]:
    return {site_of(node): value} if isinstance(value, torch.Tensor) and node.op != "placeholder" else {}


def test_every_node_carries_its_site_and_the_last_one_makes_its_output(tmp_path: Path) -> None:
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=1, embed_dim=64, num_heads=2, num_classes=10
    )
    graph = models.graph_of(module)
    out = tmp_path / "model.onnx"
    TARGET.write(TARGET.prepare(graph, models.spec_of(10), {"attention": "split"}), "fp32", None, out)
    nodes = onnx.load(out).graph.node
    carried = [{p.key: p.value for p in node.metadata_props}.get("edgevit.site") for node in nodes]
    assert None not in carried
    last = {site: node.output[0] for site, node in zip(carried, nodes, strict=True) if len(node.output) == 1}
    _, seen = run(graph, models.normalised(models.pixels(2)), observe=_observe)
    found = last.keys() & seen.keys()
    assert {"patch_embed.proj:conv", "blocks.0.attn:qk", "blocks.0.attn:av", "blocks.0:add.1"} <= found
    with RUNTIME.open(out, RunOptions(1, tuple(last.values()))) as runner:
        values = runner.run(models.pixels(2))
    for site in found:
        assert sqnr(seen[site], values[last[site]]) > 100, site
