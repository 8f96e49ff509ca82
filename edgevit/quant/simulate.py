"""Execute a QuantPlan in PyTorch: what every artifact made from it has to compute."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import InputError
from edgevit.core.plans import QuantPlan, SitePlan, bias_scales
from edgevit.core.quant_params import WIDE, QuantParams
from edgevit.core.types import Graph
from edgevit.core.widths import computed_grid, narrowed
from edgevit.graph import streams
from edgevit.program import constants
from edgevit.program.run import run
from edgevit.program.sites import list_sites, site_of
from edgevit.quant import _affine, fixed_point, fixed_point_kernels, integer_silu, whole_graph

if TYPE_CHECKING:
    import torch

    Around = Callable[[torch.fx.Node, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]

NOISE = 1e-7


def simulate(
    graph: Graph,
    plan: QuantPlan,
    images: torch.Tensor,
    noise_seed: int | None = None,
    advance: Callable[[int], None] | None = None,
    keep_float32: Collection[str] = (),
) -> tuple[torch.Tensor, ...]:
    """Outputs of the planned model, each float32 (N, ...), for float32 (N, 3, height, width).

    With `noise_seed`, every site's result gets relative Gaussian noise of 1e-7, and that of its integer kernel where
    the whole graph is planned: two such runs differ by the floor below which no comparison of an artifact with the
    simulation can get, because rounding decisions flip and avalanche. Sites in `keep_float32` are not rounded to
    float16.
    """
    around = _around(graph, plan, noise_seed, keep_float32)
    start = _round_half(images) if plan.compute == "float16" else _entering(images, plan)
    outputs, _ = run(
        graph, start, around=around, constants=_constants_of(graph, plan, keep_float32), advance=advance
    )
    if not plan.outputs:
        return outputs
    made = _grids_of_outputs(graph, plan)
    return tuple(
        _affine.fake_quantize(value, params)
        if own is None or own == params or not plan.capabilities.fixed_point
        else fixed_point.requantized(value, own, params)
        for value, own, params in zip(outputs, made, plan.outputs, strict=True)
    )


def _entering(images: torch.Tensor, plan: QuantPlan) -> torch.Tensor:
    """The images as a file takes them: where it takes bytes, they are 8 bits wide for a layer that reads 16 too."""
    first = next((site.input for site in plan.sites if site.input is not None), None)
    if not plan.capabilities.fixed_point or first is None:
        return images
    return _affine.fake_quantize(images, narrowed(first))


class SiteSimulator:
    """Single sites of a planned graph, to be fed with whatever an artifact fed them."""

    def __init__(self, graph: Graph, plan: QuantPlan, keep_float32: Collection[str] = ()) -> None:
        import torch

        program = graph.program
        stored = {**program.constants, **program.state_dict}
        self._constants = {k: v.detach() for k, v in stored.items() if isinstance(v, torch.Tensor)}
        self._replaced = _constants_of(graph, plan, keep_float32)
        self._planned = _by_name(plan)
        self._sites = {site.name: site for site in list_sites(graph)}
        self._nodes = {node.name: node for node in program.graph_module.graph.nodes}
        self._names = constants.targets(program)
        self._whole = None if plan.capabilities.activations is None else whole_graph.find(graph)
        self._around = _around(graph, plan, None, keep_float32)

    def shapes(self, site: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of the site's input and output in PyTorch, with the batch axis of 1."""
        node = self._nodes[self._sites[site].node]
        return tuple(self._operands(node)[0].meta["val"].shape), tuple(node.meta["val"].shape)

    def second_shape(self, site: str) -> tuple[int, ...]:
        """Shape of the second operand in PyTorch."""
        return tuple(self._operands(self._nodes[self._sites[site].node])[1].meta["val"].shape)

    def read_grids(self, site: str) -> tuple[QuantParams | None, QuantParams | None]:
        """The grids that a site's operands have in a file: those in which they are read, or that their makers gave."""
        planned = self._planned[site]
        if self._whole is None:
            return planned.input, planned.rhs
        found = []
        reads = self._operands(self._nodes[self._sites[site].node])
        for source, params in zip(reads, (planned.input, planned.rhs), strict=False):
            maker = self._planned.get(site_of(source).partition("#")[0])
            found.append(params if maker is None else maker.output)
        return found[0], found[1] if len(found) > 1 else None

    def _operands(self, node: torch.fx.Node) -> tuple[torch.fx.Node, ...]:
        """The activations that a site reads."""
        return node.args[:2] if self._whole is None else whole_graph.operands(node, self._whole.constant)

    def run(self, site: str, value: torch.Tensor, second: torch.Tensor | None = None) -> torch.Tensor:
        """The site's result for real values of its input, in the shape that `shapes` gives.

        Args:
            second: of a product of two activations, the second operand.

        Returns:
            Integers of the output grid in float32 where the plan has one, else real values.
        """
        import torch

        described, planned = self._sites[site], self._planned[site]
        node = self._nodes[described.node]
        args: tuple[Any, ...] = (value, second)
        if self._whole is not None:
            entering = dict(zip(self._operands(node), (value, second), strict=False))
            args = torch.fx.map_arg(node.args, lambda n: entering[n] if n in entering else self._fixed(n))
        elif second is None:
            assert described.weight is not None
            bias = None if described.bias is None else self._constant(described.bias)
            args = (value, self._constant(described.weight), bias, *node.args[3:])
        with torch.no_grad():
            result: torch.Tensor = self._around(node, node.target, args, dict(node.kwargs))
        return result if planned.output is None else _affine.quantize(result, planned.output)

    def _fixed(self, node: torch.fx.Node) -> Any:
        """The value of a node that is the same for all images."""
        import torch

        if node.op == "placeholder":
            return self._constant(self._names[node.name])
        assert callable(node.target)
        return node.target(
            *torch.fx.map_arg(node.args, self._fixed), **torch.fx.map_arg(node.kwargs, self._fixed)
        )

    def _constant(self, name: str) -> torch.Tensor:
        return self._replaced[name]() if name in self._replaced else self._constants[name]


def _by_name(plan: QuantPlan) -> dict[str, SitePlan]:
    return {site.site: site for site in plan.sites}


def _constants_of(
    graph: Graph, plan: QuantPlan, keep: Collection[str]
) -> dict[str, Callable[[], torch.Tensor]]:
    """The weights that the plan replaces, dequantized, and all of them rounded for float16 files.

    Each is made when it is read: all of them at once would be the model a second time.
    """
    import torch

    program = graph.program
    described = {site.name: site for site in list_sites(graph)}
    half = plan.compute == "float16"
    replaced: dict[str, Callable[[], torch.Tensor]] = {}
    if half:
        exact = _read_by(graph, keep)
        stored: Mapping[str, Any] = {**program.constants, **program.state_dict}
        replaced = {
            k: partial(_round_half, v.detach())
            for k, v in stored.items()
            if isinstance(v, torch.Tensor) and v.is_floating_point() and k not in exact
        }
    for planned in plan.sites:
        site = described.get(planned.site)
        if site is not None and planned.weight is None and planned.palette is None:
            continue
        if site is None or site.weight is None:
            raise InputError(
                f"the plan names {planned.site}, which this model does not have",
                "make the plan again for this model",
            )
        rounds = half and planned.site not in keep
        if planned.weight is not None or planned.palette is not None:
            replaced[site.weight] = partial(_stored_weight, planned, plan, rounds)
        bias = real_bias(planned, plan)
        if bias is not None:
            assert site.bias is not None
            rounded = rounds and planned.bias == "float32"
            replaced[site.bias] = partial(_round_half, bias) if rounded else partial(_same, bias)
    return replaced


def _stored_weight(planned: SitePlan, plan: QuantPlan, half: bool) -> torch.Tensor:
    weight = real_weight(planned, plan)
    return _round_half(weight) if half else weight


def _same(value: torch.Tensor) -> torch.Tensor:
    return value


def real_weight(planned: SitePlan, plan: QuantPlan) -> torch.Tensor:
    """The real values that a planned weight stands for, float32 of its shape."""
    import torch

    return torch.from_numpy(plan.real_weight(planned))


def real_bias(planned: SitePlan, plan: QuantPlan) -> torch.Tensor | None:
    """The bias that the plan puts in the place of the model's own, float32 (out channels,)."""
    import torch

    found = plan.real_bias(planned)
    return None if found is None else torch.from_numpy(found)


def _read_by(graph: Graph, sites: Collection[str]) -> set[str]:
    """Names of the constants that the operations of `sites` read."""
    names = {s.arg.name: s.target for s in graph.program.graph_signature.input_specs if s.target is not None}
    nodes = (n for n in graph.program.graph_module.graph.nodes if n.op == "call_function")
    read = (i.name for n in nodes if site_of(n) in sites for i in n.all_input_nodes)
    return {names[name] for name in read if name in names}


def _around(graph: Graph, plan: QuantPlan, noise_seed: int | None, keep: Collection[str]) -> Around:
    import torch

    if plan.capabilities.activations is not None:
        return _around_integers(graph, plan, noise_seed)
    sites = _by_name(plan)
    no_mean = streams.mean_free_norms(graph.program)
    sigmoids = {name: site.sigmoid for name, site in sites.items() if site.sigmoid is not None}
    half = plan.compute == "float16"
    generator = torch.Generator().manual_seed(noise_seed) if noise_seed is not None else None
    aten = torch.ops.aten
    # A number in the program is stored in the file's float type, as every other constant is.
    scalar_operations = {aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor, aten.div.Tensor}

    def around(
        node: torch.fx.Node, operation: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        planned = sites.get(site_of(node))
        if planned is not None and planned.input is not None and half:
            kept = site_of(node) in keep
            for place, params in enumerate((planned.input, planned.rhs)):
                if params is not None:
                    entered = _affine.fake_quantize(args[place], params)
                    exact = kept and site_of(node.args[place]) in keep
                    args = (*args[:place], entered if exact else _round_half(entered), *args[place + 1 :])
        rounds = half and site_of(node) not in keep
        if rounds and node.target in scalar_operations:
            args = tuple(_half_scalar(a) if isinstance(a, float) else a for a in args)
        if planned is not None and planned.dynamic is not None:
            result = _at_run_time(planned, plan, operation, args, kwargs)
        elif planned is not None and planned.input is not None and not half:
            result = _in_integers(planned, plan, operation, args, kwargs)
        elif sigmoids and (sigmoid := sigmoids.get(integer_silu.source_of(node) or "")) is not None:
            result = integer_silu.silu(args[0], sigmoid)
        elif node in no_mean:
            result = _scaled(*args[:5])
        else:
            result = operation(*args, **kwargs)
        if not isinstance(result, torch.Tensor) or not result.is_floating_point():
            return result
        if rounds:
            result = _round_half(result)
        if generator is not None:
            result = result * (1 + NOISE * torch.randn(node.meta["val"].shape, generator=generator))
        if planned is not None and planned.output is not None:
            result = _affine.fake_quantize(result, planned.output)
        return result

    return around


def _around_integers(graph: Graph, plan: QuantPlan, noise_seed: int | None) -> Around:
    """Every operation reads and gives values of grids; see `edgevit.quant.whole_graph`.

    The noise is that of the backend's kernels, which are not exact: uniform, in steps of what they compute in.

    What a layer sums up in 16 bits does not fit float32 as integers, so that real products are added.
    """
    import torch

    sites = _by_name(plan)
    constant = whole_graph.find(graph).constant
    generator = torch.Generator().manual_seed(noise_seed) if noise_seed is not None else None

    def around(
        node: torch.fx.Node, operation: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        planned = sites.get(site_of(node))
        if (
            planned is None
            or planned.output is None
            or (whole_graph.keeps_grid(node) and not planned.constants)
        ):
            return operation(*args, **kwargs)
        reads = whole_graph.operands(node, constant)
        if plan.capabilities.fixed_point:
            exact = fixed_point_kernels.compute(node, reads, planned, plan, operation, args, kwargs)
            if exact is not None:
                return _rounded(exact, planned, plan)
        given = whole_graph.leaves(node, args)
        if planned.weight is not None and planned.input is not None and planned.input.dtype not in WIDE:
            result = _in_integers(planned, plan, operation, args, kwargs)
        else:
            for source, params in zip(reads, (planned.input, planned.rhs), strict=False):
                if params is not None:
                    given[source] = _affine.fake_quantize(given[source], params)
            if planned.constants:
                own = whole_graph.real_constants(node, constant)
                for source, params in zip(own, planned.constants, strict=True):
                    given[source] = _affine.fake_quantize(given[source], params)
            result = operation(*torch.fx.map_arg(node.args, given.__getitem__), **kwargs)
        if generator is not None:
            computed = computed_grid(planned)
            # half of what a kernel may be off, on average; in 8 bits a step that rounds to the other side
            off = plan.capabilities.steps_off(planned.kind, computed.dtype) if computed.dtype in WIDE else 1
            half = max(0.5, off / 2)
            reach = plan.capabilities.kernel_noise or half
            noise = 2 * torch.rand(node.meta["val"].shape, generator=generator) - 1
            result = result + reach * computed.scale[0] * noise
        return _rounded(result, planned, plan)

    return around


def _rounded(value: torch.Tensor, planned: SitePlan, plan: QuantPlan) -> torch.Tensor:
    computed = computed_grid(planned)
    if planned.output is None or computed == planned.output or not plan.capabilities.fixed_point:
        return whole_graph.rounded(value, planned)
    return fixed_point.requantized(_affine.fake_quantize(value, computed), computed, planned.output)


def _grids_of_outputs(graph: Graph, plan: QuantPlan) -> tuple[QuantParams | None, ...]:
    """The grid that each of the model's outputs was computed on, None where it has none."""
    import torch

    sites = _by_name(plan)
    (last,) = (node for node in graph.program.graph_module.graph.nodes if node.op == "output")
    made = [sites.get(site_of(n)) if isinstance(n, torch.fx.Node) else None for n in last.args[0]]
    return tuple(None if site is None else site.output for site in made)


def _scaled(
    value: torch.Tensor,
    _shape: list[int],
    gamma: torch.Tensor | None = None,
    beta: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> torch.Tensor:
    """Layer norm over the last axis of a value whose mean is taken for zero: rounding leaves it a small one."""
    result = value * (value.square().mean(-1, keepdim=True) + eps).rsqrt()
    result = result if gamma is None else result * gamma
    return result if beta is None else result + beta


def _in_integers(
    planned: SitePlan,
    plan: QuantPlan,
    operation: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> torch.Tensor:
    """What an integer kernel computes: a sum without rounding, and one multiplication per channel.

    Sums of real products would differ from it by more than the noise floor. Below 2^24, which takes
    more than 1,000 products, float32 holds sums of integers exactly.
    """
    import torch

    assert planned.input is not None and planned.weight is not None
    entered = _affine.quantize(args[0], planned.input).sub_(planned.input.zero_point[0])
    weight = torch.from_numpy(plan.weight(planned.site)).float()
    channels = (-1, 1, 1) if planned.kind == "conv" else (-1,)
    total: torch.Tensor = operation(entered, weight, None, *args[3:], **kwargs)
    bias = plan.bias(planned.site)
    if planned.bias == "int32" and bias is not None:
        total.add_(torch.from_numpy(bias).float().reshape(channels))
    total.mul_(torch.from_numpy(bias_scales(planned)).float().reshape(channels))
    if planned.bias == "float32" and len(args) > 2 and args[2] is not None:
        total.add_(args[2].reshape(channels))
    return total


def _at_run_time(
    planned: SitePlan,
    plan: QuantPlan,
    operation: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> torch.Tensor:
    """What a dynamic kernel computes: sums of integers where one scale belongs to a whole sum."""
    import torch

    assert planned.dynamic is not None
    weight = planned.weight
    if planned.dynamic.per == "block" or weight is None or weight.block is not None:
        result: torch.Tensor = operation(
            _affine.fake_quantize_dynamic(args[0], planned.dynamic), *args[1:], **kwargs
        )
        return result
    entered, scale = _affine.quantize_dynamic(args[0], planned.dynamic)
    integers = torch.from_numpy(plan.weight(planned.site)).float()
    channels = (-1, 1, 1) if planned.kind == "conv" else (-1,)
    total: torch.Tensor = operation(entered, integers, None, *args[3:], **kwargs)
    total = total * (scale * torch.tensor(weight.scale).reshape(channels))
    if len(args) > 2 and args[2] is not None:
        total = total + args[2].reshape(channels)
    return total


def _half_scalar(value: float) -> float:
    import numpy as np

    return float(np.float16(value))


def _round_half(value: torch.Tensor) -> torch.Tensor:
    return value.half().float()
