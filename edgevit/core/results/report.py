"""The report: everything that was found out about a model and its files, as plain values.

The field names are those of report.json, which others script against: adding one is free, renaming
needs a deprecation. None stands for "not measured", never for zero. Every float is finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from edgevit.core._plain import NOT_WRITTEN, from_plain, to_plain
from edgevit.core.outputs import LOGITS, LOGITS_NAME, OutputKind
from edgevit.core.precisions import Precision, Variant
from edgevit.core.process.sandbox import Isolation
from edgevit.core.results.compiled import CompilerReport
from edgevit.core.results.device import DeviceFingerprint, DeviceState
from edgevit.core.results.lint import LintReport
from edgevit.core.types import Preprocess, TensorSpec
from edgevit.core.version import SCHEMA_VERSION, SchemaVersion

# A single site is right from here on, or at most one step off in few of its elements.
SITE_DB: Final = 45.0

Verdict = Literal["pass", "fail", "inconclusive", "not-executed", "error"]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class HeadSummary:
    """An output with class names besides the first: its name, how many names, and what it is."""

    name: str
    labels: int
    output: OutputKind


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """What was converted; `macs` per image, `labels` the number of class names (0 if unknown).

    `preprocess_origin` says where `preprocess` was taken from, `weights_origin` where the weights were (empty where
    the model is one file with them), `output` what the first output is, `output_name` what it is called, and `heads`
    further outputs with class names (`--labels HEAD=FILE`).
    """

    name: str
    source: str
    parameters: int
    macs: int
    weights_sha256: str
    preprocess: Preprocess
    labels: int
    preprocess_origin: str = ""
    weights_origin: str = ""
    output: OutputKind = LOGITS
    output_name: str = LOGITS_NAME
    heads: tuple[HeadSummary, ...] = ()


@dataclass(frozen=True, slots=True)
class SampleSet:
    """Images that were used: `count` read, the names of those `skipped` as unreadable.

    Attributes:
        digest: sha256 over `pictures` and the labels of all outputs.
        pictures: sha256 over names and bytes of all images, whatever their labels are called or numbered.
    """

    path: str
    count: int
    digest: str
    labelled: bool = False
    skipped: tuple[str, ...] = ()
    pictures: str = ""


@dataclass(frozen=True, slots=True)
class SampleSets:
    """The images of calibration and of evaluation; None where there were none."""

    calibrate: SampleSet | None = None
    evaluate: SampleSet | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """What labelled images say against the float model itself, or against how it is used.

    Attributes:
        kind: no-better-than-guessing (no file passes then), or that with another order of the labels or
            other preprocessing the model is right clearly more often.
        text: one sentence for the user, also among the report's warnings.
        flags: what to add to the command.
        n: images that were compared.
        top1, top1_ci95: as the model is used now, percent.
        alternative_top1, alternative_ci95: with the flags; None where there is no alternative.
    """

    kind: Literal["no-better-than-guessing", "label-order", "preprocessing"]
    text: str
    flags: tuple[str, ...]
    n: int
    top1: float
    top1_ci95: Interval
    alternative_top1: float | None = None
    alternative_ci95: Interval | None = None


@dataclass(frozen=True, slots=True)
class OtherResize:
    """The float model on some evaluation images resized with another filter, against itself with its own.

    Attributes:
        interpolation: the other filter, as Pillow computes it.
        n: number of images.
        sqnr_db: of the first output.
        agreement: percent of the images with the same answer; None where none follows from the output.
    """

    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"]
    n: int
    sqnr_db: float
    agreement: float | None


@dataclass(frozen=True, slots=True)
class Reference:
    """The float model on the evaluation images: percent, None if they have no labels.

    Attributes:
        chance: what the same answers would have, dealt out to the images at random.
        doubts: what the images say against the float model; without labels that are known, nothing.
        other_resize: what another filter of the resize costs; None where no image is resized.
    """

    top1: float | None
    top5: float | None
    n: int
    top1_ci95: Interval | None = None
    chance: float | None = None
    doubts: tuple[Doubt, ...] = ()
    other_resize: OtherResize | None = None


@dataclass(frozen=True, slots=True)
class Compression:
    """The simulated plan against the float reference: what the rounding costs."""

    sqnr_db: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The executed file against the simulated plan, or against the float reference without a plan.

    Attributes:
        n: number of images.
        floor_db: the simulation against itself with relative noise of 1e-7 after every site; on few
            images the worst of several such runs.
        site_min_db, site_min: the worst single site, fed the file's own input of that site.
    """

    sqnr_db: float
    cosine: float
    max_abs: float
    n: int
    floor_db: float | None = None
    site_min_db: float | None = None
    site_min: str | None = None


@dataclass(frozen=True, slots=True)
class SiteError:
    """One site of a file, fed the file's own input, against the plan's arithmetic.

    Attributes:
        db: SQNR of the site's output.
        max_steps: how many steps of the output's grid the worst element is off; None for a float output.
        off_fraction: share of the elements that are off at all, 0 to 1; None for a float output.
        allowed_steps: how many steps any element may be off, where the backend's kernels are known not to be exact;
            None where they are.
    """

    site: str
    db: float
    max_steps: int | None = None
    off_fraction: float | None = None
    allowed_steps: int | None = None


@dataclass(frozen=True, slots=True)
class SiteLoss:
    """One planned site: what it costs alone, and what it computes.

    Attributes:
        sqnr_db: of the model's output with this site alone planned; an estimate to first order.
        macs: multiply-accumulates for one image.
    """

    site: str
    sqnr_db: float
    macs: int


@dataclass(frozen=True, slots=True)
class AutoFloat:
    """What `--auto-float` left in float, or gave 16 bits where there is none, so that a limit holds in simulation.

    Attributes:
        limits: as flags.
        reached: whether they hold now; if not, the plan is as it was.
        images: held-out calibration images.
        sqnr_before_db, sqnr_after_db: of the plan on these images, without and with those sites in float.
        sites: what was left in float, worst first.
        mac_fraction: share of the model's multiply-accumulates that these sites have.
        into: what they compute in now.
    """

    limits: tuple[str, ...]
    reached: bool
    images: int
    sqnr_before_db: float
    sqnr_after_db: float
    sites: tuple[SiteLoss, ...]
    mac_fraction: float
    into: Literal["float32", "float16", "int16", "uint16"] = "float32"


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What `--reconstruct` did to a plan, measured in simulation.

    Attributes:
        blocks, tried, kept: all blocks, those that the time was enough for, and those that got better.
        images: calibration images that trained nothing.
        sqnr_before_db, sqnr_after_db: of the plan on these images; the better plan was taken.
    """

    blocks: int
    tried: int
    kept: int
    images: int
    sqnr_before_db: float
    sqnr_after_db: float


@dataclass(frozen=True, slots=True)
class TensorRange:
    """A tensor on a static grid, on calibration and on evaluation images.

    Attributes:
        site: the first operation that has the tensor on that grid.
        clipped_calibrate, clipped_evaluate: share of its values outside the grid's range, 0 to 1.
        noise_calibrate, noise_evaluate: energy that clipping takes away over the energy of the tensor.
        unused_calibrate, unused_evaluate: share of the range that no value reaches, 0 to 1.
    """

    site: str
    clipped_calibrate: float
    clipped_evaluate: float
    noise_calibrate: float
    noise_evaluate: float
    unused_calibrate: float
    unused_evaluate: float


@dataclass(frozen=True, slots=True)
class RangeFit:
    """How the static ranges of a plan fit the images that files are judged on.

    Attributes:
        tensors: number of tensors on static grids.
        clipped_calibrate, clipped_evaluate: share of values outside the ranges, mean over the tensors, 0 to 1.
        unused_calibrate, unused_evaluate: share of a range that no value reaches, mean over the tensors.
        most_clipped: the tensor that clipping costs most on the evaluation images beside the calibration images.
        least_used: the tensor whose range the evaluation images leave empty most, beside the calibration images.
    """

    tensors: int
    clipped_calibrate: float
    clipped_evaluate: float
    unused_calibrate: float
    unused_evaluate: float
    most_clipped: TensorRange
    least_used: TensorRange


@dataclass(frozen=True, slots=True)
class KeptFloat32:
    """An operation that float16 would spoil, and why: the measured reason in one clause."""

    site: str
    reason: str


@dataclass(frozen=True, slots=True)
class Total:
    """The executed file against the float reference: what the user gets.

    Attributes:
        variation_db: of a model that gives one number: SQNR of how that differs from image to image, in which
            its mean over the images does not count; None otherwise.
    """

    sqnr_db: float
    cosine: float
    variation_db: float | None = None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Top-1 on paired images, in percent and percentage points; a positive drop is a loss.

    Attributes:
        top1, drop_pp, drop_ci95, detectable_drop_pp: None if the images have no labels.
        agreement: share of images on which the file and the float reference name the same class; of a
            multi-label output, share of the decisions on an image and a label.
        exact_match: of a multi-label output, share of images on which all labels agree.
        majority: agreement of a file that gives every image the reference's most frequent answer; None in
            reports that do not have it.
        detectable_drop_pp: smallest drop that n images show with power 0.8 at one-sided 0.05.
        drop_bounds95: one-sided 95 % lower and upper end of the drop, what a limit is held against.
        lost, gained: images that the float reference alone, or the file alone, gets right.
    """

    top1: float | None
    drop_pp: float | None
    drop_ci95: Interval | None
    agreement: float
    n: int
    detectable_drop_pp: float | None
    top5: float | None = None
    drop_bounds95: Interval | None = None
    lost: int | None = None
    gained: int | None = None
    exact_match: float | None = None
    majority: float | None = None


@dataclass(frozen=True, slots=True)
class HeadAccuracy:
    """A labelled output besides the first: the file against the float model, and both against the labels.

    Attributes:
        head: name of the output.
        reference_top1: of the float model, percent; None if the images have no labels for this output.
    """

    head: str
    sqnr_db: float
    accuracy: Accuracy
    reference_top1: float | None = None


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of medians with its 95 % interval."""

    value: float
    ci95: Interval


@dataclass(frozen=True, slots=True)
class Latency:
    """Time of one inference on this host after warm-up; p90 is None below 29 runs."""

    p50_ms: float
    p90_ms: float | None
    runs: int
    threads: int
    cold_load_ms: float
    ratio_to_fp32: Ratio | None = None


@dataclass(frozen=True, slots=True)
class DeviceLoss:
    """The same file there against here, on the same images: what another processor's kernels change.

    Attributes:
        sqnr_db: of the output that fares worst.
        agreement: percent of the images to which both give the same class; None where the output decides nothing.
    """

    sqnr_db: float
    max_abs: float
    agreement: float | None
    n: int


@dataclass(frozen=True, slots=True)
class OnDevice:
    """One file on one device: the evaluation images were executed there.

    Attributes:
        device: as the user typed it.
        executed_by: runtime there; None if it was not executed.
        total, accuracy, heads: against the float reference, as of the artifact itself.
        loss: against what it gave here; None if nothing here executes it.
        latency: there; None on an emulated processor, where times mean nothing.
        peak_rss_bytes: of a process there that executes this file alone.
        remarks: what a reader of the figures should know.
        first_difference: of a file that computes something else there, the layer where that begins, in one sentence.
        integer_mac_fraction: as of the artifact itself, by the kernels that the runtime there executed; None where it
            does not tell them.
        partitions: parts of the file that a delegate executes there; None where it does not tell, or has none.
    """

    device: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    executed_by: str | None = None
    total: Total | None = None
    accuracy: Accuracy | None = None
    heads: tuple[HeadAccuracy, ...] = ()
    loss: DeviceLoss | None = None
    latency: Latency | None = None
    peak_rss_bytes: int | None = None
    remarks: tuple[str, ...] = ()
    first_difference: str = ""
    integer_mac_fraction: float | None = None
    partitions: int | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A device that files were executed on; `notes` say what to know of its times."""

    device: str
    fingerprint: DeviceFingerprint
    state: DeviceState
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArtifactReport:
    """One file: what it is, how it was executed, how far it is from the model, and the verdict.

    Attributes:
        path: relative to the bundle, None if there is no file.
        executed_by: runtime, version and backend; None if it was not executed.
        integer_mac_fraction: of all MACs of conv, linear and matmul in the rewritten float graph,
            the share done in static integer kernels; dynamic kernels count only in w8da8.
        planned_mac_fraction: the share that the plan makes integer; None without a plan.
        float_operators: kinds of operators that were executed in float although every one was to be in integers.
        narrow_mac_fraction: of `integer_mac_fraction`, the part whose factors both have 8 bits; None where all have.
        weight_bytes: bytes by type of number, read back from the file.
        operators, max_rank: of the file: number of operators besides constants, highest rank of a tensor.
        compute: the float type of everything that is not integer.
        float32_kept: operations that this file computes in float32, because float16 would spoil them.
        float16_unsafe: operations that a delegate which computes in float16 would spoil, in a file that
            only stores constants in it.
        fp32_size_bytes: size of the float file of the same target, made for comparison.
        notes: plain sentences that a user should read, such as that it is slower than float.
        sites: error of each site in the order of execution, for the plot.
        sensitivity: the planned sites that cost most alone, worst first.
        auto_float: what was left in float to keep a limit; None where that was not asked for.
        reconstruction: what tuning the plan's blocks did; None where that was not asked for.
        compared_as: what its outputs and the model's were brought to, and why; "" where they are alike.
        explanation: why it is so far from the model, such as another input; "" where nothing explains it.
        heads: further outputs with class names (`--labels HEAD=FILE`); limits hold for each of them too.
        head: name of the first output where there are such `heads`, else "".
        ranges: how the plan's static ranges fit the evaluation images; None without ranges or such images.
        inputs, outputs: of the file, with the scale and zero point of integers; empty if it was not executed.
        requires: what an app or device must have to load it, such as `opset ai.onnx 17`; empty if not executed.
        devices: the same file on the devices that were asked for; the verdict is of all of them together.
        lint: which operators leave the accelerators that were asked for; no verdict follows from it.
        partitions: parts of the file that a delegate executes; None where its runtime has no delegates.
        backend: what it was made for, such as `qnn`; "" where its target knows nothing else.
        refused: why the accelerator that it was made for does not take it whole, a sentence for each operator.
        compiled: what vendors' compilers made of it, as `--compile` asked; `output` is relative to the bundle.
        executed_images: how many of the evaluation images, where an emulator executed fewer than all.
    """

    target: str
    precision: Precision
    verdict: Verdict = "not-executed"
    reasons: tuple[str, ...] = ()
    path: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    executed_by: str | None = None
    integer_mac_fraction: float | None = None
    integer_mac_source: Literal["runtime", "program"] | None = None
    planned_mac_fraction: float | None = None
    narrow_mac_fraction: float | None = None
    float_operators: tuple[str, ...] = ()
    weight_bytes: Mapping[str, int] = field(default_factory=dict)
    operators: int | None = None
    max_rank: int | None = None
    compression: Compression | None = None
    fidelity: Fidelity | None = None
    total: Total | None = None
    accuracy: Accuracy | None = None
    latency: Latency | None = None
    compute: Literal["float32", "float16"] | None = None
    float32_kept: tuple[KeptFloat32, ...] = ()
    float16_unsafe: tuple[KeptFloat32, ...] = ()
    fp32_size_bytes: int | None = None
    notes: tuple[str, ...] = ()
    sites: tuple[SiteError, ...] = ()
    sensitivity: tuple[SiteLoss, ...] = ()
    auto_float: AutoFloat | None = None
    reconstruction: Reconstruction | None = None
    compared_as: str = ""
    explanation: str = ""
    ranges: RangeFit | None = None
    heads: tuple[HeadAccuracy, ...] = ()
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    requires: tuple[str, ...] = ()
    head: str = ""
    devices: tuple[OnDevice, ...] = ()
    lint: tuple[LintReport, ...] = ()
    partitions: int | None = None
    backend: str = ""
    refused: tuple[str, ...] = ()
    executed_images: int | None = None
    compiled: tuple[CompilerReport, ...] = ()

    @property
    def variant(self) -> Variant:
        """Which file it is."""
        return Variant(self.target, self.precision)

    @property
    def name(self) -> str:
        """As messages call it: `onnx/w8a8`."""
        return str(self.variant)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the user asked each file to keep: percentage points, percent, dB; None for no limit."""

    max_drop: float | None = None
    min_agreement: float | None = None
    min_sqnr: float | None = None


@dataclass(frozen=True, slots=True)
class NotDone:
    """Something that was left out, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds per stage; `convert` by target, `validate` by target/precision."""

    load: float
    total: float
    export: float | None = None
    calibrate: float | None = None
    quantize: float | None = None
    convert: Mapping[str, float] = field(default_factory=dict)
    validate: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """Highest resident size in bytes, each in a process of its own; `convert` by target."""

    prepare: int | None = None
    convert: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Environment:
    """Where it was made: versions of the packages, operating system, processor, cores.

    Attributes:
        isolation: what kept a model of unknown origin from writing and from the network; None where the
            steps ran without a sandbox, since the model is the user's code or may be downloaded.
    """

    versions: Mapping[str, str]
    system: str
    cpu: str
    cores: int
    isolation: Isolation | None = None


@dataclass(frozen=True, slots=True)
class OutcomesFile:
    """The answers of each image, in a file of the bundle; see `outcomes.schema.json`."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything.

    Attributes:
        prune: one line per changed layer.
        rewrites: the names of those that fired.
        notes: what was done to the model before it was exported, and why, one sentence each.
        outcomes: what was answered for each image; None without images to evaluate on.
        devices: those that `--device` named.
        folder: where the paths of the artifacts start, such as the bundle; None in a report that was read back. It is
            not written into report.json, since a bundle may be moved.
    """

    model: ModelSummary
    samples: SampleSets
    reference: Reference
    artifacts: tuple[ArtifactReport, ...]
    timings_s: Timings
    environment: Environment
    limits: Limits = Limits()
    prune: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()
    not_done: tuple[NotDone, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    peak_memory_bytes: PeakMemory = PeakMemory()
    outcomes: OutcomesFile | None = None
    devices: tuple[Device, ...] = ()
    schema_version: SchemaVersion = SCHEMA_VERSION
    folder: Path | None = field(default=None, compare=False, metadata=NOT_WRITTEN)

    def _repr_html_(self) -> str:
        """The verdicts as a table, for a notebook."""
        from edgevit.core.results import figures, notebook

        lines = [f"{a.target} {a.precision}: {why}" for a in self.artifacts for why in (*a.reasons, *a.notes)]
        lines += [f"not done: {item.what}: {item.why}" for item in self.not_done]
        lines += [*self.notes, *(f"warning: {text}" for text in self.warnings)]
        lines += [] if self.folder is None else [f"files and report.html: {self.folder}"]
        rows = map(figures.few_cells, self.artifacts)
        title = f"{self.model.name}: {figures.summary(self)}"
        return notebook.table(title, figures.FEW_COLUMNS, rows, lines)


def to_json(report: Report) -> dict[str, object]:
    """The report as dicts, lists, strings, numbers and None, ready for `json.dumps`.

    Raises:
        ValueError: a number is infinite or not a number, which JSON cannot say.
    """
    return to_plain(report)


def from_json(data: object) -> Report:
    """Read what `to_json` gave; fields that this version does not know are left aside.

    Raises:
        InputError: a field is missing or has the wrong type; the message names it.
    """
    return from_plain(Report, data, "report.json")
