"""The cache as flows use it: a step whose result is known is not run.

What a step leaves is kept by everything that it depends on, which is listed here for each kind of step: the request
without places, and digests of the files that it reads. Files that come from elsewhere are executed anew each time,
since what they load beside themselves is not known. Latency is always measured.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from edgevit.core._plain import to_plain
from edgevit.core.cache import place as places
from edgevit.core.cache.code import code_facts
from edgevit.core.cache.memory import OFF, RESULT, Memory, Remembered, read_result
from edgevit.core.cache.store import PART, digest_of, files_in, trim
from edgevit.core.disk.artifact import artifact_sha256
from edgevit.core.disk.space import storage_errors
from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.errors import EdgevitError, InputError, StepError, StorageError
from edgevit.core.precisions import Precision
from edgevit.core.process.cores import usable_cores
from edgevit.core.progress import Progress
from edgevit.core.settings.model_text import parse_source
from edgevit.core.settings.recipe import Recipe, label_files
from edgevit.registries import SOURCES
from edgevit.steps import messages
from edgevit.steps.messages import (
    BuildRequest,
    Built,
    Executed,
    ExecuteRequest,
    Prepared,
    PrepareRequest,
    SimulatedPlan,
)
from edgevit.steps.samples import samples_path

_FILES: Final = "artifact/"
_OUTPUTS: Final = "outputs.npz"
_SITE_VALUES: Final = "site-values.safetensors"
_WORDS: Final = ("demo", "synthetic")
_LARGEST: Final = 8  # one entry takes at most this part of the whole cache
# Settings that preparing a model does not ask for: one that is forgotten here costs time and no truth. Limits say by
# their presence alone what is checked.
_ELSEWHERE: Final = frozenset(
    {
        "output",
        "overwrite",
        "device",
        "lint",
        "compile",
        "jobs",
        "threads",
        "timeout",
        "max_memory",
        "emulated_count",
        "cache",
        "dry_run",
    }
)
_LIMITS: Final = ("max_drop", "min_agreement", "min_sqnr")


def open_memory(recipe: Recipe, progress: Progress) -> Memory:
    """The cache that a recipe asks for; one that keeps nothing where it is off, or where the usual one is of no use.

    Raises:
        UsageError: `--cache` names a place that cannot be used.
    """
    place = places.locate(recipe.cache)
    if place is None:
        return Memory(OFF, progress.warn)
    reason = places.open_place(place)
    if reason is not None:
        if recipe.cache is not None:
            raise places.refuse(place, reason)
        progress.note(f"nothing is kept for the next run: {reason}")
        return Memory(OFF, progress.warn)
    named = _model_facts(recipe)
    folder = place.folder / f"{PART}{digest_of(named)[:16]}"
    try:
        with storage_errors(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
    except EdgevitError as error:
        progress.note(f"nothing is kept for the next run: {error.message}")
        return Memory(OFF, progress.warn)
    facts = {**code_facts(), "model": named, "threads": recipe.threads or usable_cores(), "jobs": recipe.jobs}
    return Memory(Remembered(str(folder), digest_of(facts)), progress.warn, limit=place.limit)


def _model_facts(recipe: Recipe) -> dict[str, object]:
    """Which model it is: the part of the cache is named by it, and all keys hold it.

    Each model has a part of its own, which its sandboxed steps may write to. What they say of themselves goes into
    keys, such as the digest of a graph: a hostile one can spoil its own results and those of no other model.
    """
    source, argument = parse_source(recipe.model, SOURCES.names())
    named = SOURCES.get(source).path(argument)
    paths = [recipe.weights, None if named is None else Path(named)]
    return {
        "model": recipe.model,
        "weights": None if recipe.weights is None else str(recipe.weights),
        # pipes and devices have no end, and what is missing is told by the step that reads it
        "files": [sha256_of(p) if p is not None and (p.is_dir() or p.is_file()) else None for p in paths],
    }


class OfPrepare:
    """The whole preparing step, where all that it reads is known: the same command again."""

    def __init__(self, memory: Memory, request: PrepareRequest) -> None:
        self._memory, self._request, self._folder = memory, request, Path(request.work)
        self._facts = _prepare_facts(request) if memory.remembered.folder else None

    def find(self) -> Prepared | None:
        """What it left, with its files in the work folder."""
        aside = self._folder / "kept-prepared"
        try:
            if self._facts is None or not self._memory.find("prepared", self._facts, aside):
                return None
            prepared = read_result(Prepared, aside)
            for path in aside.iterdir():
                path.rename(self._folder / path.name)
            return prepared
        except InputError:
            self._memory.forget("prepared", self._facts or {})
            return None
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def keep(self, prepared: Prepared) -> None:
        """Keep all of the work folder, unless it would be a large part of the cache.

        Nothing is kept where a file changed meanwhile, as a checkpoint of a training that goes on: which content the
        step read is not known.
        """
        if self._facts is None or _prepare_facts(self._request) != self._facts:
            return
        files = files_in(self._folder)
        if sum(path.stat().st_size for path in files.values()) > self._memory.limit / _LARGEST:
            return
        (self._folder / RESULT).write_text(json.dumps(to_plain(prepared)))
        self._memory.keep(
            "prepared",
            self._facts,
            {n: p for n, p in files_in(self._folder).items() if not n.startswith(".")},
        )


def _prepare_facts(request: PrepareRequest) -> dict[str, object] | None:
    """What the preparing step depends on; None where that is not known."""
    recipe = request.recipe
    source, argument = parse_source(recipe.model, SOURCES.names())
    plugin = SOURCES.get(source)
    given = recipe.weights is not None or recipe.random_weights is not None
    if recipe.plan is not None or recipe.reconstruct or not plugin.self_contained(argument, given):
        return None
    if recipe.weights is not None and recipe.weights.suffix == ".json":  # an index: its parts lie beside it
        return None
    named = plugin.path(argument)
    images = [text for text in (recipe.calibrate, recipe.evaluate) if text is not None]
    files = [recipe.weights, None if named is None else Path(named), *label_files(recipe).values()]
    for text in images:
        if text.partition(":")[0] in _WORDS:
            continue
        path = samples_path(text)
        if path is None:
            return None
        files.append(path)
    paths = [path for path in files if path is not None]
    # pipes and devices have no end, and what is missing is told by the step that reads it
    if any(not (path.is_dir() or path.is_file()) or _leads_elsewhere(path) for path in paths):
        return None
    asked = to_plain(recipe)
    limits = {name: asked[name] if recipe.auto_float else asked[name] is not None for name in _LIMITS}
    return {
        "recipe": {name: value for name, value in asked.items() if name not in _ELSEWHERE} | limits,
        "backends": [to_plain(backend) for backend in request.backends],
        "scan_float16": request.scan_float16,
        "float_limits": dict(request.float_limits),
        "files": [sha256_of(path) for path in paths],
    }


def _leads_elsewhere(path: Path) -> bool:
    """Whether a folder has links to folders, which a digest of it does not follow."""
    return path.is_dir() and any(inner.is_symlink() and inner.is_dir() for inner in path.rglob("*"))


class OfBuild:
    """The files of one target."""

    def __init__(self, memory: Memory, request: BuildRequest, prepared: Prepared) -> None:
        self._memory, self._request = memory, request
        self._work = Path(request.work)
        self._facts = (
            {p: self._facts_of(p, prepared) for p in request.precisions} if memory.remembered.folder else {}
        )

    def find(self) -> dict[Precision, Built]:
        """Those that are known, in their places."""
        return {p: built for p in self._facts if (built := self._found(p)) is not None}

    def keep(self, built: Built) -> None:
        """Keep one file that was written."""
        facts = self._facts.get(built.precision)
        if facts is None or built.path is None or built.error is not None:
            return
        path = Path(built.path)
        note = self._work / f"built-{built.target}-{built.precision}.json"
        note.write_text(json.dumps(to_plain(replace(built, path=path.name))))
        files = {RESULT: note, **files_in(path.parent, _FILES)}
        if built.precision is Precision.FP32:
            files[_SITE_VALUES] = self._work / messages.site_values(built.target)
        self._memory.keep("built", facts, files)
        note.unlink()

    def _found(self, precision: Precision) -> Built | None:
        folder = Path(self._request.folders[precision])
        aside = folder.with_name(f"{folder.name}.kept")
        try:
            if not self._memory.find("built", self._facts[precision], aside):
                return None
            try:
                built = read_result(Built, aside)
            except EdgevitError:
                self._memory.forget("built", self._facts[precision])
                return None
            with storage_errors(folder):
                (aside / _FILES).rename(folder)
                if precision is Precision.FP32:
                    shutil.move(aside / _SITE_VALUES, self._work / messages.site_values(built.target))
            return replace(built, path=str(folder / (built.path or "")))
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _facts_of(self, precision: Precision, prepared: Prepared) -> dict[str, object]:
        asked = self._request
        plan = _plan_of(prepared, asked.target, precision)
        scanned = self._work / messages.SCANNED
        return {
            "target": asked.target,
            "precision": precision.value,
            "options": dict(asked.options),
            "without": list(asked.without),
            "spec": to_plain(asked.spec),
            "graph": prepared.graphs[asked.graphs[precision]],
            "plan": None if plan is None else plan.digest,
            "scanned": sha256_of(scanned) if asked.scan_float16 and scanned.exists() else None,
            "scan": sorted(p.value for p in asked.scan_float16),
            "first_image": prepared.first_image if precision is Precision.FP32 else None,
        }


class OfExecute:
    """What one process executes: the files of one target on some images."""

    def __init__(self, memory: Memory, request: ExecuteRequest, prepared: Prepared) -> None:
        self._memory, self._request = memory, request
        self._work = Path(request.work)
        known = bool(memory.remembered.folder) and request.reference is None
        self._shared = self._shared_facts() if known else None
        self._prepared = prepared

    def find(self) -> dict[Precision, Executed]:
        """Of those that are known, what they gave."""
        if self._shared is None:
            return {}
        return {b.precision: done for b in self._request.files if (done := self._found(b)) is not None}

    def keep(self, done: Executed) -> None:
        """Keep what one file gave."""
        if self._shared is None or done.outputs is None or done.error is not None or done.refused:
            return
        built = next(b for b in self._request.files if b.variant == done.variant)
        note = self._work / f"kept-{done.outputs}.json"
        note.write_text(json.dumps(to_plain(done)))
        self._memory.keep(
            "executed", self._facts_of(built), {RESULT: note, _OUTPUTS: self._work / done.outputs}
        )
        note.unlink()

    def _found(self, built: Built) -> Executed | None:
        aside = self._work / f"kept-{built.target}-{built.precision}"
        try:
            if not self._memory.find("executed", self._facts_of(built), aside):
                return None
            try:
                done = read_result(Executed, aside)
            except EdgevitError:
                done = Executed(built.target, built.precision, 0.0)
            if done.outputs is None or Path(done.outputs).name != done.outputs:
                self._memory.forget("executed", self._facts_of(built))
                return None
            shutil.move(aside / _OUTPUTS, self._work / done.outputs)
            return done
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _shared_facts(self) -> dict[str, object]:
        asked = self._request
        fp32 = asked.fp32
        values = None if fp32 is None else self._work / messages.site_values(fp32.target)
        return {
            "runtime": asked.runtime,
            "float_runtime": asked.float_runtime,
            "threads": asked.threads,
            "preprocess": to_plain(asked.preprocess),
            "images": None if asked.images is None else [asked.images.first, asked.images.count],
            "pixels": sha256_of(self._work / messages.PIXELS),
            "reference": sha256_of(self._work / messages.REFERENCE),
            "float_file": None if fp32 is None or fp32.path is None else artifact_sha256(Path(fp32.path)),
            "float_sites": None if fp32 is None else to_plain(fp32)["sites"],
            "site_values": None if values is None or not values.exists() else sha256_of(values),
        }

    def _facts_of(self, built: Built) -> dict[str, object]:
        assert self._shared is not None and built.path is not None
        plan = _plan_of(self._prepared, built.target, built.precision)
        graph = self._request.graphs.get(built.precision)
        return {
            **self._shared,
            "file": artifact_sha256(Path(built.path)),
            "built": {n: v for n, v in to_plain(built).items() if n not in ("path", "seconds", "trace")},
            "plan": None if plan is None else plan.digest,
            "graph": None if graph is None else self._prepared.graphs[graph],
        }


def _plan_of(prepared: Prepared, target: str, precision: Precision) -> SimulatedPlan | None:
    return next((s for s in prepared.simulated if (s.target, s.precision) == (target, precision)), None)


@contextmanager
def resumable(memory: Memory, progress: Progress) -> Iterator[None]:
    """What stops a run within it is told with how it goes on."""
    again = "the same command goes on where this one stopped"
    try:
        yield
    except (StepError, StorageError) as error:
        if memory.remembered.folder:
            error.hint = f"{error.hint}; {again}" if error.hint else again
        raise
    except KeyboardInterrupt:
        if memory.remembered.folder:
            progress.note(f"what is finished is kept: {again}")
        raise


def taken(memory: Memory) -> str:
    """What was not computed again, as a list in words; "" for nothing."""
    counts: Mapping[str, int] = {kind: memory.hits.count(kind) for kind in dict.fromkeys(memory.hits)}
    return ", ".join(f"{count} {kind}" if count > 1 else kind for kind, count in counts.items())


def tidy(memory: Memory, progress: Progress) -> None:
    """Say what was not computed again, and keep the cache within its limit."""
    if found := taken(memory):
        progress.note(f"taken from the cache: {found}")
    if memory.remembered.folder:
        trim(Path(memory.remembered.folder).parent, memory.limit)
