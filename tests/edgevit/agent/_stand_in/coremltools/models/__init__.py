"""MLModel compiles a package, CompiledMLModel loads what was compiled; `predict` takes and gives dictionaries."""

import json
import shutil
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np


class _Model:
    def _load(self, path, compute_units):
        self.told = json.loads(Path(path, "model.json").read_text())
        self.compute_units = compute_units

    def predict(self, data):
        (name,) = data
        if name != self.told["input"]:
            raise RuntimeError("Error: Feature " + self.told["input"] + " is required but not specified.")
        value = data[name]
        if self.told.get("image"):
            if value.mode not in ("RGB", "L"):
                raise RuntimeError("The image is of the mode " + value.mode)
            value = (
                np.asarray(value, np.float32).reshape(1, value.height, value.width, -1).transpose(0, 3, 1, 2)
            )
        if not isinstance(value, np.ndarray) or value.dtype != np.float32:
            raise RuntimeError("value type not convertible")
        sums = value.sum(axis=(2, 3))  # (1, channels)
        found = {}
        for output in self.told["outputs"]:
            if output.get("labels"):
                found[output["name"]] = dict(zip(output["labels"], map(float, sums[0]), strict=True))
            elif output.get("label_of"):
                found[output["name"]] = output["label_of"][int(sums.argmax())]
            else:
                found[output["name"]] = sums * output.get("times", 1)
        return found


class MLModel(_Model):
    def __init__(self, model, compute_units=None):
        if not str(model).endswith(".mlpackage"):
            raise ValueError("not a package")
        time.sleep(0.1)  # compiles
        self.folder = tempfile.mkdtemp(suffix=".mlmodelc")
        shutil.copy(Path(model, "model.json"), self.folder)
        self._load(self.folder, compute_units)

    def __del__(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def get_compiled_model_path(self):
        return self.folder

    def get_spec(self):
        ends = [SimpleNamespace(name=output["name"]) for output in self.told["outputs"]]
        entry = SimpleNamespace(name=self.told["input"])
        return SimpleNamespace(description=SimpleNamespace(input=[entry], output=ends))


class CompiledMLModel(_Model):
    def __init__(self, path, compute_units=None):
        if not str(path).endswith(".mlmodelc"):
            raise ValueError("not compiled")
        self._load(path, compute_units)
