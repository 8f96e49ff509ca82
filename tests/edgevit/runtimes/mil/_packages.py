"""Small Core ML packages, made with coremltools' own builder and converter."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil.mil import Builder as mb

SIZE = 8
# each conversion collects garbage, which takes a second with all that is imported by now
gc.freeze()


def image_program(body: Callable[[Any], Any], shape: tuple[int, ...] = (1, 3, SIZE, SIZE)) -> Any:
    """A program with one float32 input `image` whose body is built by `body`."""

    @mb.program(input_specs=[mb.TensorSpec(shape=shape)], opset_version=ct.target.iOS17)
    def program(image: Any) -> Any:
        return body(image)

    return program


def save_program(program: Any, path: Path, **options: Any) -> Path:
    """Save as a package with an RGB image input, nothing optimized away."""
    settings = {
        "inputs": [ct.ImageType("image", shape=(1, 3, SIZE, SIZE), color_layout=ct.colorlayout.RGB)],
        "compute_precision": ct.precision.FLOAT32,
        "pass_pipeline": ct.PassPipeline.EMPTY,
        **options,
    }
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS17,
        skip_model_load=True,
        **settings,
    )
    model.save(str(path))
    return path


def save_module(module: torch.nn.Module, size: int, path: Path, half: bool, **options: Any) -> Path:
    """Convert a torch module that takes (1, 3, size, size) values in 0 .. 255."""
    exported = torch.export.export(module, (torch.rand(1, 3, size, size),)).run_decompositions({})
    model = ct.convert(
        exported,
        inputs=[ct.ImageType("image", shape=(1, 3, size, size), color_layout=ct.colorlayout.RGB)],
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
        skip_model_load=True,
        **options,
    )
    model.save(str(path))
    return path


def pixels(count: int, size: int = SIZE) -> np.ndarray:
    """Random images (count, size, size, 3), uint8."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
