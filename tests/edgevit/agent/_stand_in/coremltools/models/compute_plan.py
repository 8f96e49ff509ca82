"""MLComputePlan: of each operation the unit that is preferred, and the estimated cost."""

import json
from pathlib import Path
from types import SimpleNamespace

# By name, as the classes of coremltools.models.compute_device.
MLCPUComputeDevice = type("MLCPUComputeDevice", (), {})
MLGPUComputeDevice = type("MLGPUComputeDevice", (), {})
MLNeuralEngineComputeDevice = type("MLNeuralEngineComputeDevice", (), {})
_PREFERRED = {
    "ALL": MLNeuralEngineComputeDevice,
    "CPU_AND_NE": MLNeuralEngineComputeDevice,
    "CPU_AND_GPU": MLGPUComputeDevice,
    "CPU_ONLY": MLCPUComputeDevice,
}


class MLComputePlan:
    def __init__(self, told, compute_units):
        self._told, self._units = told, compute_units
        operations = [
            SimpleNamespace(
                operator_name=one["type"],
                outputs=[SimpleNamespace(name=one["name"], type=None)],
                inputs={},
                blocks=[],
                told=one,
            )
            for one in told.get("operations", ())
        ]
        block = SimpleNamespace(inputs=[], operations=operations, output_names=[])
        program = SimpleNamespace(functions={"main": SimpleNamespace(inputs=[], block=block)})
        self.model_structure = SimpleNamespace(
            program=program if operations else None, neuralnetwork=None, pipeline=None
        )

    @classmethod
    def load_from_path(cls, path, compute_units):
        if not path.endswith(".mlmodelc"):
            raise ValueError("not compiled")
        return cls(json.loads(Path(path, "model.json").read_text()), compute_units)

    def get_compute_device_usage_for_mlprogram_operation(self, operation):
        if operation.operator_name == "const":
            return None
        preferred = MLCPUComputeDevice if operation.told.get("cpu") else _PREFERRED[self._units.name]
        return SimpleNamespace(preferred_compute_device=preferred(), supported_compute_devices=[])

    def get_estimated_cost_for_mlprogram_operation(self, operation):
        cost = operation.told.get("cost")
        return None if cost is None else SimpleNamespace(weight=cost)
