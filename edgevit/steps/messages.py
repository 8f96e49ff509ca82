"""What the steps of a conversion hand to each other: plain data, and paths of files in a work folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from edgevit.core.cache.memory import OFF, Remembered
from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.outputs import OutputKind
from edgevit.core.plans import SitePlan
from edgevit.core.plugins import Timing
from edgevit.core.precisions import Precision, Variant
from edgevit.core.process.sandbox import Isolation
from edgevit.core.results.report import (
    AutoFloat,
    Compression,
    Doubt,
    KeptFloat32,
    Limits,
    OtherResize,
    RangeFit,
    Reconstruction,
    SampleSet,
    SiteError,
    SiteLoss,
)
from edgevit.core.runner import IntegerMacs, SiteTensors
from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import ModelSpec, Preprocess, TensorSpec

# Names of files in the work folder.
GRAPH: Final = "graph.pt2"
PIXELS: Final = "pixels.npy"
LABELS: Final = "labels.npy"
HEAD_LABELS: Final = "head-labels.npz"
NAMES: Final = "names.json"
REFERENCE: Final = "reference.npz"
SCANNED: Final = "scanned.npy"
PLANS: Final = "plans"

# Simulations are slow next to execution, and an SQNR settles with far fewer images than a top-1.
FIDELITY_IMAGES: Final = 128
SITE_IMAGES: Final = 2


def quantize_activations(parts: Iterable[SitePlan | OpCapabilities]) -> bool:
    """Whether any of them rounds its input, on a static grid or at run time."""
    return any(part.input is not None or part.dynamic is not None for part in parts)


def site_values(target: str) -> str:
    """File with PyTorch's values at the sites of a target's fp32 file."""
    return f"site-values-{target}.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """Load, prune, export, calibrate, plan and simulate the model of a recipe.

    Attributes:
        work: folder for the files that are left behind.
        backends: what the runtimes can do, for each file that is quantized.
        scan_float16: some file holds or computes float16.
        float_limits: each target that is asked for -> its `float_limit_bytes`.
        memory: the part of the cache that this model has for itself.
    """

    work: str
    recipe: Recipe
    backends: tuple[BackendCapabilities, ...] = ()
    scan_float16: bool = False
    float_limits: Mapping[str, int | None] = field(default_factory=dict)
    memory: Remembered = OFF

    @property
    def limits(self) -> Limits:
        """What each file has to keep; refused where the output or the images have no such measure."""
        return Limits(self.recipe.max_drop, self.recipe.min_agreement, self.recipe.min_sqnr)

    @property
    def auto_float(self) -> Limits | None:
        """What the plans have to keep by leaving sites in float; None to leave them as they are."""
        return self.limits if self.recipe.auto_float else None


@dataclass(frozen=True, slots=True)
class SimulatedPlan:
    """What the simulation of the plan for one target and precision gave.

    Attributes:
        outputs: file with the simulated outputs, in the work folder.
        floor_db: SQNR of the simulation against itself with noise; None without quantized activations.
        graph: file of the graph that the plan belongs to, in the work folder.
        integer_macs: of the sites whose activations and weights the plan makes integer.
        sensitivity: every planned site with what it costs alone, worst first.
        auto_float: what was left in float to keep a limit.
        reconstruction: what tuning its blocks did; None where that was not asked for.
        ranges: how its static ranges fit the evaluation images; None without ranges or such images.
        digest: of the plan itself.
    """

    target: str
    precision: Precision
    outputs: str
    graph: str
    compression: Compression
    floor_db: float | None
    integer_macs: int
    sensitivity: tuple[SiteLoss, ...] = ()
    auto_float: AutoFloat | None = None
    reconstruction: Reconstruction | None = None
    ranges: RangeFit | None = None
    digest: str = ""

    @property
    def variant(self) -> Variant:
        """Which file the plan is for."""
        return Variant(self.target, self.precision)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` leaves behind besides its files.

    Attributes:
        base: file with the outputs of the graph that is converted, which differ from the
            reference only where the model was pruned.
        pruned: the loss by pruning alone, None if nothing was pruned.
        fidelity_images: the first so many images of `pixels.npy` are simulated.
        keep_float32: operations of the graph that float16 would spoil; None if no file computes in it.
        left_out: target -> why it cannot hold this model.
        isolation: what held the step back; None for a model that was not loaded in a sandbox.
        doubts: about the float model; their texts are among the warnings too.
        other_resize: what another filter of the resize costs; None where nothing is resized.
        notes: what was done to the model before it was exported.
        graphs: file of each graph in the work folder -> digest of what it computes, and of the user's code behind it.
        first_image: digest of the first of the judged images.
        recalled: the kinds of results that the cache had, in order.
    """

    spec: ModelSpec
    macs: int
    rewrites: tuple[str, ...]
    calibrate: SampleSet | None
    evaluate: SampleSet | None
    images: int
    labelled: bool
    fidelity_images: int
    base: str
    pruned: Compression | None
    simulated: tuple[SimulatedPlan, ...]
    prune: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    folds: tuple[str, ...] = ()
    keep_float32: tuple[KeptFloat32, ...] | None = None
    warnings: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    other_resize: OtherResize | None = None
    notes: tuple[str, ...] = ()
    graphs: Mapping[str, str] = field(default_factory=dict)
    first_image: str = ""
    recalled: tuple[str, ...] = ()
    timings_s: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: int | None = None
    isolation: Isolation | None = None

    @property
    def output_kind(self) -> OutputKind:
        """What the first output is."""
        return self.spec.output


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """Convert one model for one target to several precisions, in one process.

    Attributes:
        scan_float16: the precisions that need a scan of the target's own graph, because the shared one
            has operations that float16 would spoil.
    """

    work: str
    target: str
    precisions: tuple[Precision, ...]
    graphs: Mapping[Precision, str]
    spec: ModelSpec
    options: Mapping[str, str]
    without: tuple[str, ...]
    scan_float16: tuple[Precision, ...]
    folders: Mapping[Precision, str]


@dataclass(frozen=True, slots=True)
class Built:
    """One file that a target wrote; `error` instead of `path` where it could not.

    Attributes:
        float32: operations that float16 would spoil.
        trace: where the error was raised, for `-v`.
        backend: what it was made for, "" for the target's usual one.
    """

    target: str
    precision: Precision
    seconds: float
    path: str | None = None
    sites: tuple[SiteTensors, ...] = ()
    float32: tuple[KeptFloat32, ...] = ()
    error: str | None = None
    trace: str = ""
    backend: str = ""

    @property
    def variant(self) -> Variant:
        """Which file it is."""
        return Variant(self.target, self.precision)


@dataclass(frozen=True, slots=True)
class BuiltAll:
    """All files of one target, and the most memory that making them took."""

    files: tuple[Built, ...]
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ImageRange:
    """Some of the images, one after the other."""

    first: int
    count: int

    @property
    def end(self) -> int:
        """Behind the last one."""
        return self.first + self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecuteRequest:
    """Execute the files of one target on images, in one process.

    `preprocess` is used for a file that carries none of its own.

    Attributes:
        float_runtime: executes `fp32`; "" for `runtime`.
        images: those that this process executes, None for all; what is asked besides outputs comes with the first.
        reference: what the float model's first output is, for files of unknown origin: one that is far from
            the model is tried with other input values. None for files that were made here.
    """

    work: str
    runtime: str
    threads: int
    files: tuple[Built, ...]
    graphs: Mapping[Precision, str]
    fp32: Built | None
    preprocess: Preprocess
    float_runtime: str = ""
    reference: OutputKind | None = None
    images: ImageRange | None = None


@dataclass(frozen=True, slots=True)
class Executed:
    """What the execution of one file gave; `error` where it could not.

    Attributes:
        outputs: file with the outputs, in the work folder.
        output: what the first of them is.
        explanation: why it is far from the model, in one sentence; "" where nothing explains it.
        other_pixels: how its own preprocessing differs from the model's before there are pixels; "" where it agrees.
        takes, gives: its inputs and outputs, as it says itself.
        requires: what it wants of whoever loads it, such as operator sets.
        trace: where the error was raised, for `-v`.
        images: how many were executed; None for all.
        refused: why the accelerator that it was made for does not take it whole, a sentence for each operator.
    """

    target: str
    precision: Precision
    seconds: float
    executed_by: str | None = None
    outputs: str | None = None
    integer: IntegerMacs | None = None
    weight_bytes: Mapping[str, int] = field(default_factory=dict)
    operators: int | None = None
    max_rank: int | None = None
    sites: tuple[SiteError, ...] = ()
    error: str | None = None
    output: OutputKind | None = None
    explanation: str = ""
    other_pixels: str = ""
    takes: tuple[TensorSpec, ...] = ()
    gives: tuple[TensorSpec, ...] = ()
    requires: tuple[str, ...] = ()
    trace: str = ""
    refused: tuple[str, ...] = ()
    images: int | None = None

    @property
    def variant(self) -> Variant:
        """Which file it is."""
        return Variant(self.target, self.precision)


@dataclass(frozen=True, slots=True)
class ExecutedAll:
    """All files of one target."""

    files: tuple[Executed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRequest:
    """Time several files of one target side by side; the first is the fp32 file.

    `preprocess` is used for a file that carries none of its own.
    """

    work: str
    runtime: str
    threads: int
    runs: int
    paths: tuple[str, ...]
    preprocess: Preprocess | None = None


@dataclass(frozen=True, slots=True)
class Timed:
    """Timings in the order of the paths, interleaved."""

    timings: tuple[Timing, ...]
