"""Train the embedded demo model on Fashion-MNIST and write everything the package ships of it.

    python bench/train_fashion.py --out edgevit/assets/demo

Needs Debian's `dataset-fashion-mnist` (or `--data DIR` with the four .gz files).
About an hour on 2 cores: most epochs at 64x64, the last at the 128x128 that is deployed.
A run that was stopped continues from `--checkpoint`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import struct
import time
from pathlib import Path

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

LABELS = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
TINT_SEED = 20260
CALIBRATION_IMAGES = 512
EVALUATION_IMAGES = 2000

Images = NDArray[np.uint8]


def read_idx(path: Path) -> Images:
    """Read one IDX file (http://yann.lecun.com/exdb/mnist) of unsigned bytes."""
    with gzip.open(path) as stream:
        magic = struct.unpack(">I", stream.read(4))[0]
        shape = struct.unpack(f">{magic & 0xFF}I", stream.read(4 * (magic & 0xFF)))
        return np.frombuffer(stream.read(), np.uint8).reshape(shape)


def tint(gray: Images, seed: int) -> Images:
    """Colour grey images, (N, H, W) -> (N, H, W, 3): warm cloth on a dark, bluish ground.

    Red always leads in the cloth and blue in the ground, so a model that is fed BGR
    sees colours that it never met.
    """
    rng = np.random.default_rng(seed)
    count = len(gray)
    cloth = rng.uniform((0.75, 0.45, 0.15), (1.0, 0.8, 0.45), (count, 1, 1, 3))
    ground = rng.uniform((0.0, 0.05, 0.2), (0.1, 0.2, 0.45), (count, 1, 1, 3))
    alpha = gray[..., None] / 255.0
    return np.asarray((ground + (cloth - ground) * alpha) * 255 + 0.5, np.uint8)


def batch(images: Images, size: int) -> torch.Tensor:
    """Resize as Pillow's bicubic does and normalise: (N, 28, 28, 3) -> (N, 3, size, size)."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    big = torch.nn.functional.interpolate(pixels, (size, size), mode="bicubic", antialias=True)
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    out = (big.round().clamp(0, 255) / 255 - mean) / std
    return out.contiguous(memory_format=torch.channels_last)


def augment(images: Images, rng: np.random.Generator) -> Images:
    """Flip half of the images and shift all of them by up to two pixels."""
    flipped = np.where(rng.random(len(images))[:, None, None, None] < 0.5, images[:, :, ::-1], images)
    padded = np.pad(flipped, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    dy, dx = rng.integers(0, 5, 2)
    return np.ascontiguousarray(padded[:, dy : dy + 28, dx : dx + 28])


@torch.no_grad()
def top1(model: torch.nn.Module, images: Images, labels: Images, size: int) -> float:
    """Top-1 accuracy in percent."""
    model.eval()
    hits = 0
    for start in range(0, len(images), 250):
        scores = model(batch(images[start : start + 250], size))
        hits += int((scores.argmax(1).numpy() == labels[start : start + 250]).sum())
    return 100 * hits / len(images)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--arch", default="mobilevit_xxs")
    cli.add_argument(
        "--model-arg",
        action="append",
        default=[],
        metavar="K=V",
        help="whole numbers for timm, such as patch_size=8",
    )
    cli.add_argument("--phases", default="64x5@2e-3,128x1@5e-4,128x2@1e-3", help="SIZExEPOCHS@LR, in order")
    cli.add_argument("--train-images", type=int, help="the first so many of the training images alone")
    cli.add_argument("--batch", type=int, default=128)
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--checkpoint", type=Path, default=Path("train-checkpoint.pt"))
    args = cli.parse_args()

    def load(stem: str, seed: int) -> tuple[Images, Images]:
        gray = read_idx(args.data / f"{stem}-images-idx3-ubyte.gz")
        return tint(gray, seed), read_idx(args.data / f"{stem}-labels-idx1-ubyte.gz")

    train_x, train_y = (part[: args.train_images] for part in load("train", TINT_SEED))
    test_x, test_y = load("t10k", TINT_SEED + 1)
    # Calibration images come from the training split, which the judged images never touch.
    torch.manual_seed(args.seed)
    given = {key: int(value) for key, _, value in (text.partition("=") for text in args.model_arg)}
    model = timm.create_model(args.arch, num_classes=len(LABELS), **given)
    model = model.to(memory_format=torch.channels_last)

    log: list[str] = [f"arch {args.arch} phases {args.phases} batch {args.batch} seed {args.seed}"]
    done = -1
    if args.checkpoint.exists():
        saved = torch.load(args.checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        log, done = saved["log"], saved["epoch"]

    epoch = 0
    for phase in args.phases.split(","):
        shape, _, rate = phase.partition("@")
        size, epochs = (int(v) for v in shape.split("x"))
        optimizer = torch.optim.AdamW(model.parameters(), lr=float(rate), weight_decay=0.05)
        steps = len(train_x) // args.batch
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, float(rate), total_steps=steps * epochs, pct_start=0.2
        )
        for _ in range(epochs):
            if epoch <= done:  # a resumed phase continues its schedule, with fresh moments
                for _ in range(steps):
                    schedule.step()
                epoch += 1
                continue
            rng = np.random.default_rng((args.seed, epoch))
            order = rng.permutation(len(train_x))
            model.train()
            begin, total = time.time(), 0.0
            for step in range(steps):
                index = order[step * args.batch : (step + 1) * args.batch]
                scores = model(batch(augment(train_x[index], rng), size))
                loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(train_y[index]).long())
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
                total += loss.item()
                if step % 50 == 0:
                    print(f"  epoch {epoch} step {step}/{steps} loss {loss.item():.3f}", flush=True)
            score = top1(model, test_x, test_y, size)
            line = (
                f"epoch {epoch} size {size} loss {total / steps:.4f} "
                f"test top-1 {score:.2f} % of {len(test_x)} seconds {time.time() - begin:.0f}"
            )
            print(line, flush=True)
            log.append(line)
            torch.save({"model": model.state_dict(), "log": log, "epoch": epoch}, args.checkpoint)
            epoch += 1

    log.append(
        f"final top-1 at {size} on all {len(test_x)} test images: {top1(model, test_x, test_y, size):.2f} %"
    )
    print(log[-1])
    model = model.eval().to(memory_format=torch.contiguous_format)
    args.out.mkdir(parents=True, exist_ok=True)
    state = {
        k: v.contiguous() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    save_file(state, args.out / "model.safetensors")
    pick = np.random.default_rng(args.seed).permutation(len(train_x))[:CALIBRATION_IMAGES]
    np.savez_compressed(args.out / "calibration.npz", images=train_x[pick], labels=train_y[pick])
    np.savez_compressed(
        args.out / "evaluation.npz", images=test_x[:EVALUATION_IMAGES], labels=test_y[:EVALUATION_IMAGES]
    )
    (args.out / "labels.txt").write_text("\n".join(LABELS) + "\n")
    (args.out / "training.log").write_text("\n".join(log) + "\n")
    config = {
        "architecture": args.arch,
        "num_classes": len(LABELS),
        "input_size": size,
        "mean": MEAN,
        "std": STD,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "weights_sha256": hashlib.sha256((args.out / "model.safetensors").read_bytes()).hexdigest(),
    }
    (args.out / "config.json").write_text(json.dumps(config, indent=1) + "\n")


if __name__ == "__main__":
    main()
