"""Run coremltools' operator tests on our evaluator, and keep what became of each value that they state.

Their tests build a program, convert it, and give it to `MLModel.predict`, which works on macOS alone. Here
`predict` is our evaluator's, on the package that was written; everything else is theirs: the cases, the
expected values, the comparison and its tolerances. Only where a float32 test feeds or makes float16 values
is its tolerance of 1e-4 too narrow, since such a value may be rounded to its other neighbour: 2e-3 there.
"""

from __future__ import annotations

import contextlib
import gc
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import numpy as np
import pytest

from edgevit.core.errors import EdgevitError, InputError
from edgevit.runtimes._mil.evaluate import evaluate, fold
from edgevit.runtimes._mil.read import type_name
from edgevit.runtimes._mil.table import KERNELS

_INT32 = 131104  # ArrayFeatureType.INT32 of Core ML's model format
Outcome = Literal["passed", "refused", "wrong", "crashed"]


class RefusedError(Exception):
    """Our evaluator does not run this program, and says why."""


@dataclass
class Results:
    """What became of each test that asked for a prediction, and of each constant that coremltools folded.

    Attributes:
        outcomes: test -> outcome, and why.
        others: tests without a prediction: outcome of pytest -> count.
        folded: operation -> number of equal results.
        unlike: operation, and how our result differs from coremltools' own.
        agreed: the running test's last prediction had the stated values.
        precision: of the programs, fp32 or fp16; tests in the other one are left out.
        each: at most so many cases of each test function, chosen by chance with a fixed seed; 0 for all.
        tell: called with a line for each result that is not the stated one.
    """

    precision: Literal["fp16", "fp32"]
    each: int
    tell: Callable[[str], None]

    outcomes: dict[str, tuple[Outcome, str]] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    folded: dict[str, int] = field(default_factory=dict)
    unlike: list[tuple[str, str]] = field(default_factory=list)
    agreed: bool = False
    _asked: int = 0
    _refused: str = ""
    _crashed: str = ""

    def predict(self, model: Any, data: dict[str, Any], state: object = None) -> dict[str, Any]:
        """In place of `MLModel.predict`."""
        self._asked += 1
        if state is not None or model.package_path is None:
            self._refused = "a model with state" if state is not None else "a neural network, no ML program"
            raise RefusedError(self._refused)
        kinds = {i.name: i.type.multiArrayType.dataType for i in model.get_spec().description.input}
        try:
            given = {name: _two(value, kinds[name] != _INT32) for name, value in data.items()}
            found = evaluate(Path(model.package_path), given)
        except EdgevitError as error:
            if isinstance(error, InputError) and str(model.package_path) not in error.message:
                # what Core ML answers to values that an operation does not allow
                raise RuntimeError(f"Error computing NN outputs: {error.message}") from error
            self._refused = error.message.removeprefix(f"{model.package_path}: ")
            raise RefusedError(error.message) from error
        except Exception as error:
            self._crashed = f"{type(error).__name__}: {error}"
            raise
        return {name: value[0] for name, value in found.items()}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the programs of one precision and tests without any, and of these at most `each`."""
        other = f"precision='{'fp16' if self.precision == 'fp32' else 'fp32'}'"
        functions: dict[str, list[pytest.Item]] = {}
        for item in items:
            if other not in item.name:
                functions.setdefault(item.nodeid.split("[")[0], []).append(item)
        chance = random.Random(0)
        items[:] = [
            item
            for cases in functions.values()
            for item in (cases if not 0 < self.each < len(cases) else chance.sample(cases, self.each))
        ]

    def pytest_collection_finish(self) -> None:
        """Leave all that is imported alone: every conversion collects garbage, a second long otherwise."""
        gc.freeze()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Judge one test."""
        self._asked, self._refused, self._crashed, self.agreed = 0, "", "", False
        try:
            result = yield
        except BaseException as error:
            self._judge(item.nodeid, error)
            raise
        self._judge(item.nodeid, None)
        return result

    def _judge(self, test: str, error: BaseException | None) -> None:
        kind = "passed" if error is None else type(error).__name__
        if not self._asked:
            self.others[kind] = self.others.get(kind, 0) + 1
        elif self._crashed:
            self.outcomes[test] = "crashed", self._crashed
        elif self._refused:
            self.outcomes[test] = "refused", self._refused
        elif error is None or (
            self.agreed and str(error).startswith("assert ")
        ):  # of other things than values
            self.outcomes[test] = "passed", ""
        else:
            self.outcomes[test] = "wrong", f"{kind}: {error}"
        outcome, why = self.outcomes.get(test, ("", ""))
        if outcome not in ("", "passed"):
            self.tell(f"{outcome} {test.rsplit('/', 2)[-1]}: {why}")

    def folding(self, operation: Any) -> None:
        """Compare a constant that coremltools has just computed with ours."""
        wanted = [var.val for var in operation.outputs]
        sources = [v for g in operation.inputs.values() for v in (g if isinstance(g, list | tuple) else (g,))]
        if any(value is None for value in (*wanted, *(var.val for var in sources if var is not None))):
            return
        try:
            found = fold(operation)
        except Exception as error:  # noqa: BLE001 - whatever it raises is what is looked for
            self._differs(operation, f"{type(error).__name__}: {error}")
            return
        for ours, theirs in zip(found, wanted, strict=True):
            expected = np.asarray(theirs)
            rough = expected.dtype == np.float16
            same = ours.shape == expected.shape and np.allclose(
                ours.astype(np.float64),
                expected.astype(np.float64),
                rtol=1e-2 if rough else 1e-4,
                atol=1e-3 if rough else 1e-5,
                equal_nan=True,
            )
            if not same:
                self._differs(operation, f"ours {ours!r}, coremltools' {expected!r}")
                return
        self.folded[operation.op_type] = self.folded.get(operation.op_type, 0) + 1

    def _differs(self, operation: Any, why: str) -> None:
        self.unlike.append((operation.op_type, why))
        self.tell(f"unlike {operation.op_type}: {why}")


def run(tests: Path, results: Results, arguments: list[str]) -> None:
    """Run every test below a folder."""
    with _in_place_of_core_ml(results):
        pytest.main(
            [
                str(tests),
                "-q",
                "--no-header",
                "--no-summary",
                "--tb=no",
                "-p",
                "no:cacheprovider",
                *arguments,
            ],
            plugins=[results],
        )


@contextlib.contextmanager
def _in_place_of_core_ml(results: Results) -> Iterator[None]:
    import coremltools as ct
    from coremltools.converters.mil import testing_utils
    from coremltools.converters.mil.mil import Operation

    infer = Operation.type_value_inference

    def inferred(operation: Any, overwrite_output: bool = False) -> None:
        infer(operation, overwrite_output)
        if operation.op_type in KERNELS:
            results.folding(operation)

    def predict(model: Any, data: dict[str, Any], state: object = None) -> dict[str, Any]:
        return results.predict(model, data, state)

    theirs = testing_utils.compare_backend

    def compare(mlmodel: Any, *values: Any, atol: float = 1e-4, rtol: float = 1e-5, **settings: Any) -> Any:
        least = 2e-3 if _has_half(mlmodel) else 0.0
        found = theirs(mlmodel, *values, atol=max(atol, least), rtol=max(rtol, least), **settings)
        results.agreed = True
        return found

    with (
        mock.patch.object(ct.models.MLModel, "predict", predict),
        mock.patch.object(testing_utils, "_IS_MACOS", True),
        mock.patch.object(testing_utils, "compare_backend", compare),
        mock.patch.object(ct.models.utils, "_macos_version", return_value=(15, 0)),
        mock.patch.object(Operation, "type_value_inference", inferred),
    ):
        yield


def _has_half(model: Any) -> bool:
    """Whether any value of the program is float16."""
    function = model._mil_program.functions["main"]
    made = [var for operation in function.operations for var in operation.outputs]
    return any(type_name(var) == "fp16" for var in (*function.inputs.values(), *made))


def _two(value: Any, real: bool) -> np.ndarray[Any, np.dtype[Any]]:
    """The value, and half of it (integers as they are) as a second image, which must not reach the first."""
    array = np.asarray(value, dtype=np.float32)
    return np.stack([array, array / 2 if real else array])
