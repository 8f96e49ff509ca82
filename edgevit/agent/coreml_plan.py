"""Which compute unit Core ML would run each operation on, and its estimate of what that costs: MLComputePlan.

Not run on a Mac yet: written after coremltools' documentation and tested against a stand-in for it.
https://apple.github.io/coremltools/source/coremltools.models.html#module-coremltools.models.compute_plan
Core ML times no operations. The cost is a share of the whole, known before anything runs.
"""

from __future__ import annotations

from typing import Any

from .wire import Message

_UNITS = {
    "MLCPUComputeDevice": "CPU",
    "MLGPUComputeDevice": "GPU",
    "MLNeuralEngineComputeDevice": "Neural Engine",
}


def operations(path: str, unit: str) -> list[Message]:
    """Operations of an .mlpackage in the order of its program; constants are none.

    Args:
        unit: compute unit: all, cpu_only, cpu_and_gpu or cpu_and_ne.

    Returns:
        Of each `name` of what it computes, `type`, `by` (the unit that Core ML prefers) and `cost`, 0 to 1 or None.

    Raises:
        NotImplementedError: the file is no ML program, or this coremltools or macOS makes no plan.
    """
    import coremltools

    try:
        from coremltools.models.compute_plan import MLComputePlan
    except ImportError:
        message = f"coremltools {coremltools.__version__} makes no compute plan, 8.0 does"
        raise NotImplementedError(message) from None
    units = getattr(coremltools.ComputeUnit, unit.upper())
    model = coremltools.models.MLModel(
        path, compute_units=units
    )  # the compiled file lives as long as it does
    plan = MLComputePlan.load_from_path(path=model.get_compiled_model_path(), compute_units=units)
    program = plan.model_structure.program
    if program is None:
        raise NotImplementedError("Core ML plans the operations of ML programs alone, and this is none")
    found = []
    for operation in program.functions["main"].block.operations:
        usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        if usage is None:  # a constant, or what the compiler removed
            continue
        cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
        found.append(
            {
                "name": operation.outputs[0].name if operation.outputs else "",
                "type": operation.operator_name,
                "by": _unit(usage.preferred_compute_device),
                "cost": None if cost is None else float(cost.weight),
            }
        )
    return found


def _unit(device: Any) -> str:
    kind = type(device).__name__
    return _UNITS.get(kind, kind)
