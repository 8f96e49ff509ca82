"""The gate through the history of one repository, with the demo: ten real builds and what a colleague reads of each.

    python -m bench.gate_history --folder history

Weights are changed by noise in every layer: a little of it, and as much as costs about two points of top-1, found by
trying. Printed as a Markdown table, and each message in full.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors.torch import load_file, save_file

from bench._gate.history import Repository, Step, play
from calibration.load import evenly
from edgevit.core.assets import demo_asset

HALVINGS = 7


def main(
    folder: Annotated[
        Path | None, typer.Option(help="Where the builds go; kept, and not made again where they stand.")
    ] = None,
    count: Annotated[int, typer.Option(help="Evaluation images, at most 2,000.")] = 2000,
) -> None:
    """Play it and print it."""
    place = folder or Path(tempfile.mkdtemp(prefix="gate-history-"))
    place.mkdir(parents=True, exist_ok=True)
    steps = play(_demo(place, count), place, _run, _tell)
    print("\n| build | exit code | regressed |\n| --- | ---: | --- |")
    for step in steps:
        print(
            f"| {step.name} | {step.exit_code} | {', '.join(' '.join(pair) for pair in sorted(step.regressed))} |"
        )


def _demo(folder: Path, count: int) -> Repository:
    weights = load_file(demo_asset("model.safetensors"))
    labels = demo_asset("labels.txt").read_text().splitlines()
    noisy, worse, moved = (folder / f"{name}.safetensors" for name in ("noisy", "worse", "moved"))
    save_file(noised(weights, 0.002), noisy)
    if not worse.exists():
        save_file(noised(weights, _noise_that_costs(weights, 0.02, count)), worse)
    head = {
        name: torch.roll(value, 1, 0) if name.startswith("head.fc") else value
        for name, value in weights.items()
    }
    save_file({name: value.contiguous() for name, value in head.items()}, moved)
    (folder / "labels.txt").write_text("\n".join([labels[-1], *labels[:-1]]) + "\n")
    build = (
        *("demo", "--to", "onnx,tflite", "--precision", "w8a8", "--calibration-count", "128"),
        *("--evaluate", "demo", "--evaluate-count", str(count)),
    )
    few = tuple("60" if word == str(count) else word for word in build)
    return Repository(
        build=build,
        noisy=(*build, "--weights", str(noisy)),
        worse=(*build, "--weights", str(worse)),
        reordered=(*build, "--weights", str(moved), "--labels", str(folder / "labels.txt")),
        few=few,
        others=(*build, "--evaluate", "demo:calibration"),
        bad_range="tflite",
    )


def noised(weights: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """Normal noise, in shares of each weight's standard deviation; the same each time."""
    random = torch.Generator().manual_seed(0)
    return {
        name: value + share * value.std() * torch.randn(value.shape, generator=random)
        if value.dtype == torch.float32 and value.ndim > 1
        else value
        for name, value in weights.items()
    }


def _noise_that_costs(weights: dict[str, torch.Tensor], drop: float, count: int) -> float:
    """By halving, with edgevit's own figure of the float model."""
    import numpy as np
    import timm

    config = json.loads(demo_asset("config.json").read_text())
    images = np.load(demo_asset("evaluation.npz"))
    mean, std = (np.array(config[key], np.float32) for key in ("mean", "std"))
    side = config["input_size"]
    chosen = np.array(evenly(len(images["images"]), count))  # as edgevit takes some of them
    from PIL import Image

    pixels = np.stack(
        [
            np.asarray(Image.fromarray(i).resize((side, side), Image.Resampling.BICUBIC))
            for i in images["images"][chosen]
        ]
    )
    inputs = torch.from_numpy(
        ((pixels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    )
    model = timm.create_model(config["architecture"], num_classes=config["num_classes"]).eval()

    def top1(state: dict[str, torch.Tensor]) -> float:
        model.load_state_dict(state)
        with torch.inference_mode():
            found = torch.cat([model(part) for part in inputs.split(200)]).argmax(1).numpy()
        return float((found == images["labels"][chosen]).mean())

    whole, low, high = top1(weights), 0.0, 0.3
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if whole - top1(noised(weights, middle)) > drop else (middle, high)
    return high


def _run(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "edgevit", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def _tell(step: Step) -> None:
    print(f"\n## {step.name}: exit code {step.exit_code}\n{step.message}", flush=True)


if __name__ == "__main__":
    typer.run(main)
