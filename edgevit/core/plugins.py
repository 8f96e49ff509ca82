"""What each kind of plug-in is: one frozen class per registry, and the values that only they exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.errors import UsageError
from edgevit.core.place import Place
from edgevit.core.plans import QuantPlan
from edgevit.core.precisions import Precision
from edgevit.core.process.tool_environment import Tool
from edgevit.core.results.compiled import CompilerReport
from edgevit.core.results.lint import FindingKind, LintReport
from edgevit.core.results.report import KeptFloat32, ModelSummary
from edgevit.core.runner import Contents, DeviceFile, FileValue, IntegerMacs, Runner, RunOptions, SiteTensors
from edgevit.core.types import Graph, ModelSpec, Stats, TorchModel

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgevit.core.types import Floats, Pixels


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What a source is asked for; see `edgevit convert --help`.

    Without `needs_preprocess` a model that states no preprocessing is no error: only its graph is looked at.
    """

    source: str
    argument: str
    weights: Path | None = None
    weights_key: str | None = None
    random_weights: int | None = None
    num_classes: int | None = None
    image_size: tuple[int, int] | None = None
    model_args: Mapping[str, str] = field(default_factory=dict)
    preprocess: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    needs_preprocess: bool = True


@dataclass(frozen=True, slots=True)
class NotFromPlan:
    """Why `--plan` alone does not load a model that a plan was made with.

    Attributes:
        why: what that model is, after "PLAN was made with MODEL,".
        hint: what to do instead; {model} and {plan} stand for the two.
    """

    why: str
    hint: str


@dataclass(frozen=True, slots=True)
class Source:
    """Plug-in of `edgevit/models`: where a model comes from.

    Attributes:
        extra: brings its packages, "" for the base.
        isolated: whether an argument names files that are data of unknown origin, so that loading needs
            no network and is done in a sandbox; None where it never does.
        images: a SAMPLES text of images that come with its models, used where none are named; "" without any.
        prunable: whether its models are modules that a pruning method can change.
        name: the part of an argument that a bundle is called by, such as a file or the end of a dotted name.
        path: the file or folder that an argument names; None where it is another name.
        headless: whether it makes models without classes, for `num_classes` 0.
        not_from_plan: None where a plan is enough to load its model again.
        self_contained: whether an argument, and whether weights are given for it, leave nothing to read but installed
            packages, the weights, and what `path` names: then the same files are the same model.
    """

    summary: str
    syntax: str
    load: Callable[[LoadRequest], TorchModel]
    extra: str = ""
    isolated: Callable[[str], bool] | None = None
    images: str = ""
    prunable: bool = True
    name: Callable[[str], str] = str
    path: Callable[[str], str | None] = lambda argument: None
    headless: bool = False
    not_from_plan: NotFromPlan | None = None
    self_contained: Callable[[str, bool], bool] = lambda argument, weights: False


@dataclass(frozen=True, slots=True)
class Method:
    """Plug-in of `edgevit/prune`.

    `prune(model, amount, inputs)` gets the fraction to remove and normalised calibration inputs,
    float32 (N, 3, height, width); it returns a new, smaller model (the given one is untouched) and
    one line per changed layer for the report.
    """

    summary: str
    prune: Callable[[TorchModel, float, torch.Tensor], tuple[TorchModel, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Plug-in of `edgevit/graph/rewrites`: one exact rewrite, and which runtime it serves.

    Attributes:
        order: what comes first.
        apply: edits the program in place and returns how many places it changed.
        targets: the targets whose files it is for, applied just before they are converted; none for a
            rewrite of the graph that all targets share, applied before the sites get their names.
        float_only: only for files without a plan, because it changes the weights of sites.
        common: whether other converters do it as well, so that their files have no values of what it removes.
    """

    summary: str
    order: int
    apply: Callable[[torch.export.ExportedProgram], int]
    targets: tuple[str, ...] = ()
    float_only: bool = False
    common: bool = False


@dataclass(frozen=True, slots=True)
class Observer:
    """Plug-in of `calibration/observers`: one statistic of an activation.

    Attributes:
        measure: one image's value, batch axis of 1 first -> a small tensor.
        combine: those of all images, float32 (N, ...) -> the statistic.
    """

    summary: str
    measure: Callable[[torch.Tensor], torch.Tensor]
    combine: Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """Plug-in of `edgevit/quant/algorithms`; one of the four kinds below.

    Attributes:
        observers: the statistics it needs, of the tensors that enter or leave weighted sites.
    """

    summary: str
    observers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fold(Algorithm):
    """Exact algebra before ranges: edits the Graph in place and returns the sites it changed."""

    apply: Callable[[Graph, Stats], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Range(Algorithm):
    """(stats, tensor) -> (minimum, maximum) that an activation's grid has to cover.

    With `errors`, (value, minimum, maximum) -> the error of each candidate range, `choose` finds in the
    stats, as `range_sensitivity`, the mean squared error of the model's output by each candidate.
    """

    choose: Callable[[Stats, str], tuple[float, float]]
    errors: Callable[[torch.Tensor, float, float], Iterator[torch.Tensor]] | None = None


@dataclass(frozen=True, slots=True)
class Rounding(Algorithm):
    """How real weights become integers.

    `round(weight, scale, hessian, limit, saturation_limit)` gets float64 weights (groups, rows, inputs), scales
    that broadcast to them, the second moments of the rows' inputs float64 (groups, inputs, inputs) or
    None where nothing was measured, the largest integer, and the largest sum of two neighbours'
    magnitudes or None; it returns int8 of the weights' shape.
    """

    round: Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None, int, int | None], torch.Tensor]


class AskCapabilities(Protocol):
    """How a target says what its runtime executes in integers at a precision."""

    def __call__(
        self, precision: Precision, options: Mapping[str, str] | None = None, /
    ) -> BackendCapabilities | None:
        """Plain data; `options` are those of the command line after `TARGET.`."""
        ...


@dataclass(frozen=True, slots=True)
class Clustering(Algorithm):
    """How weights become indices into short lists of values.

    Attributes:
        fit: (weights, how much each counts, number of values), float64 (elements,) -> float64 (values,),
            ascending.
        assign: (weights (groups, rows, inputs), lists (groups, rows, values), second moments of the inputs
            (groups, inputs, inputs) or None) -> uint8 indices of the weights' shape.
    """

    fit: Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
    assign: Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]


class Write(Protocol):
    """How a target writes one file."""

    def __call__(
        self,
        prepared: object,
        precision: Precision,
        plan: QuantPlan | None,
        out: Path,
        keep_float32: frozenset[str] = frozenset(),
        /,
    ) -> tuple[SiteTensors, ...]:
        """Write `out` and return the sites of the plan in it.

        Args:
            prepared: what the target's `prepare` returned.
            keep_float32: sites that compute in float32 wherever this precision computes in float16,
                and whose constants a file that only stores float16 holds in float32.
        """
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    """What a target's file is made for: the processor, or the compiler in front of it, that its operators suit.

    Attributes:
        precisions: what can be written for it.
        runtimes: names of runtimes that execute its files, preferred first; the verdict is by the first that works.
    """

    summary: str
    precisions: tuple[Precision, ...]
    runtimes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """Plug-in of `converters`: a file format.

    Attributes:
        suffix: of the file, one word without a dot. Of several targets with one suffix, a file that is named alone is
            taken for the first one's, edgevit's own before others.
        extra: the edgevit extra that brings its packages; "" where its own package does.
        precisions: what it can write.
        runtimes: names of runtimes that execute it, preferred first.
        backends: what else than its usual one its files can be made for, by the word after `--option TARGET.backend=`.
        usual_backend: the word for the usual one, which `precisions` and `runtimes` belong to; "" without others.
        options: names allowed after `TARGET.` in `--option`, with one line each.
        check_options: raises UsageError for a value of them that is not offered, whatever the precision.
        modules: what a conversion imports beside the base dependencies; `extra` brings them.
        capabilities: (precision, options) -> what the runtime can do, None where nothing is quantized; raises
            UsageError or UnsupportedError for options that do not go with the precision. It is asked before any work.
        prepare: (graph, spec, options) -> the vendor's float conversion, made once per graph.
        write: makes one file.
        half: what float16 is in its fp16 files: what operations compute in, or only how constants are
            stored, so that a delegate may compute in it or not.
        wrong_in_float16: (what `prepare` returned) -> operations that a runtime of this format computes wrong in
            float16 on some processors, whatever the numbers: its fp16 file computes them in float32.
        half_elsewhere: what to know of a runtime that computes its fp16 files otherwise than the one here, in plain
            sentences.
        float_limit_bytes: the most that the weights may take as float32, where every file is made from a
            float file that the format limits; None where size forbids nothing.
        usage: (path of a file below the bundle, the model) -> Markdown for USAGE.md: how a program loads this file.
            `crop(path)` and `normalise(pixels)` are defined above it. None for formats whose pages edgevit has itself.
    """

    summary: str
    suffix: str
    extra: str
    precisions: tuple[Precision, ...]
    runtimes: tuple[str, ...]
    options: Mapping[str, str]
    check_options: Callable[[Mapping[str, str]], None]
    modules: tuple[str, ...]
    capabilities: AskCapabilities
    prepare: Callable[[Graph, ModelSpec, Mapping[str, str]], object]
    write: Write
    half: Literal["computed", "stored"] = "computed"
    float_limit_bytes: int | None = None
    backends: Mapping[str, Backend] = field(default_factory=dict)
    usual_backend: str = ""
    usage: Callable[[str, ModelSummary], str] | None = None
    wrong_in_float16: Callable[[object], tuple[KeptFloat32, ...]] | None = None
    half_elsewhere: str = ""

    def backend_of(self, options: Mapping[str, str]) -> str:
        """The word of the backend that `options` ask for, the usual one if they ask for none.

        Raises:
            UsageError: there is none of that name.
        """
        asked = options.get("backend", self.usual_backend)
        if asked != self.usual_backend and asked not in self.backends:
            offered = ", ".join(filter(None, (self.usual_backend, *self.backends))) or "none"
            raise UsageError(f"there is no backend {asked!r}", f"it can be: {offered}")
        return asked

    def precisions_for(self, backend: str) -> tuple[Precision, ...]:
        """What can be written for a backend."""
        return self.backends[backend].precisions if backend in self.backends else self.precisions

    def runtimes_for(self, backend: str) -> tuple[str, ...]:
        """What executes files that were made for a backend."""
        return self.backends[backend].runtimes if backend in self.backends else self.runtimes

    def __post_init__(self) -> None:
        """Raise ValueError for what would be found out only after the work."""
        if not self.suffix.isidentifier():
            raise ValueError(f"a target's suffix is one word without a dot, not {self.suffix!r}")
        if not self.runtimes:
            raise ValueError("a target needs a runtime that executes its files")
        for word in self.precisions:
            if Precision.named(word) is None:  # of a plug-in, which may give plain words
                raise ValueError(f"a target writes known precisions, not {word!r}")


@dataclass(frozen=True, slots=True)
class Runtime:
    """Plug-in of `edgevit/runtimes`: what executes an artifact.

    Attributes:
        suffix: of the files it executes, without the dot.
        extra: the edgevit extra that brings it; "" where its own package does.
        has_latency: whether its latency says anything about the device's.
        cpu_bound: whether threads of the calling process do all the work of an inference, so that with one thread its
            processor time is its latency on a core that nobody else wants; not so with an accelerator.
        unavailable: None if it works here, else the reason in one sentence.
        label: for `executed_by`, for example "onnxruntime 1.31.1 cpu".
        emulates: whether it plays an accelerator that is not there, which takes about a second for an image: several
            processes then share the images.
        label_of: the same of one file, where that depends on what the file is made for; None elsewhere.
        open: a Runner, to be used as a context manager.
        integer_macs: what is really done in integers.
        contents: what the file holds.
        values: every computed tensor of a file in execution order, each of which the Runner can tap;
            None for a runtime that gives out no intermediate values.
        on_device: what the agent needs to execute the file elsewhere; None where it cannot.
        tapped: a copy of the file, which has these tensors as further outputs.
    """

    summary: str
    suffix: str
    extra: str
    has_latency: bool
    unavailable: Callable[[], str | None]
    label: Callable[[], str]
    open: Callable[[Path, RunOptions], Runner]
    integer_macs: Callable[[Path], IntegerMacs]
    contents: Callable[[Path], Contents]
    values: Callable[[Path], tuple[FileValue, ...]] | None = None
    cpu_bound: bool = False
    on_device: Callable[[Path, RunOptions], DeviceFile] | None = None
    tapped: Callable[[Path, tuple[str, ...]], bytes] | None = None
    label_of: Callable[[Path], str] | None = None
    emulates: Callable[[], bool] = lambda: False

    def executed_by(self, path: Path) -> str:
        """What executes a file, for the report."""
        return self.label() if self.label_of is None else self.label_of(path)


@dataclass(frozen=True, slots=True)
class Metric:
    """Plug-in of `edgevit/validate/metrics`.

    `compute(reference, candidate, labels)` gets float32 (N, C) twice and int64 (N,) or None.
    """

    summary: str
    unit: str
    needs_labels: bool
    compute: Callable[[Floats, Floats, NDArray[np.int64] | None], float]


Role = Literal["calibrate", "evaluate"]


@dataclass(frozen=True, slots=True)
class Head:
    """What a model tells apart, as far as it is known.

    Attributes:
        labels: class names in index order; empty if unknown.
        classes: how many there are; None if unknown, or if the model decides nothing.
        name: of the output.
        others: the same of further outputs with class names.
        channels: of its images.
    """

    labels: tuple[str, ...] = ()
    classes: int | None = None
    name: str = ""
    others: tuple[Head, ...] = ()
    channels: int = 3


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels: uint8 (height, width, channels) as they are stored; RGB where there are three.
        orientation: what turns them upright, 1 to 8 as EXIF numbers it (CIPA DC-008, 4.6.4 A); 1: nothing.
        remarks: what decoding left out, to be read after "3 of 20 images have".
    """

    pixels: Pixels
    orientation: int = 1
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Samples:
    """Images and, where known, their classes; opened lazily.

    Attributes:
        path: as the user gave it, with the part that was chosen of it.
        names: one per image, for messages.
        labels: class index per image, None if unlabelled.
        read: index -> the decoded image; raises InputError naming the file.
        head_labels: output -> class index per image, for outputs besides the first.
        digest: sha256 over names and bytes, whatever the labels are.
    """

    path: str
    names: tuple[str, ...]
    labels: tuple[int, ...] | None
    read: Callable[[int], Picture]
    digest: Callable[[], str]
    warnings: tuple[str, ...] = ()
    head_labels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def labelled(self) -> bool:
        """Whether the classes of any output are known."""
        return self.labels is not None or bool(self.head_labels)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of images without decoding one: how many, and whether their classes are.

    Labels are still held against the model's when the samples are opened.
    """

    images: int
    labelled: bool


@dataclass(frozen=True, slots=True)
class SampleSource:
    """Plug-in of `calibration/samples`.

    Attributes:
        accepts: claims a SAMPLES text.
        survey: counts the images that it has for a role, in no time and without the model.
        open: lists them, and holds their classes against the model's.
    """

    summary: str
    accepts: Callable[[str], bool]
    survey: Callable[[str, Role], Survey]
    open: Callable[[str, Head, Role], Samples]


@dataclass(frozen=True, slots=True)
class Timing:
    """Raw latency of one artifact: milliseconds per run after warm-up, and the cold load.

    Attributes:
        cpu_ms: processor time of each run; empty where it is no latency: several threads, or a runtime that is not
            `cpu_bound`.
    """

    runs_ms: tuple[float, ...]
    cold_load_ms: float
    threads: int
    cpu_ms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Transport:
    """Plug-in of `edgevit/devices/transports`: a kind of device, reached in one way.

    Attributes:
        syntax: of WHERE, for example `ssh://[USER@]HOST[:PORT]`.
        open: connects to what the user typed, and disconnects; raises UsageError for a WHERE that it does not know, and
            DeviceError where nothing can be reached.
    """

    summary: str
    syntax: str
    open: Callable[[str], AbstractContextManager[Place]]


@dataclass(frozen=True, slots=True)
class CompileRequest:
    """One file for one accelerator.

    Attributes:
        shown: what the report calls the file.
        accelerator: as it was typed.
        folder: an empty one for what is made of it.
        options: by the names that the compiler has.
    """

    path: str
    shown: str
    accelerator: str
    folder: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Compiler:
    """A vendor's compiler.

    Attributes:
        tool: what brings it into an environment of its own; None for one in edgevit's, by the checker's extra.
        options: names of its own settings, with one line each; `files` are those that name a file.
        compile: what it makes of a file lies in the request's folder afterwards, as the report's `output`; raises
            UnsupportedError where it refuses the file, StepError where it crashes.
        check: raises UsageError for an architecture or a size that it does not know.
    """

    tool: Tool | None
    options: Mapping[str, str]
    files: tuple[str, ...]
    compile: Callable[[CompileRequest], CompilerReport]
    check: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Checker:
    """Plug-in of `edgevit/accelerators`: says which operators of a file leave one kind of accelerator.

    Attributes:
        syntax: of what is typed after `--for`, for example `qnn[-vNN]`.
        accepts: claims such a text, whether or not it knows that architecture or size.
        usual: the text that stands for it where nothing was asked for, for example `ethos-u85-1024`.
        suffixes: of the files that it looks into, without the dot.
        kind: whether its findings are a compiler's or follow from documented rules.
        extra: the edgevit extra that brings its packages; "" where it needs none or another way to get it.
        unavailable: None if it works here, else the reason in one sentence.
        check: (file, text) -> what it found. It runs in a worker process, without the network, and may write to
            temporary files alone. Raises UsageError for an architecture or a size that it does not know, InputError
            for a file that it cannot read, and UnsupportedError or StepError where the compiler gives no answer. A
            graph that is taken only in part is no error but its findings.
        compiler: for `edgevit compile`; None where the vendor's is not at hand.
    """

    summary: str
    syntax: str
    accepts: Callable[[str], bool]
    usual: str
    suffixes: tuple[str, ...]
    kind: FindingKind
    unavailable: Callable[[], str | None]
    check: Callable[[Path, str], LintReport]
    extra: str = ""
    compiler: Compiler | None = None
