"""Which graph a plan belongs to: the folds that its target asks for, as far as they change anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.progress import Event, Stage
from edgevit.program import graph_file
from edgevit.program.run import run
from edgevit.program.sites import list_sites
from edgevit.registries import TARGETS
from edgevit.steps import messages
from edgevit.steps.planning import graph_variants
from tests.edgevit.graph import _small as small
from tests.edgevit.graph._residual import Residual

FREE = ("layernorm_to_rmsnorm", "patches_as_linear")


def placed(*asked: str) -> tuple[BackendCapabilities, ...]:
    found = [TARGETS.get(target).capabilities(precision) for target, precision in (a.split() for a in asked)]
    assert all(found)
    return tuple(p for p in found if p is not None)


def forms_of(
    module: nn.Module, work: Path, *asked: str, calibrated: bool = True
) -> tuple[graph_variants.GraphVariants, list[str]]:
    graph = small.graph_of(small.randomised(module))
    graph_file.save(graph, work / messages.GRAPH)
    told: list[str] = []

    def emit(event: Event) -> None:
        told.extend([event.name] if isinstance(event, Stage) else [])

    return graph_variants.fold(
        graph, small.images() if calibrated else None, placed(*asked), work, emit
    ), told


def test_each_plan_belongs_to_the_graph_of_its_folds_and_all_graphs_compute_the_same(tmp_path: Path) -> None:
    asked = ("onnx w8a8", "coreml w8a8", "tflite w8a8", "tflite w8", "onnx w8", "tflite w4")
    forms, told = forms_of(Residual(), tmp_path, *asked)
    folds = [p.folds for p in forms.backends]
    assert folds == [("smooth_activations",)] * 2 + [
        (*FREE, "smooth_activations"),
        FREE,
        (),
        (*FREE, "smooth_activations"),
    ]
    files = [forms.file_of(p) for p in forms.backends]
    assert files[0] == files[1] and files[2] == files[5] and files[4] == messages.GRAPH
    assert len(set(files)) == len(forms.graphs) == 4
    assert told == ["measuring for the folds"]  # once for all of them
    reference = run(forms.graphs[messages.GRAPH], small.images())[0][0]
    for file, graph in forms.graphs.items():
        again = graph_file.load(tmp_path / file)
        for held in (graph, again):
            assert small.db(reference, run(held, small.images())[0][0]) > 110
        kinds = {site.name: site.kind for site in list_sites(again)}
        assert ("patch:linear" in kinds) == ("patches_as_linear" in file) != ("patch:conv" in kinds)
    assert {"patch:linear", "norms.0:layer_norm"} <= set(forms.folded)


def test_folds_that_find_nothing_make_no_graph_of_their_own(tmp_path: Path) -> None:
    forms, _ = forms_of(small.ConvNet(), tmp_path, "tflite w8a8", "tflite w8", "onnx w8a8")
    assert list(forms.graphs) == [messages.GRAPH] and forms.folded == ()
    assert all(p.folds == () for p in forms.backends)


@pytest.mark.parametrize("precision", ["w8", "w8da8"])
def test_folds_that_want_no_images_need_none(precision: str, tmp_path: Path) -> None:
    forms, told = forms_of(Residual(), tmp_path, f"tflite {precision}", f"onnx {precision}", calibrated=False)
    assert [p.folds for p in forms.backends] == [FREE, ()] and told == []


def test_the_first_layer_is_quantized_at_run_time_where_activations_are(tmp_path: Path) -> None:
    """As a convolution it would compute in float: TFLite's have no such kernel."""
    forms, _ = forms_of(Residual(), tmp_path, "tflite w8da8")
    (graph,) = (g for file, g in forms.graphs.items() if file != messages.GRAPH)
    (capabilities,) = forms.backends
    kinds = {kind.kind: kind for kind in capabilities.kinds}
    kind = next(site.kind for site in list_sites(graph) if site.name == "patch:linear")
    assert kinds[kind].dynamic is not None and kinds["conv"].dynamic is None
