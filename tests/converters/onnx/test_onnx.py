"""The ONNX target against PyTorch and the simulated plan, executed by ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import timm
import torch

from converters.onnx import TARGET
from edgevit.core.errors import InputError, UnsupportedError, UsageError
from edgevit.core.plans import QuantPlan
from edgevit.core.runner import RunOptions, SiteTensors
from edgevit.core.types import Graph
from edgevit.program.run import run
from edgevit.program.sites import list_sites, site_of, total_macs
from edgevit.quant import _affine
from edgevit.quant.check import check_sites
from edgevit.quant.plan import choose_sites
from edgevit.quant.simulate import SiteSimulator, simulate
from edgevit.runtimes.onnxruntime import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _photographs as photos
from tests.converters import _small_models as models

# Thin convolutions too, which stay in float by default: small models have no others.
ALL = {"stem": "integer"}


class Ranks(torch.nn.Module):
    """Linear layers with inputs of rank 3, 4 and 2, three of them on one tensor, with and without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 16, 8, 8)
        self.depthwise = torch.nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.one, self.two = torch.nn.Linear(16, 24), torch.nn.Linear(16, 24)
        self.three = torch.nn.Linear(16, 24, bias=False)
        self.four = torch.nn.Linear(24, 16)
        self.head = torch.nn.Linear(16, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.depthwise(self.patch(image)).flatten(2).transpose(1, 2)
        mixed = self.one(tokens) * self.two(tokens) + self.three(tokens)
        return self.head(self.four(mixed.unsqueeze(1)).mean((1, 2)))


@pytest.fixture(scope="module")
def vit() -> tuple[torch.nn.Module, Graph, object]:
    """Two blocks of a ViT, its Graph, and what `prepare` makes of it."""
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, embed_dim=64, num_heads=2, num_classes=10
    )
    graph = models.graph_of(module)
    return module, graph, TARGET.prepare(graph, models.spec_of(10), {})


@pytest.fixture(scope="module")
def ranks() -> tuple[Graph, object]:
    graph = models.graph_of(Ranks())
    return graph, TARGET.prepare(graph, models.spec_of(10), {})


def _run(path: Path, taps: tuple[str, ...] = (), count: int = 4) -> dict[str, np.ndarray]:
    with RUNTIME.open(path, RunOptions(threads=1, taps=taps)) as runner:
        return dict(runner.run(models.pixels(count)))


def _taps(sites: tuple[SiteTensors, ...]) -> tuple[str, ...]:
    return tuple(name for site in sites for name in (site.input, site.output))


def _assert_sites_follow(plan: QuantPlan, graph: Graph, sites: tuple[SiteTensors, ...], path: Path) -> None:
    """Each site, fed what the file fed it, gives what the plan gives."""
    found, alone = _run(path, _taps(sites)), SiteSimulator(graph, plan)
    assert [site.site for site in sites] == [site.site for site in plan.sites]
    for tensors, planned in zip(sites, plan.sites, strict=True):
        shape, _ = alone.shapes(planned.site)
        for image in range(4):
            entered = torch.from_numpy(found[tensors.input][image]).reshape(shape)
            if planned.input is not None:
                assert entered.dtype == torch.uint8
                entered = _affine.dequantize(entered.float(), planned.input)
            wanted, got = (
                alone.run(planned.site, entered).numpy().ravel(),
                found[tensors.output][image].ravel(),
            )
            if planned.output is None:
                assert sqnr(wanted, got) > 100, planned.site
            else:
                steps = np.abs(wanted - got)
                assert steps.max() <= 1 and (steps > 0).mean() <= 0.005, planned.site


def test_fp32_file_computes_what_pytorch_computes(vit: tuple, tmp_path: Path) -> None:
    module, _, prepared = vit
    TARGET.write(prepared, "fp32", None, tmp_path / "model.onnx")
    with torch.no_grad():
        wanted = module(models.normalised(models.pixels(4)))
    assert sqnr(wanted, _run(tmp_path / "model.onnx")["logits"]) > 100


def test_each_weighted_site_is_found_with_its_own_values(vit: tuple, tmp_path: Path) -> None:
    _, graph, prepared = vit
    sites = TARGET.write(prepared, "fp32", None, tmp_path / "model.onnx")
    weighted = [site for site in list_sites(graph) if site.weight]
    assert {site.site for site in sites} == {site.name for site in weighted}

    def observe(node: torch.fx.Node, value: torch.Tensor) -> dict[str, torch.Tensor]:
        name = "image" if node.op == "placeholder" else site_of(node)
        return {name: value} if isinstance(value, torch.Tensor) else {}

    _, seen = run(graph, models.normalised(models.pixels(2)), observe=observe)
    found = _run(tmp_path / "model.onnx", _taps(sites), 2)
    where = {site.site: site for site in sites}
    for site in weighted:
        assert sqnr(seen[site.source], found[where[site.name].input]) > 100, site.name
        assert sqnr(seen[site.name], found[where[site.name].output]) > 100, site.name


def test_fp16_file_has_half_constants_and_float_ends(vit: tuple, tmp_path: Path) -> None:
    module, _, prepared = vit
    out = tmp_path / "model.onnx"
    TARGET.write(prepared, "fp16", None, out)
    contents = RUNTIME.contents(out)
    assert contents.weight_bytes["float16"] > 200_000 and "float32" not in contents.weight_bytes
    assert {contents.inputs[0].dtype, contents.outputs[0].dtype} == {"float32"}
    with torch.no_grad():
        wanted = module(models.normalised(models.pixels(4)))
    assert sqnr(wanted, _run(out)["logits"]) > 40


def test_fp16_holds_a_large_constant_exactly_where_its_site_is_kept_and_else_the_largest_number(
    ranks: tuple, tmp_path: Path
) -> None:
    prepared = replace(ranks[1], model=ranks[1].model.clone())
    prepared.model.graph.initializers["head.bias"].const_value = ir.tensor(np.full(10, 1e5, np.float32))
    stored = {}
    for name, keep in (("plain", frozenset()), ("kept", frozenset({"head:linear"}))):
        out = tmp_path / f"{name}.onnx"
        TARGET.write(prepared, "fp16", None, out, keep)
        stored[name] = next(
            onnx.numpy_helper.to_array(t) for t in onnx.load(out).graph.initializer if t.name == "head.bias"
        )
    assert stored["plain"].dtype == np.float16 and (stored["plain"] == 65504).all()
    assert stored["kept"].dtype == np.float32 and (stored["kept"] == 1e5).all()


def test_w8_file_is_the_float_model_with_the_plans_weights(vit: tuple, tmp_path: Path) -> None:
    _, graph, prepared = vit
    images = models.normalised(models.pixels(4))
    plan = models.plan_of(graph, TARGET.capabilities("w8"), images)
    sites = TARGET.write(prepared, "w8", plan, tmp_path / "model.onnx")
    assert sqnr(simulate(graph, plan, images)[0], _run(tmp_path / "model.onnx")["logits"]) > 80
    _assert_sites_follow(plan, graph, sites, tmp_path / "model.onnx")
    stored = RUNTIME.contents(tmp_path / "model.onnx").weight_bytes
    assert stored["int8"] == sum(plan.tensors[f"{site.site}.weight"].size for site in plan.sites)
    assert stored["float32"] < stored["int8"] / 4  # scales, biases, norms, position embedding


@pytest.mark.parametrize("model", ["vit", "ranks"])
def test_w8a8_sites_compute_the_plans_integers(
    model: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    *_, graph, prepared = request.getfixturevalue(model)
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(models.pixels(4)))
    sites = TARGET.write(prepared, "w8a8", plan, tmp_path / "model.onnx")
    _assert_sites_follow(plan, graph, sites, tmp_path / "model.onnx")


def test_every_planned_site_of_a_w8a8_file_runs_in_an_integer_kernel(vit: tuple, tmp_path: Path) -> None:
    _, graph, prepared = vit
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(models.pixels(4)))
    TARGET.write(prepared, "w8a8", plan, tmp_path / "model.onnx")
    macs = {site.name: site.macs for site in list_sites(graph)}
    found = RUNTIME.integer_macs(tmp_path / "model.onnx")
    assert found.static == sum(macs[site.site] for site in plan.sites) and found.dynamic == 0
    assert found.static / total_macs(graph) > 0.9


def test_linear_layers_of_rank_2_3_and_4_run_in_integer_kernels_and_share_their_input(
    ranks: tuple, tmp_path: Path
) -> None:
    graph, prepared = ranks
    plan = models.plan_of(graph, TARGET.capabilities("w8a8", ALL), models.normalised(models.pixels(4)))
    sites = {site.site: site for site in TARGET.write(prepared, "w8a8", plan, tmp_path / "model.onnx")}
    operators = dict(RUNTIME.integer_macs(tmp_path / "model.onnx").operators)
    assert operators["QGemm"] == 5 and operators["QLinearConv"] == 2
    assert RUNTIME.integer_macs(tmp_path / "model.onnx").static == total_macs(graph)
    assert len({sites[f"{name}:linear"].input for name in ("one", "two", "three")}) == 1
    # Its input is the output of the convolution before: one grid, no second rounding.
    assert sites["depthwise:conv"].input == sites["patch:conv"].output


def test_silu_between_integer_convolutions_is_computed_in_integers(tmp_path: Path) -> None:
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.SiLU(), torch.nn.Conv2d(8, 10, 30), torch.nn.Flatten()
    )
    graph = models.graph_of(module)
    images = models.normalised(models.pixels(4))
    plan = models.plan_of(graph, TARGET.capabilities("w8a8", ALL), images)
    prepared = TARGET.prepare(graph, models.spec_of(10), {})
    sites = TARGET.write(prepared, "w8a8", plan, tmp_path / "model.onnx")
    operators = dict(RUNTIME.integer_macs(tmp_path / "model.onnx").operators)
    assert (operators["QLinearSigmoid"], operators["QLinearMul"], operators["QLinearConv"]) == (1, 1, 2)
    assert "QuickGelu" not in operators and operators["DequantizeLinear"] == 1
    _assert_sites_follow(plan, graph, sites, tmp_path / "model.onnx")
    assert sqnr(simulate(graph, plan, images)[0], _run(tmp_path / "model.onnx")["logits"]) > 60


def test_a_concat_that_only_a_convolution_reads_joins_integers(tmp_path: Path) -> None:
    class Joined(torch.nn.Module):
        """MobileViT's fusion: what entered a block beside what left it."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 1)
            self.last = torch.nn.Conv2d(8, 10, 30)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = self.first(image)
            return self.last(torch.cat([x, torch.nn.functional.silu(self.second(x))], 1)).flatten(1)

    graph = models.graph_of(Joined())
    images = models.normalised(models.pixels(4))
    plan = models.plan_of(graph, TARGET.capabilities("w8a8", ALL), images)
    sites = TARGET.write(TARGET.prepare(graph, models.spec_of(10), {}), "w8a8", plan, tmp_path / "model.onnx")
    inferred = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "model.onnx"))
    kinds = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    (concat,) = (node for node in inferred.graph.node if node.op_type == "Concat")
    assert kinds[concat.output[0]] == onnx.TensorProto.UINT8 and concat.output[0] == sites[-1].input
    operators = dict(RUNTIME.integer_macs(tmp_path / "model.onnx").operators)
    assert operators["QLinearMul"] == 1 and operators["QLinearConv"] == 3
    _assert_sites_follow(plan, graph, sites, tmp_path / "model.onnx")
    assert sqnr(simulate(graph, plan, images)[0], _run(tmp_path / "model.onnx")["logits"]) > 60


def test_silu_that_floats_read_too_stays_one_operator(tmp_path: Path) -> None:
    class Residual(torch.nn.Module):
        """What leaves the SiLU goes into a convolution and around it."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Conv2d(3, 10, 3), torch.nn.Conv2d(10, 10, 3, padding=1)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = torch.nn.functional.silu(self.first(image))
            return (x + self.second(x)).mean((2, 3))

    graph = models.graph_of(Residual())
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(models.pixels(4)))
    TARGET.write(TARGET.prepare(graph, models.spec_of(10), {}), "w8a8", plan, tmp_path / "model.onnx")
    operators = dict(RUNTIME.integer_macs(tmp_path / "model.onnx").operators)
    assert operators["QuickGelu"] == 1 and "QLinearMul" not in operators


def test_a_hybrid_starts_in_float_unless_it_is_asked_to_start_in_integers() -> None:
    module = timm.create_model("mobilevit_xxs", num_classes=10)
    graph = models.graph_of(module)
    found = {}
    for start in ("float", "integer"):
        capabilities = TARGET.capabilities("w8a8", {"stem": start})
        assert capabilities is not None
        found[start] = [site.name for site in choose_sites(graph, capabilities)[0]]
    assert found["integer"][0] == "stem.conv:conv" and found["float"][0] == "stages.1.0.conv1_1x1.conv:conv"
    assert found["integer"][-len(found["float"]) :] == found["float"]
    with pytest.raises(UsageError, match=r"onnx\.stem"):
        TARGET.capabilities("w8a8", {"stem": "int8"})


def test_files_use_standard_operators_only(ranks: tuple, tmp_path: Path) -> None:
    graph, prepared = ranks
    for precision in TARGET.precisions:
        placed = TARGET.capabilities(precision)
        plan = (
            models.plan_of(graph, TARGET.capabilities(precision), models.normalised(models.pixels(2)))
            if placed
            else None
        )
        TARGET.write(prepared, precision, plan, tmp_path / "model.onnx")
        model = onnx.load(tmp_path / "model.onnx")
        assert [opset.domain for opset in model.opset_import] == [""]
        assert not model.functions and not model.graph.value_info


def test_the_same_graph_gives_the_same_bytes(ranks: tuple, tmp_path: Path) -> None:
    graph, prepared = ranks
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(models.pixels(4)))
    again = TARGET.prepare(graph, models.spec_of(10), {})
    for name, source in (("a", prepared), ("b", prepared), ("c", again)):
        TARGET.write(source, "w8a8", plan, tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1


def test_file_carries_its_metadata_and_no_path_of_this_machine(ranks: tuple, tmp_path: Path) -> None:
    TARGET.write(ranks[1], "fp32", None, tmp_path / "model.onnx")
    contents = RUNTIME.contents(tmp_path / "model.onnx")
    spec = models.spec_of(10)
    assert contents.preprocess == spec.preprocess and contents.labels == spec.labels
    assert contents.metadata["author"] == "A. Author" and contents.metadata["license"] == "MIT"
    assert [(spec.name, spec.shape) for spec in contents.inputs] == [("image", (1, 3, 32, 32))]
    assert [(spec.name, spec.shape) for spec in contents.outputs] == [("logits", (1, 10))]
    data = (tmp_path / "model.onnx").read_bytes()
    assert (
        b"site-packages" not in data and b"stack_trace" not in data and str(Path.cwd()).encode() not in data
    )


def test_a_site_that_the_model_does_not_have_is_named(ranks: tuple, tmp_path: Path) -> None:
    graph, prepared = ranks
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), models.normalised(models.pixels(2)))
    wrong = replace(plan, sites=(*plan.sites, replace(plan.sites[0], site="elsewhere:linear")))
    with pytest.raises(UnsupportedError, match="elsewhere:linear"):
        TARGET.write(prepared, "w8a8", wrong, tmp_path / "model.onnx")


def test_a_weight_of_another_site_is_refused(ranks: tuple, tmp_path: Path) -> None:
    graph, prepared = ranks
    plan = models.plan_of(graph, TARGET.capabilities("w8"), models.normalised(models.pixels(2)))
    swapped = {**plan.tensors, "one:linear.weight": plan.tensors["two:linear.weight"]}
    with pytest.raises(UnsupportedError, match="one:linear"):
        TARGET.write(prepared, "w8", replace(plan, tensors=swapped), tmp_path / "model.onnx")


def test_a_plan_for_something_else_than_weights_is_refused(ranks: tuple, tmp_path: Path) -> None:
    plan = models.plan_of(ranks[0], TARGET.capabilities("w8"), models.normalised(models.pixels(2)))
    wrong = replace(plan, sites=(*plan.sites, replace(plan.sites[0], site="attn:qk", kind="qk", weight=None)))
    with pytest.raises(InputError, match="attn:qk"):
        check_sites(wrong, ranks[0], plan.capabilities)


@pytest.mark.parametrize("opset", ["16", "24", "x", ""])
def test_an_operator_set_that_is_not_offered_is_an_error(ranks: tuple, opset: str) -> None:
    with pytest.raises(UsageError, match="onnx.opset"):
        TARGET.prepare(ranks[0], models.spec_of(10), {"opset": opset})


@pytest.mark.parametrize("opset", ["18", "20"])
def test_older_operator_sets_give_the_same_result(ranks: tuple, opset: str, tmp_path: Path) -> None:
    graph = ranks[0]
    images = models.normalised(models.pixels(4))
    plan = models.plan_of(graph, TARGET.capabilities("w8a8"), images)
    prepared = TARGET.prepare(graph, models.spec_of(10), {"opset": opset})
    sites = TARGET.write(prepared, "w8a8", plan, tmp_path / "model.onnx")
    assert RUNTIME.contents(tmp_path / "model.onnx").metadata["opset.ai.onnx"] == opset
    _assert_sites_follow(plan, graph, sites, tmp_path / "model.onnx")


def test_from_jpeg_to_class_with_nothing_but_the_file(tmp_path: Path, photographs: tuple[Path, ...]) -> None:
    """Right, the logits agree with PyTorch's pipeline; with swapped colours or a wrong mean, not."""
    module, graph, spec = photos.made()
    right = tmp_path / "right.onnx"
    TARGET.write(TARGET.prepare(graph, spec, {}), "fp32", None, right)
    photos.assert_only_the_right_file_agrees(
        module, right, RUNTIME, photos.swap_colors_in_json, photos.change_mean_in_json, photographs
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "integer"}, "fused or split, not 'integer'"),
        ({"opset": "abc"}, "a whole number from 17 to 23"),
        ({"opset": "20", "attention": "fused"}, "from operator set 23 on, not in 20"),
    ],
)
def test_options_are_looked_at_before_anything_is_planned(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TARGET.capabilities("w8a8", options)
