"""Files without a float operator, executed by LiteRT's two kinds of kernels, against the simulated plan and PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from converters.tflite import flatbuffer as tfl
from converters.tflite import rows
from converters.tflite.target import TARGET, FloatConversion
from converters.tflite.use_def import edit
from edgevit.core.errors import UsageError
from edgevit.core.plans import QuantPlan
from edgevit.core.precisions import Precision
from edgevit.core.runner import SiteTensors
from edgevit.core.types import Graph, Stats
from edgevit.program import graph_file
from edgevit.program.run import run
from edgevit.quant._site import Choices
from edgevit.quant.algorithms import integer_operators, kmeans, minmax, nearest
from edgevit.quant.plan import make_plan
from edgevit.quant.simulate import simulate
from edgevit.runtimes.litert import RUNTIME
from edgevit.steps.compare_sites import compare_sites
from edgevit.steps.messages import Built
from tests._sqnr import sqnr
from tests.converters import _small_models as models
from tests.converters.tflite import _models as small

IMAGES = models.pixels(4)
OPTIONS = {"backend": "ethos-u"}
CHOICES = Choices(minmax.ALGORITHM, nearest.ALGORITHM, kmeans.ALGORITHM)


class Made:
    """The small hybrid as a file, with what it was made from."""

    def __init__(self, folder: Path) -> None:
        self.module = small.Hybrid()
        self.graph: Graph = models.graph_of(self.module)
        before = self.module(models.normalised(IMAGES)).detach()
        self.sites = integer_operators.ALGORITHM.apply(self.graph, Stats({}, 0))
        images = models.normalised(IMAGES)
        assert sqnr(before, run(self.graph, images)[0][0]) > 100, "the fold is exact"
        seen = run(self.graph, images, observe=models._ends)[1]
        values = {(k, "minmax"): np.array([v[:, 0].min(), v[:, 1].max()]) for k, v in seen.items()}
        capabilities = TARGET.capabilities("w8a8", OPTIONS)
        assert capabilities is not None
        self.plan: QuantPlan = make_plan(
            self.graph, Stats(values, len(images)), images, capabilities, CHOICES
        )
        conversion = TARGET.prepare(self.graph, models.spec_of(10), OPTIONS)
        assert isinstance(conversion, FloatConversion)
        self.path = folder / "model.tflite"
        self.places: tuple[SiteTensors, ...] = TARGET.write(conversion, "w8a8", self.plan, self.path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("full"))


def _run(path: Path, kernels: OpResolverType) -> NDArray[np.float32]:
    """The real values that LiteRT's integers stand for."""
    interpreter = Interpreter(str(path), experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    (entry,), (leave,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert entry["dtype"] == leave["dtype"] == np.int8
    scale, zero = leave["quantization"]
    found = []
    for image in IMAGES:
        interpreter.set_tensor(entry["index"], (image.astype(np.int16) - 128).astype(np.int8)[None])
        interpreter.invoke()
        found.append((interpreter.get_tensor(leave["index"])[0].astype(np.float32) - zero) * scale)
    return np.stack(found)


def test_no_tensor_of_the_file_is_float(made: Made) -> None:
    found = small.operators(made.path)
    assert {kind for kind, _, _ in found} >= {"RSQRT", "SOFTMAX", "BATCH_MATMUL", "LOGISTIC", "MEAN"}
    assert not [kind for kind, reads, gives in found if {"FLOAT32", "FLOAT16"} & {*reads, *gives}]


@pytest.mark.parametrize(
    "kernels", [OpResolverType.AUTO, OpResolverType.BUILTIN_REF], ids=["xnnpack", "reference"]
)
def test_it_computes_what_the_plan_says(made: Made, kernels: OpResolverType) -> None:
    images = models.normalised(IMAGES)
    wanted = made.module(images).detach()
    planned = simulate(made.graph, made.plan, images)[0]
    given = _run(made.path, kernels)
    assert sqnr(wanted, planned) > 20
    assert sqnr(wanted, given) > 20
    assert sqnr(planned, given) > 25


def test_each_site_gives_what_its_own_input_should(made: Made, tmp_path: Path) -> None:
    """Fed with the file's own integers, the simulation gives the file's, to the last bit."""
    graph = tmp_path / "graph.pt2"
    graph_file.save(made.graph, graph)
    built = Built("tflite", Precision.W8A8, 0.0, str(made.path), made.places)
    errors = compare_sites(RUNTIME, built, IMAGES[:2], made.plan, graph)
    assert len(errors) == len(made.places) > 30
    assert not [error for error in errors if error.max_steps]


def test_the_file_says_what_it_is_for(made: Made) -> None:
    contents, macs = RUNTIME.contents(made.path), RUNTIME.integer_macs(made.path)
    assert contents.metadata["edgevit.backend"] == "ethos-u"
    assert contents.inputs[0].dtype == contents.outputs[0].dtype == "int8"
    assert macs.dynamic == 0 and macs.source == "program"
    assert {kind.partition(" ")[0] for kind, _ in macs.operators} >= {"BATCH_MATMUL", "CONV_2D"}


def test_means_over_channels_become_means_over_rows(prepared: FloatConversion) -> None:
    """Vela reduces the depth of (1, 1, rows, c) alone; the values stay, to the last bit."""
    model = tfl.duplicate(prepared.model)
    before = _means(model)
    edit(model, (rows.mean_of_rows,))
    after = _means(model)
    assert any(len(shape) == 3 for shape in before) or len(before) == len(after)
    assert all(shape[:2] == (1, 1) for shape, axes in after.items() if axes == (len(shape) - 1,))


def _means(model: object) -> dict[tuple[int, ...], tuple[int, ...]]:
    part = tfl.graph(model)  # type: ignore[arg-type]
    found = {}
    for operator in part.operators:
        if tfl.kind(model, operator) == "MEAN":  # type: ignore[arg-type]
            axes = tfl.constant(model, int(operator.inputs[1]))  # type: ignore[arg-type]
            assert axes is not None
            shape = tuple(int(n) for n in part.tensors[int(operator.inputs[0])].shape)
            found[shape] = tuple(int(a) % len(shape) for a in axes.ravel())
    return found


@pytest.mark.parametrize("option", [{"input": "float32"}, {"output": "float32"}])
def test_float_ends_are_refused(option: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="no operator is float"):
        TARGET.check_options({**OPTIONS, **option})
    with pytest.raises(UsageError, match="there is no backend 'npu'"):
        TARGET.check_options({"backend": "npu"})
