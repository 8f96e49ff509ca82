"""Make one file with one tool of others, from the same float model and the same calibration images.

    python -m bench._quantization.peers MODEL NAME OUT --cache DIR --calibration N

Writes OUT/model.SUFFIX and OUT/made.json: the seconds of calibrating and quantizing (not of converting the
float file), and a note. Each peer runs in a process of its own, so that none can stop the others; the last line of
what it prints when it fails is its row's error.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench._quantization import torchao
from bench._quantization.float_ends import give_float_ends
from bench._quantization.peer_input import Given, given
from bench.real_models import MODELS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# From a model to a file: (given, float file of the tool itself, out) -> (seconds, note)
Make = Callable[[Given, Path, Path], tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """One tool in one setting; `precision` is the command line's word for what it makes."""

    target: str
    tool: str
    precision: str
    make: Make


def main() -> None:
    """Make one file."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("model", choices=MODELS)
    cli.add_argument("name", choices=PEERS)
    cli.add_argument("out", type=Path)
    cli.add_argument("--cache", type=Path, required=True)
    cli.add_argument("--calibration", type=int, default=128)
    asked = cli.parse_args()
    warnings.filterwarnings("ignore")
    peer = PEERS[asked.name]
    suffix = SUFFIXES[peer.target]
    model = given(asked.model, asked.cache, asked.calibration)
    base = asked.out.parent / FLOAT / f"model.{suffix}"
    seconds, note = peer.make(model, base, asked.out / f"model.{suffix}")
    (asked.out / "made.json").write_text(json.dumps({"seconds": seconds, "note": note}))


# ------------------------------------------------------------------ ONNX Runtime


def _onnx(model: Given, base: Path, out: Path) -> tuple[float, str]:
    """torch.onnx with its own optimisation."""
    import torch

    program = torch.onnx.export(model.module, (model.image,), dynamo=True, verbose=False)
    assert program is not None
    program.save(str(out))
    return 0.0, ""


def _prepared(base: Path, out: Path) -> tuple[Path, str]:
    """ONNX Runtime's own preparation of a float file, as far as it works on this one."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    failed = ""
    for note, flags in (("", {}), ("without symbolic shapes", {"skip_symbolic_shape": True})):
        path = out.with_name("prepared.onnx")
        try:
            quant_pre_process(str(base), str(path), **flags)
        except Exception as error:  # noqa: BLE001 - it raises Exception itself
            failed = f"{type(error).__name__}: {error}".splitlines()[0][:80]
        else:
            return path, note
    return base, f"quant_pre_process failed ({failed})"


def _ort_static(**settings: Any) -> Make:
    def make(model: Given, base: Path, out: Path) -> tuple[float, str]:
        import onnxruntime
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

        chosen = {k: getattr(QuantType, v) if k.endswith("_type") else v for k, v in settings.items()}

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            """The images one by one; the base class has no other form."""

            def __init__(self, name: str) -> None:
                self.left = iter(model.calibration[i : i + 1] for i in range(len(model.calibration)))
                self.name = name

            def get_next(self) -> dict[str, NDArray[np.float32]] | None:
                image = next(self.left, None)
                return None if image is None else {self.name: image}

        begin = time.perf_counter()
        path, note = _prepared(base, out)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        quantize_static(str(path), str(out), Reader(session.get_inputs()[0].name), **chosen)
        return _tidy(begin, out, note)

    return make


def _ort_dynamic(**settings: Any) -> Make:
    def make(model: Given, base: Path, out: Path) -> tuple[float, str]:
        from onnxruntime.quantization import quantize_dynamic

        begin = time.perf_counter()
        path, note = _prepared(base, out)
        quantize_dynamic(str(path), str(out), **settings)
        return _tidy(begin, out, note)

    return make


def _tidy(begin: float, out: Path, note: str) -> tuple[float, str]:
    seconds = time.perf_counter() - begin
    for left in out.parent.glob("prepared.onnx*"):
        left.unlink()
    return seconds, note


# ------------------------------------------------------------------ ai-edge-quantizer


def _tflite(model: Given, base: Path, out: Path) -> tuple[float, str]:
    """litert-torch with an input in the layout of the format's images."""
    _litert(model, out, None)
    return 0.0, ""


def _litert(model: Given, out: Path, quantized: Any) -> None:
    import litert_torch

    module = litert_torch.to_channel_last_io(model.module, args=[0])
    image = model.image.permute(0, 2, 3, 1).contiguous()
    litert_torch.convert(module.eval(), (image,), quant_config=quantized).export(str(out))


def _ai_edge(recipe_name: str) -> Make:
    def make(model: Given, base: Path, out: Path) -> tuple[float, str]:
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_quantizer import quantizer, recipe
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.qtyping import TFLOperationName

        begin = time.perf_counter()
        work = quantizer.Quantizer(str(base), getattr(recipe, recipe_name)())
        calibrated, note = None, ""
        if work.need_calibration:
            for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
                work.update_quantization_recipe(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
            note = "float input and output"
            ((key, signature),) = Interpreter(str(base)).get_signature_list().items()
            (name,) = signature["inputs"]
            images = model.calibration.transpose(0, 2, 3, 1)
            calibrated = work.calibrate({key: [{name: images[i : i + 1]} for i in range(len(images))]})
        work.quantize(calibrated, enable_progress_report=False).export_model(str(out), overwrite=True)
        return time.perf_counter() - begin, note

    return make


# ------------------------------------------------------------------ coremltools


def _coreml(half: bool) -> Make:
    def make(model: Given, base: Path, out: Path) -> tuple[float, str]:
        import coremltools as ct
        import torch

        program = torch.export.export(model.module, (model.image,)).run_decompositions({})
        precision = ct.precision.FLOAT16 if half else ct.precision.FLOAT32
        ct.convert(
            program,
            compute_precision=precision,
            minimum_deployment_target=ct.target.iOS18,
            skip_model_load=True,
        ).save(str(out))
        return 0.0, ""

    return make


def _coreml_weights(function: str, config: str, **settings: Any) -> Make:
    """What `coremltools.optimize.coreml.FUNCTION` makes of the float16 package, which is the tool's default."""

    def make(model: Given, base: Path, out: Path) -> tuple[float, str]:
        import coremltools as ct
        import coremltools.optimize.coreml as cto

        package = ct.models.MLModel(str(base.parent.with_name(HALF) / base.name), skip_model_load=True)
        begin = time.perf_counter()
        chosen = cto.OptimizationConfig(global_config=getattr(cto, config)(**settings))
        getattr(cto, function)(package, chosen).save(str(out))
        return time.perf_counter() - begin, ""

    return make


def _coreml_activations(model: Given, base: Path, out: Path) -> tuple[float, str]:
    import coremltools as ct
    import coremltools.optimize.coreml as cto

    package = ct.models.MLModel(str(base.parent.with_name(HALF) / base.name))
    begin = time.perf_counter()
    config = cto.OptimizationConfig(global_config=cto.experimental.OpActivationLinearQuantizerConfig())
    name = package.get_spec().description.input[0].name
    data = [{name: model.calibration[i : i + 1]} for i in range(len(model.calibration))]
    quantized = cto.experimental.linear_quantize_activations(package, config, data)
    config = cto.OptimizationConfig(global_config=cto.OpLinearQuantizerConfig(mode="linear_symmetric"))
    cto.linear_quantize_weights(quantized, config).save(str(out))
    return time.perf_counter() - begin, ""


# ------------------------------------------------------------------ torchao


def _pt2e(write: Make) -> Make:
    """PT2E quantization of the exported program, written by the converter that writes the float file."""

    def make(model: Given, base: Path, out: Path) -> tuple[float, str]:
        begin = time.perf_counter()
        quantized = torchao.quantize(model)
        seconds = time.perf_counter() - begin
        write(model.of(quantized), base, out)
        return seconds, ""

    return make


def _pt2e_litert(model: Given, base: Path, out: Path) -> tuple[float, str]:
    """PT2E quantization by litert-torch's quantizer, written by its converter."""
    begin = time.perf_counter()
    quantized, told = torchao.quantize_for_litert(model)
    seconds = time.perf_counter() - begin
    _litert(model.of(quantized), out, told)
    give_float_ends(out)
    return seconds, "float input and output"


FLOAT: Final = "fp32"
HALF: Final = "fp16"
SUFFIXES: Final = {"onnx": "onnx", "tflite": "tflite", "coreml": "mlpackage"}
_U8S8: Final = {
    "activation_type": "QUInt8",
    "weight_type": "QInt8",
    "per_channel": True,
    "reduce_range": False,
}
_LUT: Final = {"mode": "kmeans", "granularity": "per_grouped_channel", "group_size": 16}
_FEW: Final = {**_U8S8, "op_types_to_quantize": ["MatMul", "Gemm", "Conv"]}
_INT8: Final = {"mode": "linear_symmetric", "dtype": "int8", "granularity": "per_channel"}
_INT4: Final = {"mode": "linear_symmetric", "dtype": "int4", "granularity": "per_block", "block_size": 32}
_LINEAR: Final = ("linear_quantize_weights", "OpLinearQuantizerConfig")
_PALETTE: Final = ("palettize_weights", "OpPalettizerConfig")

# The first of a target is the tool's float file: every other one is held against it.
PEERS: Final = {
    "onnx-float": Peer("onnx", "torch.onnx", FLOAT, _onnx),
    "ort-static": Peer("onnx", "ONNX Runtime static, default", "w8a8", _ort_static()),
    "ort-static-u8s8": Peer("onnx", "ONNX Runtime static, per channel u8s8", "w8a8", _ort_static(**_U8S8)),
    "ort-static-products": Peer(
        "onnx", "ONNX Runtime static, per channel u8s8, MatMul/Gemm/Conv only", "w8a8", _ort_static(**_FEW)
    ),
    "ort-dynamic": Peer("onnx", "ONNX Runtime dynamic, default", "w8da8", _ort_dynamic()),
    "ort-dynamic-channel": Peer(
        "onnx", "ONNX Runtime dynamic, per channel", "w8da8", _ort_dynamic(per_channel=True)
    ),
    "torchao-onnx": Peer("onnx", "torchao PT2E, torch.onnx", "w8a8", _pt2e(_onnx)),
    "tflite-float": Peer("tflite", "litert-torch", FLOAT, _tflite),
    "aeq-static": Peer("tflite", "ai-edge-quantizer static_wi8_ai8", "w8a8", _ai_edge("static_wi8_ai8")),
    "aeq-dynamic": Peer(
        "tflite", "ai-edge-quantizer dynamic_wi8_afp32", "w8da8", _ai_edge("dynamic_wi8_afp32")
    ),
    "aeq-weights": Peer(
        "tflite", "ai-edge-quantizer weight_only_wi8_afp32", "w8", _ai_edge("weight_only_wi8_afp32")
    ),
    "torchao-tflite": Peer("tflite", "torchao PT2E, litert-torch", "w8a8", _pt2e_litert),
    "coreml-float": Peer("coreml", "coremltools", FLOAT, _coreml(half=False)),
    "coreml-half": Peer("coreml", "coremltools", HALF, _coreml(half=True)),
    "ct-int8": Peer("coreml", "coremltools linear, per channel", "w8", _coreml_weights(*_LINEAR, **_INT8)),
    "ct-int4": Peer("coreml", "coremltools linear, blocks of 32", "w4", _coreml_weights(*_LINEAR, **_INT4)),
    "ct-lut4": Peer(
        "coreml", "coremltools palettes, groups of 16", "lut4", _coreml_weights(*_PALETTE, nbits=4, **_LUT)
    ),
    "ct-lut6": Peer(
        "coreml", "coremltools palettes, groups of 16", "lut6", _coreml_weights(*_PALETTE, nbits=6, **_LUT)
    ),
    "ct-activations": Peer("coreml", "coremltools linear activations", "w8a8", _coreml_activations),
    "torchao-coreml": Peer("coreml", "torchao PT2E, coremltools", "w8a8", _pt2e(_coreml(half=True))),
}


def folder_of(name: str) -> str:
    """Where a peer's file is, below its target's folder."""
    peer = PEERS[name]
    return peer.precision if peer.precision in (FLOAT, HALF) else name


def make(model: str, name: str, out: Path, cache: Path, calibration: int) -> dict[str, Any]:
    """Make a file in a process of its own, unless that was done: what made.json says."""
    import subprocess

    done = out / "made.json"
    if not done.exists():
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        command = [sys.executable, "-m", "bench._quantization.peers", model, name, str(out)]
        command += ["--cache", str(cache), "--calibration", str(calibration)]
        log = out / "log.txt"
        with log.open("w") as stream:
            code = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False).returncode
        if code or not done.exists():
            said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            last = said[-1][:200] if said else "nothing was said"
            done.write_text(json.dumps({"error": f"{last} (code {code})" if code < 0 else last}))
    found: dict[str, Any] = json.loads(done.read_text())
    return found


if __name__ == "__main__":
    main()
