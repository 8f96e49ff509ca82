"""Operators in the vendors' own conversions and in ours, as a Markdown table.

python -m bench.operator_counts --cache DIR [MODEL ...]

Both are made from one model with the same seeded weights, fp32, and kept in DIR, where `bench.latency` finds
them too. ONNX is counted with attention as one operator and, `onnx.attention=split`, as separate products.
Constants are not counted. Leaves with code 1 if a ratio is above its limit.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import vendors
from bench.vendors import FORMS, MODELS
from edgevit.core.runner import Contents
from edgevit.registries import RUNTIMES

READERS = {"tflite": "litert", "onnx": "onnxruntime"}
LIMITS = {"tflite": 0.7, "onnx fused": 0.75, "onnx split": 0.82}


def operators(contents: Contents) -> int:
    """All but constants."""
    return sum(count for kind, count in contents.operators if kind not in ("const", "Constant"))


def main() -> None:
    """Convert, count, print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("models", nargs="*", default=MODELS)
    cli.add_argument("--cache", type=Path, required=True)
    asked = cli.parse_args()
    print("| model | file | vendor | edgevit | ratio | limit | highest rank |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    missed = False
    for text in asked.models:
        vendors.make_missing(text, asked.cache)
        for form in FORMS:
            read = RUNTIMES.get(READERS[form.target]).contents
            names = ("vendor", form.name)
            theirs, own = (read(vendors.path_of(asked.cache, text, n, form.target)) for n in names)
            ratio = operators(own) / operators(theirs)
            missed |= ratio > LIMITS[form.name]
            cells = (text, form.name, operators(theirs), operators(own), f"{ratio:.2f}", LIMITS[form.name])
            print(
                "| " + " | ".join(map(str, cells)) + f" | {theirs.max_rank} -> {own.max_rank} |", flush=True
            )
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
