"""A target and its runtime outside edgevit: the exported program and its metadata in one zip archive.

It is as small as a target can be and still be judged: it has fp32 alone, so no plan; its runtime executes the
file, says what is in it and gives out the outputs. A quantized precision would also need `BackendCapabilities`
(what the runtime computes in integers), the plan's numbers in the file, and the tensors of each site, so that every
layer can be checked.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from edgevit.core import metadata_keys, outputs
from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.disk.reading import reading
from edgevit.core.disk.whole_files import write_atomic
from edgevit.core.errors import UnsupportedError
from edgevit.core.pixels import normalise
from edgevit.core.plans import QuantPlan
from edgevit.core.plugins import Runtime, Target
from edgevit.core.precisions import Precision
from edgevit.core.results.report import ModelSummary
from edgevit.core.runner import Contents, IntegerMacs, Runner, RunOptions, SiteTensors
from edgevit.core.types import Graph, ModelSpec, Preprocess, TensorSpec
from edgevit.formats import preprocess_json
from edgevit.formats.labels import dump_heads, parse_labels

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels

SUFFIX: Final = "ptz"
_PROGRAM, _METADATA = "program.pt2", "edgevit.json"


# ---------------------------------------------------------------- the target


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `write` makes files from."""

    graph: Graph
    spec: ModelSpec


def capabilities(
    precision: Precision, options: Mapping[str, str] | None = None
) -> BackendCapabilities | None:
    """Nothing is computed in integers."""
    return None


def check_options(options: Mapping[str, str]) -> None:
    """There are none."""


def prepare(graph: Graph, spec: ModelSpec, options: Mapping[str, str]) -> Prepared:
    """Other formats are converted here, once for all precisions."""
    return Prepared(graph, spec)


def write(
    prepared: object,
    precision: Precision,
    plan: QuantPlan | None,
    out: Path,
    keep_float32: frozenset[str] = frozenset(),
) -> tuple[SiteTensors, ...]:
    """Write one file; it names no tensors of single layers, so none of them are checked."""
    import torch

    if not isinstance(prepared, Prepared):
        raise TypeError("write needs what prepare returned")
    if precision != Precision.FP32:
        raise UnsupportedError(f"program cannot write {precision}", "it can: fp32")
    program, archive = io.BytesIO(), io.BytesIO()
    torch.export.save(prepared.graph.program, program)
    metadata = {
        metadata_keys.PREPROCESS: preprocess_json.dumps(prepared.spec.preprocess, "NCHW"),
        metadata_keys.PRECISION: precision,
        metadata_keys.LABELS: json.dumps(prepared.spec.labels),
        metadata_keys.OUTPUT: outputs.dumps(prepared.spec.output),
        metadata_keys.HEADS: dump_heads(prepared.spec),
        "outputs": [(o.name, o.shape, o.dtype) for o in prepared.spec.outputs],
    }
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(_PROGRAM, program.getvalue())
        file.writestr(_METADATA, json.dumps(metadata))
    write_atomic(out, archive.getvalue())
    return ()


def usage(path: str, model: ModelSummary) -> str:
    """How a program loads the file, for USAGE.md."""
    return f"""The exported program (`pip install torch`):

```python
import io
import zipfile

import torch

program = torch.export.load(io.BytesIO(zipfile.ZipFile({path!r}).read("{_PROGRAM}"))).module()


def answer(path):
    return program(torch.from_numpy(normalise(crop(path)).transpose(2, 0, 1)[None]))
```"""


TARGET: Final = Target(
    summary="the exported PyTorch program in a zip archive",
    suffix=SUFFIX,
    extra="",  # this package's own dependencies bring what it needs
    precisions=(Precision.FP32,),
    runtimes=("torch_program",),
    options={},
    check_options=check_options,
    modules=("torch",),
    capabilities=capabilities,
    prepare=prepare,
    write=write,
    usage=usage,
)


# ---------------------------------------------------------------- the runtime


class TorchRunner:
    """An opened file: pixels in, outputs by name out."""

    def __init__(self, path: Path, options: RunOptions) -> None:
        import torch

        if options.taps:
            raise UnsupportedError(f"{path} gives out no inner tensors", "its target names none")
        if options.threads:
            torch.set_num_threads(options.threads)
        found = contents(path)
        assert found.preprocess is not None  # `write` puts it into every file
        self._preprocess: Preprocess = found.preprocess
        self._names = tuple(output.name for output in found.outputs)
        with reading(path, "program"), zipfile.ZipFile(path) as file:
            self._module: Any = torch.export.load(io.BytesIO(file.read(_PROGRAM))).module()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def run(self, pixels: Pixels) -> dict[str, NDArray[np.generic]]:
        import numpy as np

        rows = [self._outputs(self.prepare(pixels[n : n + 1])) for n in range(len(pixels))]
        return {name: np.concatenate([row[i].numpy() for row in rows]) for i, name in enumerate(self._names)}

    def prepare(self, pixels: Pixels) -> torch.Tensor:
        import torch

        return torch.from_numpy(normalise(pixels, self._preprocess))

    def invoke(self, prepared: object) -> None:
        self._outputs(prepared)

    def _outputs(self, prepared: object) -> tuple[torch.Tensor, ...]:
        import torch

        with torch.inference_mode():
            found = self._module(prepared)
        return found if isinstance(found, tuple) else (found,)


def open_runner(path: Path, options: RunOptions) -> Runner:
    """An opened file."""
    return TorchRunner(path, options)


def contents(path: Path) -> Contents:
    """What the file says about itself; whatever is wrong with it is told as the file's fault."""
    with reading(path, "program"), zipfile.ZipFile(path) as file:
        metadata = json.loads(file.read(_METADATA))
        size = file.getinfo(_PROGRAM).file_size
    preprocess = preprocess_json.loads(metadata[metadata_keys.PREPROCESS]).preprocess
    image = (1, preprocess.channels, preprocess.height, preprocess.width)
    return Contents(
        preprocess=preprocess,
        labels=parse_labels(metadata[metadata_keys.LABELS], path),
        weight_bytes={"float32": size},
        operators=(),
        max_rank=4,
        inputs=(TensorSpec("image", image, "float32"),),
        outputs=tuple(TensorSpec(name, tuple(shape), dtype) for name, shape, dtype in metadata["outputs"]),
        metadata={key: metadata[key] for key in (metadata_keys.PRECISION, metadata_keys.HEADS)},
        output=outputs.loads(metadata[metadata_keys.OUTPUT], path),
    )


def integer_macs(path: Path) -> IntegerMacs:
    """None."""
    return IntegerMacs(0, 0, "program")


def label() -> str:
    """For the report: what executed the file."""
    import torch

    return f"torch {torch.__version__}"


RUNTIME: Final = Runtime(
    summary="PyTorch, for the exported program",
    suffix=SUFFIX,
    extra="",
    has_latency=True,
    unavailable=lambda: None,
    label=label,
    open=open_runner,
    integer_macs=integer_macs,
    contents=contents,
)
