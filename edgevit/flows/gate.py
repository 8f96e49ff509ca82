"""`edgevit gate`: a bundle against what shipped before."""

from __future__ import annotations

from pathlib import Path

from edgevit.core.disk.whole_files import write_atomic
from edgevit.core.errors import InputError, UsageError
from edgevit.core.progress import Progress, Silent
from edgevit.core.results.baseline import Baseline, to_text
from edgevit.core.results.gate import FilePoint, GateReport, Images, Side
from edgevit.core.settings.gate_policy import Policy
from edgevit.core.settings.recipe import Recipe
from edgevit.flows._gate.shipped import OpenBundle, open_bundle, open_either
from edgevit.flows._gate.time_pairs import Pair, time_pairs
from edgevit.validate.gate.accuracy import power
from edgevit.validate.gate.flips import find_flips
from edgevit.validate.gate.judge import exit_code, judge, outcome_of
from edgevit.validate.gate.latency import Beside
from edgevit.validate.gate.rules import without_effect
from edgevit.validate.gate.sides import Shipped, in_words_of, open_baseline


def gate(
    new: OpenBundle, baseline: Path, policy: Policy, recipe: Recipe, progress: Progress | None = None
) -> GateReport:
    """Hold every file of a bundle, and its float model, against `baseline`.

    Args:
        new: from `open_bundle`.
        baseline: an earlier bundle, whose files are then timed beside the new ones, or a baseline file.
        recipe: of it threads, seed and limits on resources count, for timing.

    Raises:
        InputError: the baseline cannot be read, or is of another model or other images.
    """
    told = progress or Silent()
    told.stage("reading the baseline")
    earlier = open_either(baseline)
    facts = earlier.facts if isinstance(earlier, OpenBundle) else earlier
    _check_same(facts, new, policy, baseline)
    old = open_baseline(facts, str(baseline))
    same_words = in_words_of(old, new.shipped)
    timed = _time(earlier, new, policy, recipe, told)
    told.stage("comparing")
    checks = judge(same_words, new.shipped, new.seen, policy, timed, _why_not_timed(earlier))
    outcome = outcome_of(checks)
    images = new.facts.images
    return GateReport(
        baseline=_side(baseline, facts, isinstance(earlier, OpenBundle)),
        bundle=_side(new.path, new.facts, is_bundle=True),
        images=Images(path=images.path, digest=images.pictures, count=images.count, labelled=images.labelled),
        outcome=outcome,
        exit_code=exit_code(outcome, policy.on_inconclusive),
        on_inconclusive=policy.on_inconclusive or "fail",
        checks=checks,
        power=power(same_words, new.shipped, policy),
        policy=policy.origin,
        classes=new.shipped.classes,
        flips=tuple(find_flips(same_words, new.shipped, new.seen)),
        points=(*_points(old, "old", timed), *_points(new.shipped, "new", timed)),
        notes=(*_notes(old, new), *without_effect(policy, old.facts, new.facts, checks)),
    )


def save_baseline(bundle: Path, file: Path) -> None:
    """Write what the gate remembers of `bundle`.

    Raises:
        UsageError: something is there.
        InputError: as `open_bundle`.
        StorageError: the place is read-only or full.
    """
    if file.exists() or file.is_symlink():
        raise UsageError(
            f"{file} exists",
            f"edgevit gate {bundle} --baseline {file} --update-baseline compares and rewrites it; for other images, "
            "remove it first",
        )
    write_atomic(file, to_text(open_bundle(bundle).facts))


def update_baseline(new: OpenBundle, file: Path) -> None:
    """Rewrite a baseline file by the bundle that was held against it; the old one stays if that fails.

    Raises:
        UsageError: `file` is a bundle.
        StorageError: the place is read-only or full.
    """
    if file.is_dir():
        raise UsageError(
            f"{file} is a bundle, which is never rewritten", "give the new bundle as --baseline from now on"
        )
    # A link stays one, and what it names is rewritten.
    write_atomic(file.resolve(), to_text(new.facts))


def _check_same(old: Baseline, new: OpenBundle, policy: Policy, where: Path) -> None:
    """Raise where a comparison would say nothing."""
    before, now = old.images, new.facts.images
    again = "evaluate on the same images, or remove the baseline and make it anew with --save-baseline"
    if (before.pictures, before.count) != (now.pictures, now.count):
        raise InputError(
            f"another image set: the baseline {where} was evaluated on {before.count:,} images of {before.path} "
            f"(digest {before.pictures[:12]}), the bundle on {now.count:,} of {now.path} ({now.pictures[:12]})",
            again,
        )
    if before.names != now.names:
        raise InputError(
            f"of the images of {now.path} others could be read than for the baseline {where}, or in another order",
            again,
        )
    if before.labelled != now.labelled:
        which = "the baseline's" if before.labelled else "the bundle's"
        raise InputError(f"only {which} images have labels", again)
    if before.by_index != now.by_index and before.by_name != now.by_name:
        raise InputError(f"the images are those of the baseline {where}, but their labels are others", again)
    before_heads = {head.name: head for head in old.packed.heads}
    for head in new.facts.packed.heads:
        known = before_heads.get(head.name)
        if known and known.by_index != head.by_index and known.by_name != head.by_name:
            raise InputError(
                f"the images are those of the baseline {where}, but their labels for {head.name} are others",
                again,
            )
    if old.model.name != new.facts.model.name and not policy.accepts("model"):
        raise InputError(
            f"the baseline {where} is of the model {old.model.name}, the bundle of {new.facts.model.name}",
            "give the baseline of this model; if it is meant to take the other's place: --accept model",
        )


def _time(
    old: OpenBundle | Baseline, new: OpenBundle, policy: Policy, recipe: Recipe, progress: Progress
) -> dict[str, Beside]:
    """The files that both bundles hold, beside each other; nothing where the baseline has no files."""
    if not isinstance(old, OpenBundle):
        return {}
    before = {a.name: a for a in old.report.artifacts if a.path is not None}
    pairs, limits = {}, {}
    for artifact in new.report.artifacts:
        name = artifact.name
        limit = policy.limits_for(name).max_latency_regression
        known = before.get(name)
        if limit is None or artifact.path is None or known is None or known.path is None:
            continue
        pairs[name] = Pair(old.path / known.path, new.path / artifact.path, artifact.target)
        limits[name] = limit
    found = time_pairs(pairs, limits, recipe, progress)
    return {
        name: Beside(one.outcome, one.reason, one.ratio, one.old_p50_ms, one.new_p50_ms)
        for name, one in found.items()
    }


def _why_not_timed(old: OpenBundle | Baseline) -> str:
    return "" if isinstance(old, OpenBundle) else "a baseline file holds no files to time beside the new ones"


def _side(path: Path, facts: Baseline, is_bundle: bool) -> Side:
    return Side(
        path=str(path),
        kind="bundle" if is_bundle else "file",
        created_by=facts.created_by,
        model=facts.model.name,
        weights_sha256=facts.model.weights_sha256,
        top1=facts.model.top1,
    )


def _points(side: Shipped, name: str, timed: dict[str, Beside]) -> list[FilePoint]:
    found = []
    for file in side.facts.files:
        beside = timed.get(file.name)
        measured = None if beside is None else (beside.old_ms if name == "old" else beside.new_ms)
        found.append(
            FilePoint(
                subject=file.name,
                side="old" if name == "old" else "new",
                score_pct=file.top1 if file.top1 is not None else file.agreement,
                size_bytes=file.size_bytes,
                latency_ms=measured,
            )
        )
    return found


def _notes(old: Shipped, new: OpenBundle) -> list[str]:
    notes = []
    known = {file.name for file in old.facts.files}
    come = [file.name for file in new.facts.files if file.name not in known]
    if come:
        notes.append(f"new, and in no baseline yet: {', '.join(come)}")
    before, now = old.facts.model, new.facts.model
    if before.weights_sha256 != now.weights_sha256:
        notes.append(f"the weights are others: {before.weights_sha256[:12]} became {now.weights_sha256[:12]}")
    for what in ("name", "parameters", "macs"):
        if getattr(before, what) != getattr(now, what):
            notes.append(f"{what} of the float model: {getattr(before, what)} became {getattr(now, what)}")
    if old.facts.created_by != new.facts.created_by:
        notes.append(f"made by {new.facts.created_by}, the baseline by {old.facts.created_by}")
    return notes
