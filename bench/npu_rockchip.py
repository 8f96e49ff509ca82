"""An ONNX file in the simulator of Rockchip's NPU, held against the float file in ONNX Runtime.

    python3.11 -m venv RKNN && RKNN/bin/pip install rknn-toolkit2 "setuptools<81"
    RKNN/bin/python bench/npu_rockchip.py FLOAT.onnx FILE.onnx IMAGES.npz              edgevit's file, as it is
    RKNN/bin/python bench/npu_rockchip.py FLOAT.onnx FLOAT.onnx IMAGES.npz --quantize  Rockchip's own quantization

An environment of its own, since rknn-toolkit2 2.5.0 asks for numpy 1, onnx 1.18 and torch 2.4 (2.14.1 did as well);
edgevit is not imported. It takes operator sets up to 19. IMAGES.npz holds `pixels`, uint8 (N, height, width, 3) in RGB,
as the model takes them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np


def main() -> None:
    """Print SQNR and agreement."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("float_file", type=Path)
    cli.add_argument("file", type=Path)
    cli.add_argument("images", type=Path)
    cli.add_argument("--count", type=int, default=20)
    cli.add_argument("--quantize", action="store_true")
    cli.add_argument("--platform", default="rk3588")
    cli.add_argument("--mean", type=float, nargs=3, default=(0.485, 0.456, 0.406))
    cli.add_argument("--std", type=float, nargs=3, default=(0.229, 0.224, 0.225))
    asked = cli.parse_args()
    pixels = np.load(asked.images)["pixels"][: asked.count]
    wanted = reference(asked.float_file, pixels, asked.mean, asked.std)
    found = simulated(asked, pixels)
    noise = np.square(wanted - found).sum()
    same = (wanted.argmax(1) == found.argmax(1)).mean()
    print(
        f"{10 * np.log10(np.square(wanted).sum() / noise):.1f} dB, agreement {100 * same:.1f} % of {len(pixels)} images"
    )


def reference(file: Path, pixels: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """The float file's logits, float32 (N, classes)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    images = ((pixels / 255.0 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])


def simulated(asked: argparse.Namespace, pixels: np.ndarray) -> np.ndarray:
    """The same of the file in the simulator, which normalises the images itself."""
    from PIL import Image
    from rknn.api import RKNN

    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "images.txt"
        names = [str(Path(folder) / f"{index}.png") for index in range(len(pixels))]
        for name, image in zip(names, pixels, strict=True):
            Image.fromarray(image).save(name)
        listed.write_text("\n".join(names) + "\n")
        rknn = RKNN()
        scaled = [[255 * value for value in values] for values in (asked.mean, asked.std)]
        rknn.config(mean_values=[scaled[0]], std_values=[scaled[1]], target_platform=asked.platform)
        steps = (
            lambda: rknn.load_onnx(model=str(asked.file)),
            lambda: rknn.build(
                do_quantization=asked.quantize, dataset=str(listed) if asked.quantize else None
            ),
            lambda: rknn.init_runtime(),  # without a target: the simulator
        )
        for step in steps:
            if step() != 0:
                raise SystemExit(f"rknn-toolkit2 refuses {asked.file}")
        found = [rknn.inference(inputs=[image[None]], data_format=["nhwc"])[0] for image in pixels]
        rknn.release()
    return np.concatenate([np.asarray(one, np.float32).reshape(1, -1) for one in found])


if __name__ == "__main__":
    main()
