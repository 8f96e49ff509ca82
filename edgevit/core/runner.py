"""What a file holds, and the handle that executes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

from edgevit.agent.feed import Feed
from edgevit.core.outputs import Activation, OutputKind
from edgevit.core.types import Preprocess, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels


@dataclass(frozen=True, slots=True)
class SiteTensors:
    """Where a site lives in an artifact: names of tensors that a Runner can tap.

    `input` and `output` name the integer tensors where the plan has grids, else the float ones; `second`
    is the second operand of a product of two activations, "" where that is a weight.
    """

    site: str
    input: str
    output: str
    rhs: str = ""


@dataclass(frozen=True, slots=True)
class FileValue:
    """A computed tensor of an artifact.

    Attributes:
        tap: what a Runner calls it.
        site: the site that it belongs to, "" where the file does not say.
        elements: number of its values for one image, None where the file does not say.
        scale, zero_point: real = scale * (stored - zero_point); None for a tensor of real numbers.
    """

    tap: str
    site: str = ""
    elements: int | None = None
    scale: float | None = None
    zero_point: int = 0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to open an artifact.

    Attributes:
        threads: 0 for all cores.
        taps: names of intermediate tensors to return besides the outputs.
        preprocess: used only for a file that carries none of its own.
        architecture: of an accelerator that has several; "" for what the file was made for, else the usual one.
    """

    threads: int = 0
    taps: tuple[str, ...] = ()
    preprocess: Preprocess | None = None
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class DeviceOutput:
    """An output of a file as the agent gives it, in the file's order.

    Attributes:
        scale, zero_point: real = scale * (given - zero_point); None where real numbers are given.
    """

    name: str
    scale: float | None = None
    zero_point: int = 0


@dataclass(frozen=True, slots=True)
class DeviceFile:
    """What the agent on a device must be told of a file, which it does not read itself.

    Attributes:
        shape: (height, width, channels) of an image.
        classes: labels in index order, of a Core ML classifier, which gives probabilities by label.
    """

    feed: Feed
    shape: tuple[int, int, int]
    outputs: tuple[DeviceOutput, ...]
    classes: tuple[str, ...] = ()


class Runner(Protocol):
    """An opened artifact. Pixels in, outputs by name out."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, pixels: Pixels) -> dict[str, NDArray[np.generic]]:
        """Execute on images that are already resized and cropped.

        Args:
            pixels: uint8 (N, height, width, 3), RGB. The runner applies the artifact's own
                normalisation and channel order; N may be anything, the file's batch is 1.

        Returns:
            Each output as real numbers, and each tapped tensor in its own type, an output too; in the
            artifact's own layout, stacked to (N, ...) with the batch axis of 1 removed.
        """
        ...

    def prepare(self, pixels: Pixels) -> object:
        """The file's own input for one image, (1, height, width, 3): so that timing excludes preprocessing."""
        ...

    def invoke(self, prepared: object) -> None:
        """Execute once on what `prepare` returned: what a latency measurement times."""
        ...


@dataclass(frozen=True, slots=True)
class IntegerMacs:
    """Multiply-accumulates that are executed in integer kernels.

    Attributes:
        static, dynamic: MACs in kernels with static or run-time activation ranges.
        source: `runtime` if seen in the runtime's own graph, `program` if it is what the program permits.
        operators: (operator type, count) of what was found, for the report.
        partitions: number of delegate partitions, None where the runtime has none.
        in_float: kinds of operators that compute in float where a whole graph in integers was asked for.
        static_by_bits: (bits, MACs) of the static ones by the wider of the two factors; empty where all have 8.
    """

    static: int
    dynamic: int
    source: Literal["runtime", "program"]
    operators: tuple[tuple[str, int], ...] = ()
    partitions: int | None = None
    static_by_bits: tuple[tuple[int, int], ...] = ()
    in_float: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contents:
    """What was read back from an artifact.

    Attributes:
        preprocess, labels, output: embedded metadata; None and empty if the file has none.
        activation: the operator that the first output, or `logits`, comes from.
        weight_bytes: bytes of stored constants by dtype, for example {"int8": n, "float32": n}.
        operators: (operator type, count), most frequent first.
        max_rank: highest rank of any tensor.
        metadata: everything else that is embedded, as text.
        requires: what an app or device must have to load it: operator sets with their version, the version of the
            format, operators that are not the runtime's own; sorted.
    """

    preprocess: Preprocess | None
    labels: tuple[str, ...]
    weight_bytes: Mapping[str, int]
    operators: tuple[tuple[str, int], ...]
    max_rank: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    output: OutputKind | None = None
    activation: Activation = "none"
    requires: tuple[str, ...] = ()
