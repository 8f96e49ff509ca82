"""What the selection and the fold of `--prune mlp=AMOUNT` are worth, on Fashion-MNIST without training.

    python bench/prune_ablation.py --weights edgevit/assets/demo/model.safetensors --size 128

Compares, with the same number of neurons removed per layer: the product's method, its selection
without the fold, and removal by magnitude (norm of a neuron's weights, in and out) without the fold.
Needs Debian's `dataset-fashion-mnist` (or `--data DIR` with the four .gz files).
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import load_file

from bench.train_fashion import CALIBRATION_IMAGES, LABELS, TINT_SEED, batch, read_idx, tint
from edgevit.core.disk.digest import module_digest
from edgevit.core.types import ModelSpec, Preprocess, TensorSpec, TorchModel
from edgevit.prune import _pairs, mlp


def remove(module: torch.nn.Module, pair: _pairs.Pair, kept: torch.Tensor) -> None:
    """Keep the neurons `kept` of one MLP and change nothing else."""
    first, second = module.get_submodule(pair.first), module.get_submodule(pair.second)
    first.weight = torch.nn.Parameter(first.weight.detach()[kept])
    first.bias = torch.nn.Parameter(first.bias.detach()[kept])
    second.weight = torch.nn.Parameter(second.weight.detach()[:, kept])


def by_magnitude(module: torch.nn.Module, pair: _pairs.Pair, keep: int) -> torch.Tensor:
    """Neurons with the largest norm over incoming weights, bias and outgoing weights."""
    first, second = module.get_submodule(pair.first), module.get_submodule(pair.second)
    norms = first.weight.square().sum(1) + first.bias.square() + second.weight.square().sum(0)
    return norms.topk(keep).indices.sort().values


def same_rows(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Indices of the rows of `old` that `new` consists of."""
    return (old[None] == new[:, None]).all(2).float().argmax(1)


@torch.no_grad()
def correct(module: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One truth value per image."""
    return torch.cat([module(part).argmax(1) for part in images.split(100)]) == labels


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument(
        "--weights", type=Path, required=True, help=".safetensors, or a checkpoint of train_fashion.py"
    )
    cli.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    cli.add_argument("--arch", default="mobilevit_xxs")
    cli.add_argument("--size", type=int, default=128)
    cli.add_argument("--amount", type=float, default=0.25)
    cli.add_argument("--calibrate", type=int, default=128)
    cli.add_argument("--evaluate", type=int, default=2000)
    args = cli.parse_args()

    if args.weights.suffix == ".safetensors":
        state = load_file(args.weights)
    else:
        state = torch.load(args.weights, weights_only=True)["model"]
    module = timm.create_model(args.arch, num_classes=len(LABELS)).eval()
    module.load_state_dict(state, strict=False)
    train = tint(read_idx(args.data / "train-images-idx3-ubyte.gz"), TINT_SEED)
    test = tint(read_idx(args.data / "t10k-images-idx3-ubyte.gz"), TINT_SEED + 1)
    labels = torch.from_numpy(
        read_idx(args.data / "t10k-labels-idx1-ubyte.gz")[: args.evaluate].astype(np.int64)
    )
    pick = np.random.default_rng(0).permutation(len(train))[:CALIBRATION_IMAGES][: args.calibrate]
    calibration = batch(train[pick], args.size)
    images = batch(test[: args.evaluate], args.size)

    preprocess = Preprocess(args.size, args.size, (args.size, args.size))
    spec = ModelSpec(
        name=args.arch,
        source=str(args.weights),
        preprocess=preprocess,
        outputs=(TensorSpec("logits", (1, len(LABELS)), "float32"),),
        labels=LABELS,
        weights_sha256=module_digest(module),
        parameters=sum(p.numel() for p in module.parameters()),
    )
    begin = time.perf_counter()
    pruned, lines = mlp.prune(TorchModel(spec, module), args.amount, calibration)
    seconds = time.perf_counter() - begin
    print("\n".join(lines))

    pairs = _pairs.find_pairs(module, images[:1])
    unfolded, magnitude = copy.deepcopy(module), copy.deepcopy(module)
    for pair in pairs:
        new = pruned.module.get_submodule(pair.first).weight
        remove(unfolded, pair, same_rows(module.get_submodule(pair.first).weight, new))
        remove(magnitude, pair, by_magnitude(module, pair, len(new)))

    before = correct(module, images, labels)
    print(
        f"\n{len(pairs)} MLPs, {spec.parameters} -> {pruned.spec.parameters} parameters, {seconds:.1f} s, "
        f"{len(calibration)} calibration images, top-1 on {len(images)} test images at {args.size}x{args.size}:"
    )
    print(f"  before                                   {100 * before.float().mean():6.2f} %")
    for name, candidate in (
        ("selection and fold (the product)", pruned.module),
        ("same neurons, not folded", unfolded),
        ("magnitude, not folded", magnitude),
    ):
        after = correct(candidate, images, labels)
        lost = 100 * (before.float() - after.float())
        error = 1.96 * float(lost.std()) / len(lost) ** 0.5
        print(
            f"  {name:40} {100 * after.float().mean():6.2f} %   drop {lost.mean():6.2f} +- {error:.2f} points"
        )


if __name__ == "__main__":
    main()
