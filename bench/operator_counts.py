"""Operators in the vendors' own conversions and in ours, as a Markdown table.

python -m bench.operator_counts [MODEL ...] [--opset N]

Both are made from one model with the same seeded weights, fp32. ONNX is counted with attention as one
operator and, `onnx.attention=split`, as separate products. Constants are not counted. Leaves with code 1 if
a ratio is above its limit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import vendors
from bench.vendors import FORMS, MODELS, Form
from edgevit.core.types import Contents, TorchModel
from edgevit.registries import RUNTIMES, TARGETS

READERS = {"tflite": "litert", "onnx": "onnxruntime"}
LIMITS = {"tflite": 0.7, "onnx fused": 0.75, "onnx split": 0.82}


def operators(contents: Contents) -> int:
    """All but constants."""
    return sum(count for kind, count in contents.operators if kind not in ("const", "Constant"))


def compare(model: TorchModel, form: Form, opset: int | None) -> tuple[Contents, Contents]:
    """What the vendor's file and ours hold."""
    read = RUNTIMES.get(READERS[form.target]).contents
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{who}.{TARGETS.get(form.target).suffix}" for who in ("vendor", "ours")]
        vendors.vendor(model, form.target, paths[0], opset)
        vendors.ours(model, form, paths[1])
        theirs, own = (read(path) for path in paths)
    return theirs, own


def main() -> None:
    """Convert, count, print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("models", nargs="*", default=MODELS)
    cli.add_argument("--opset", type=int, help="of the vendor's ONNX file; its default if not given")
    asked = cli.parse_args()
    print("| model | file | vendor | edgevit | ratio | limit | highest rank |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    missed = False
    for text in asked.models:
        model = vendors.load(text)
        for form in FORMS:
            theirs, own = compare(model, form, asked.opset)
            ratio = operators(own) / operators(theirs)
            missed |= ratio > LIMITS[form.name]
            cells = (text, form.name, operators(theirs), operators(own), f"{ratio:.2f}", LIMITS[form.name])
            print(
                "| " + " | ".join(map(str, cells)) + f" | {theirs.max_rank} -> {own.max_rank} |", flush=True
            )
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
