"""The table of sites in a package, and operations that stay in float32, against the graph's own values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from converters.coreml import TARGET
from edgevit.core.errors import UsageError
from edgevit.core.runner import RunOptions
from edgevit.program.run import run
from edgevit.program.sites import list_sites, site_of
from edgevit.runtimes.coreml_reference import RUNTIME as REFERENCE
from tests._sqnr import sqnr
from tests.converters.coreml._models import (
    Hybrid,
    Vit,
    converted,
    exported,
    image_batch,
    normalised,
    operations,
    read,
)


def _table(path: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(read(path)[0].description.metadata.userDefined["edgevit.sites"])
    return found


@pytest.mark.parametrize("kind", [Vit, Hybrid])
@pytest.mark.parametrize(("precision", "least"), [("fp32", 80.0), ("fp16", 40.0)])
def test_the_package_names_the_value_of_each_site(
    kind: type[nn.Module], precision: str, least: float
) -> None:
    made = converted(kind, precision)
    table = _table(made.path)
    pixels = image_batch(2)

    def seen(node: torch.fx.Node, value: Any) -> dict[str, torch.Tensor]:
        several = value if isinstance(value, tuple | list) else (value,)
        names = [f"{site_of(node)}#{i}" for i in range(len(several))] if len(several) > 1 else [site_of(node)]
        return dict(zip(names, several, strict=True)) if node.op == "call_function" else {}

    wanted = run(made.graph, normalised(pixels, made.spec), observe=seen)[1]
    with REFERENCE.open(made.path, RunOptions(threads=1, taps=tuple(table.values()))) as runner:
        found = runner.run(pixels)
    for site, name in table.items():
        expected = wanted[site].numpy().reshape(len(pixels), -1)
        assert sqnr(expected, found[name].astype(np.float32).reshape(len(pixels), -1)) >= least, site
    kinds = ("linear", "conv", "layer_norm", "softmax", "gelu", "silu", "add", "qk", "av")
    must = {site.name for site in list_sites(made.graph) if site.kind in kinds}
    assert must and must <= set(table)


def test_quantized_files_name_the_same_sites() -> None:
    assert set(_table(converted(Vit, "w8a8").path)) == set(_table(converted(Vit, "fp16").path))


def test_chosen_sites_compute_in_float32_in_a_float16_file(tmp_path: Path) -> None:
    _, graph, spec = exported(Vit)
    chosen = frozenset({"blocks.0.norm2:layer_norm", "blocks.1.fc1:linear"})
    path = tmp_path / "m.mlpackage"
    sites = TARGET.write(TARGET.prepare(graph, spec, {}), "fp16", None, path, chosen)
    values = {o.name: o for op in operations(path) for o in op.outputs}
    types = {site: values[name].dtype.__name__ for site, name in _table(path).items()}
    assert {site for site, kind in types.items() if kind == "fp32"} == chosen
    by_site = {site.site: values[site.output] for site in sites}
    assert by_site["blocks.1.fc1:linear"].op.weight.val.dtype == np.float32
    assert by_site["blocks.1.fc2:linear"].op.weight.val.dtype == np.float16


def test_a_name_that_is_no_site_is_refused(tmp_path: Path) -> None:
    _, graph, spec = exported(Vit)
    with pytest.raises(UsageError, match="blocks.9") as caught:
        TARGET.write(
            TARGET.prepare(graph, spec, {}), "fp16", None, tmp_path / "m.mlpackage", frozenset({"blocks.9"})
        )
    assert caught.value.hint
