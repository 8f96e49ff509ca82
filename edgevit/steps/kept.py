"""What the preparing step keeps in the cache, stage by stage: a stopped run goes on, one more precision costs itself.

Each result is found by the model (its graph, its weights, the user's code), the images, and what was asked of it. The
float reference comes from the PyTorch module and not from the graph, so the code of that module counts too: that of
installed packages by their versions, all other code that was imported by its files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from edgevit.core._plain import to_plain
from edgevit.core.cache.memory import OFF, Memory, read_result, write_result
from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.plans import QuantPlan
from edgevit.core.types import Stats
from edgevit.steps.messages import SimulatedPlan

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgevit.steps.named_outputs import Outputs

T = TypeVar("T")

_STATS = "stats.npz"
_OUTPUTS = "outputs.npz"


@dataclass(frozen=True, slots=True)
class Kept:
    """The cache for one model.

    Attributes:
        model: what the model is, plain data.
    """

    memory: Memory
    model: Mapping[str, object]

    def outputs(self, kind: str, facts: Mapping[str, object], make: Callable[[], Outputs]) -> Outputs:
        """Outputs of a model by name, each float32 (N, ...)."""
        from edgevit.steps import named_outputs

        return self.memory.recall(
            kind,
            self._all(facts),
            make,
            lambda made, folder: named_outputs.save(folder / _OUTPUTS, made),
            lambda folder: named_outputs.load(folder / _OUTPUTS),
        )

    def result(self, result: type[T], kind: str, facts: Mapping[str, object], make: Callable[[], T]) -> T:
        """A dataclass that JSON can hold."""
        return self.memory.recall(
            kind, self._all(facts), make, write_result, lambda folder: read_result(result, folder)
        )

    def stats(
        self, facts: Mapping[str, object], make: Callable[[], Stats], kind: str = "statistics"
    ) -> Stats:
        """What calibration measured."""
        return self.memory.recall(kind, self._all(facts), make, _write_stats, _read_stats)

    def stats_of_each(
        self,
        facts: Mapping[str, object],
        backends: Sequence[BackendCapabilities],
        make: Callable[[tuple[BackendCapabilities, ...]], Stats],
        part: Callable[[Stats, BackendCapabilities], Stats],
    ) -> Stats:
        """Statistics for several backends: measured together for those that the cache does not know.

        Args:
            part: what one backend wants of all.
        """
        found: list[Stats] = []
        missing = []
        for backend in backends:
            known = self._find(self._of(facts, backend), "statistics", _read_stats)
            if known is None:
                missing.append(backend)
            else:
                found.append(known)
        if missing:
            made = make(tuple(missing))
            for backend in missing:
                self._keep(self._of(facts, backend), "statistics", part(made, backend), _write_stats)
            found.append(made)
        values = {key: value for stats in found for key, value in stats.values.items()}
        return Stats(values, max((stats.images for stats in found), default=0))

    def plans(
        self,
        facts: Mapping[str, object],
        backends: Sequence[BackendCapabilities],
        make: Callable[[Sequence[BackendCapabilities]], Sequence[QuantPlan]],
        done: Callable[[BackendCapabilities], None],
    ) -> tuple[QuantPlan, ...]:
        """A plan for each backend: decided together for those that the cache does not know.

        Where that fails they are decided one by one, so that what can be decided is kept.

        Args:
            done: is told of each plan that is there.

        Raises:
            Exception: the first that `make` raised for one backend alone.
        """
        found: dict[BackendCapabilities, QuantPlan] = {}
        for backend in backends:
            known = self._find(self._of(facts, backend), "plan", _read_plan)
            if known is not None:
                found[backend] = known
                done(backend)
        missing = [backend for backend in backends if backend not in found]
        failed: Exception | None = None

        def keep(some: Sequence[BackendCapabilities]) -> None:
            for backend, plan in zip(some, make(some), strict=True):
                self._keep(self._of(facts, backend), "plan", plan, _write_plan)
                found[backend] = plan
                done(backend)

        groups = [missing] if missing else []
        while groups:
            group = groups.pop(0)
            try:
                keep(group)
            except Exception as error:  # noqa: BLE001  an algorithm of a plug-in too: the plans of the others are not lost
                groups += [[backend] for backend in group] if len(group) > 1 else []
                failed = error if len(group) == 1 and failed is None else failed
        if failed is not None:
            raise failed
        return tuple(found[backend] for backend in backends)

    def results_of_each(
        self,
        result: type[T],
        kind: str,
        facts: Sequence[Mapping[str, object]],
        make: Callable[[Sequence[int]], Sequence[T]],
    ) -> tuple[T, ...]:
        """Dataclasses that are made together where the cache does not know them; `make` gets the indices of `facts`."""
        found: dict[int, T] = {}
        for index, own in enumerate(facts):
            known = self._find(own, kind, lambda folder: read_result(result, folder))
            if known is not None:
                found[index] = known
        missing = [index for index in range(len(facts)) if index not in found]
        for index, made in zip(missing, make(missing) if missing else (), strict=True):
            self._keep(facts[index], kind, made, write_result)
            found[index] = made
        return tuple(found[index] for index in range(len(facts)))

    def simulated(
        self, facts: Mapping[str, object], work: Path, make: Callable[[], SimulatedPlan]
    ) -> SimulatedPlan:
        """What the simulation of a plan gave; its outputs are a file in `work`."""

        def write(made: SimulatedPlan, folder: Path) -> None:
            write_result(made, folder)
            shutil.copyfile(work / made.outputs, folder / _OUTPUTS)

        def read(folder: Path) -> SimulatedPlan:
            found = read_result(SimulatedPlan, folder)
            shutil.copyfile(folder / _OUTPUTS, work / Path(found.outputs).name)
            return found

        return self.memory.recall("simulation", self._all(facts), make, write, read)

    def _find(self, facts: Mapping[str, object], kind: str, read: Callable[[Path], T]) -> T | None:
        return self.memory.recall_known(kind, self._all(facts), read)

    def _keep(
        self, facts: Mapping[str, object], kind: str, made: T, write: Callable[[T, Path], None]
    ) -> None:
        self.memory.keep_made(kind, self._all(facts), made, write)

    def _all(self, facts: Mapping[str, object]) -> dict[str, object]:
        return {**self.model, **facts}

    def _of(self, facts: Mapping[str, object], backend: BackendCapabilities) -> dict[str, object]:
        return {**facts, "backend": to_plain(backend)}


NOTHING: Final = Kept(Memory(OFF, lambda text: None), {})


def array_digest(array: NDArray[np.generic] | torch.Tensor | None) -> str:
    """SHA-256 of the values with their shape and type; "" for nothing."""
    import numpy as np

    if array is None:
        return ""
    values = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{values.dtype} {values.shape}\n".encode())
    digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def user_code() -> str:
    """Digest of all imported Python that is neither Python's own nor an installed package's."""
    places = sysconfig.get_paths()
    known = tuple(places[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    root = Path(__file__).resolve().parents[2]
    own = tuple(f"{root / name}{os.sep}" for name in ("edgevit", "converters", "calibration"))
    digest = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        file: Any = getattr(module, "__file__", None)
        if not isinstance(file, str) or file.startswith((*known, *own)):
            continue
        path = Path(file)
        digest.update(f"{name}\0".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def plan_digest(plan: QuantPlan) -> str:
    """SHA-256 of everything that a plan says, and of its tensors."""
    from edgevit.quant import plan_file

    return plan_file.digest(plan)


def _write_plan(plan: QuantPlan, folder: Path) -> None:
    from edgevit.quant import plan_file

    plan_file.save((plan,), folder)


def _read_plan(folder: Path) -> QuantPlan:
    from edgevit.quant import plan_file

    return plan_file.load(folder)[0]


def _write_stats(stats: Stats, folder: Path) -> None:
    import numpy as np

    arrays = {f"{tensor}\t{observer}": value for (tensor, observer), value in stats.values.items()}
    with (folder / _STATS).open("wb") as file:
        np.savez(file, images=np.array(stats.images), names=np.array(list(arrays)), **_numbered(arrays))  # type: ignore[arg-type]


def _numbered(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Names of tensors have slashes and dots, which names in an archive should not."""
    return {f"a{index}": value for index, value in enumerate(arrays.values())}


def _read_stats(folder: Path) -> Stats:
    import numpy as np

    with np.load(folder / _STATS, allow_pickle=False) as stored:
        names = [str(name) for name in stored["names"]]
        values = {}
        for index, name in enumerate(names):
            tensor, observer = name.split("\t")
            values[tensor, observer] = stored[f"a{index}"]
        return Stats(values, int(stored["images"]))
