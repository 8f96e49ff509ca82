"""Find every site in a saved package, by the name it was given and by the value it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.coreml.edits import constant
from converters.coreml.weights import number_type, stored_floats
from edgevit.core.errors import StepError
from edgevit.core.runner import SiteTensors
from edgevit.formats import mil_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from converters.coreml.program import Edited
    from converters.coreml.values import Handles
    from edgevit.core.plans import QuantPlan, SitePlan
    from edgevit.core.quant_params import QuantParams

_OPERATORS = ("linear", "conv", "matmul")
# what unpacks a weight: its inputs with the integers or indices, and with the scales or palettes
_CONSTEXPR = {
    "constexpr_affine_dequantize": ("quantized_data", "scale"),
    "constexpr_blockwise_shift_scale": ("data", "scale"),
    "constexpr_lut_to_dense": ("indices", "lut"),
}


def locate(
    path: Path,
    edited: Edited,
    nodes: dict[str, Any],
    plan: QuantPlan | None,
    handles: Handles,
    in_half: Callable[[str], bool],
) -> tuple[SiteTensors, ...]:
    """Where each site with a weight is in the file.

    The operation is the one that carries the site's handle. It is accepted only if the weight
    stored for it equals the site's own: the plan's integers and scales or palettes, or the graph's
    floats (rounded to float16 where the site computes in it); if a corrected bias is the plan's, and
    its quantize has the plan's numbers.

    Args:
        nodes: site -> node of the graph that was converted, before the edits, of all linear and conv,
            and of the products of two activations that the plan names.
        in_half: whether a site computes in float16.

    Raises:
        StepError: a site cannot be placed, or something else is stored there.
    """
    operations = _operations(path)
    planned = {s.site: s for s in plan.sites} if plan is not None else {}
    found = []
    for site, node in nodes.items():
        names = [
            output for operator, output in handles.get(edited.handles[site], []) if operator in _OPERATORS
        ]
        if len(names) != 1:
            raise _lost(site, f"{len(names)} operations of the file carry its name")
        operation = operations[names[0]]
        decision = planned.get(site)
        weight = constant(edited.program, node.args[1])
        if decision is not None and (decision.weight is not None or decision.palette is not None):
            assert plan is not None
            _confirm_packed(decision, operation.weight, plan, in_half(site))
        elif weight is not None:
            _confirm_floats(site, "weight", operation.weight.val, weight.numpy())
        bias = None if plan is None else plan.bias(site)
        if bias is not None:
            _confirm_floats(site, "bias", operation.bias.val, bias)
        source, second = operation.x, ""
        if decision is not None and decision.input is not None:
            source = _confirm_input(site, source, decision.input)
        if decision is not None and decision.rhs is not None:
            second = _confirm_input(site, operation.y, decision.rhs).name
        found.append(SiteTensors(site, source.name, operation.outputs[0].name, second))
    return tuple(found)


def _operations(path: Path) -> dict[str, Any]:
    """First output name -> operation of the saved program, with its weights."""
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.models.utils import load_spec

    specification = load_spec(str(path))
    weights = path / "Data" / "com.apple.CoreML" / "weights"
    with mil_weights.mapped():
        program = load(specification, specification.specificationVersion, str(weights))
    return {op.outputs[0].name: op for op in program.functions["main"].operations if op.outputs}


def _confirm_packed(decision: SitePlan, weight: Any, plan: QuantPlan, half: bool) -> None:
    import numpy as np
    from coremltools.converters.mil.mil import types

    site, made_by = decision.site, weight.op
    if made_by is None or made_by.op_type not in _CONSTEXPR:
        kind = "nothing" if made_by is None else made_by.op_type
        raise _lost(site, f"its weight is stored by {kind}, not as integers")
    integers, floats = (getattr(made_by, name) for name in _CONSTEXPR[made_by.op_type])
    expected = plan.weight(site)
    kind = types.builtin_to_string(integers.dtype)
    if kind != number_type(decision)[0] or not np.array_equal(np.asarray(integers.val), expected):
        raise _lost(site, "other integers than the plan's are stored there")
    mil_weights.forget(integers.val)
    wanted = stored_floats(decision, plan, expected.shape).astype(np.float16 if half else np.float32)
    if floats.val.dtype != wanted.dtype or not np.array_equal(floats.val.ravel(), wanted.ravel()):
        raise _lost(site, "other weight scales or palettes than the plan's are stored there")


def _confirm_floats(
    site: str, what: str, stored: NDArray[np.floating[Any]] | None, expected: NDArray[Any]
) -> None:
    import numpy as np

    if stored is None or stored.shape != expected.shape:
        raise _lost(site, f"no constant {what} of its shape is stored there")
    # coremltools keeps what float16 would turn to 0 as the smallest float16, 6e-8
    tolerance = 6e-8 if stored.dtype == np.float16 else 0.0
    same = np.allclose(stored, expected.astype(stored.dtype), rtol=0, atol=tolerance)
    mil_weights.forget(stored)
    if not same:
        raise _lost(
            site, f"another {what} than {'the graph' if what == 'weight' else 'the plan'}'s is stored there"
        )


def _confirm_input(site: str, source: Any, params: QuantParams) -> Any:
    import numpy as np

    dequantize = source.op
    while dequantize is not None and dequantize.op_type == "cast":  # between float16 and float32
        dequantize = dequantize.x.op
    if dequantize is None or dequantize.op_type != "dequantize" or dequantize.input.op is None:
        raise _lost(site, "its input is not dequantized")
    quantize = dequantize.input.op
    for operation in (quantize, dequantize):
        zero_point = 0 if operation.zero_point is None else int(operation.zero_point.val)
        scale = np.asarray(operation.scale.val)
        if scale != np.asarray(params.scale[0]).astype(scale.dtype) or zero_point != params.zero_point[0]:
            raise _lost(site, "its input is quantized with other numbers than the plan's")
    if quantize.op_type != "quantize" or quantize.output_dtype.val != params.dtype:
        raise _lost(site, "its input is not quantized as planned")
    return quantize.outputs[0]


def _lost(site: str, reason: str) -> StepError:
    return StepError(
        f"the site {site} was not found in the Core ML file: {reason}", "please report this model"
    )
