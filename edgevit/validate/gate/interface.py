"""What an app that loads the files has in its code: a change is neither better nor worse, but is accepted by name."""

from __future__ import annotations

from collections.abc import Iterator

from edgevit.core._plain import to_plain
from edgevit.core.results.baseline import BaselineFile
from edgevit.core.results.gate import FLOAT_MODEL, Check, CheckKind
from edgevit.core.types import TensorSpec
from edgevit.validate.gate.sides import Shipped

_SHOWN = 3  # names in one sentence


def interface_checks(old: Shipped, new: Shipped) -> Iterator[Check]:
    """Labels and preprocessing of the model, and what each file that both have takes, gives and requires."""
    yield _check(
        FLOAT_MODEL, "labels", labels_changed(old.classes, new.classes), "the same labels in the same order"
    )
    for name, head in old.heads.items():
        if name in new.heads:
            change = labels_changed(head.classes, new.heads[name].classes)
            yield _check(
                f"{FLOAT_MODEL} output {name}", "labels", change, "the same labels in the same order"
            )
        else:
            yield _check(f"{FLOAT_MODEL} output {name}", "outputs", f"the output {name} is gone", "")
    yield _check(FLOAT_MODEL, "preprocess", _preprocess_changed(old, new), "the same preprocessing")
    before_kind, kind = old.facts.model.output, new.facts.model.output
    change = "" if before_kind == kind else f"the first output was {before_kind} and is {kind}"
    yield _check(FLOAT_MODEL, "outputs", change, f"the first output is {kind}")
    for before in old.facts.files:
        now = new.file(before.name)
        # A file that was not executed says nothing of its tensors.
        if now is None or not (before.inputs and now.inputs):
            continue
        yield _check(
            before.name, "inputs", _tensors(before.inputs, now.inputs, scales=True), "the same inputs"
        )
        yield _check(
            before.name, "outputs", _tensors(before.outputs, now.outputs, scales=False), "the same outputs"
        )
        yield _check(before.name, "requires", _requires(before, now), "requires nothing new")


def _check(subject: str, kind: CheckKind, change: str, same: str) -> Check:
    if not change:
        return Check(subject=subject, kind=kind, outcome="pass", reason=same)
    reason = f"{change}. Whoever uses it has to change too; if that is meant: --accept {kind}"
    return Check(subject=subject, kind=kind, outcome="regressed", reason=reason, accept=kind)


def labels_changed(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    """What became of the labels, in one clause; "" for nothing."""
    if old == new:
        return ""
    if len(old) != len(new):
        gone, come = ([n for n in a if n not in b] for a, b in ((old, set(new)), (new, set(old))))
        said = [f"{len(old)} labels became {len(new)}"]
        said += [f"gone: {_some(gone)}"] if gone else []
        said += [f"new: {_some(come)}"] if come else []
        return "; ".join(said)
    moved = [index for index, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    first = moved[0]
    if sorted(old) == sorted(new):
        return (
            f"the labels are in another order: {len(moved)} of {len(new)} have another index, "
            f"{old[first]!r} was {first} and is {new.index(old[first])}"
        )
    return f"{len(moved)} of {len(new)} labels have another name: {first} was {old[first]!r} and is {new[first]!r}"


def _preprocess_changed(old: Shipped, new: Shipped) -> str:
    before, now = to_plain(old.facts.model.preprocess), to_plain(new.facts.model.preprocess)
    changes = [f"{key} was {before[key]} and is {now[key]}" for key in now if now[key] != before[key]]
    return f"the preprocessing changed: {'; '.join(changes)}" if changes else ""


def _tensors(old: tuple[TensorSpec, ...], new: tuple[TensorSpec, ...], scales: bool) -> str:
    """Names, shapes and types in order; scales of integer inputs, which follow from the preprocessing, too.

    Scales of integer outputs follow from the weights, so that every training changes them: an app reads them from
    the file.
    """

    def shown(tensor: TensorSpec) -> str:
        size = "x".join(map(str, tensor.shape))
        grid = f" scale {tensor.scale:.6g} zero point {tensor.zero_point}" if scales and tensor.scale else ""
        return f"{tensor.name} {tensor.dtype} {size}{grid}"

    before, now = [shown(t) for t in old], [shown(t) for t in new]
    if before == now:
        return ""
    what = "the inputs" if scales else "the outputs"
    return f"{what} changed: {_some(before, 4)} became {_some(now, 4)}"


def _requires(old: BaselineFile, new: BaselineFile) -> str:
    come, gone = set(new.requires) - set(old.requires), set(old.requires) - set(new.requires)
    if not come:  # wanting less of a device harms nobody
        return ""
    return f"it requires {_some(sorted(come))}" + (f" instead of {_some(sorted(gone))}" if gone else "")


def _some(names: list[str], most: int = _SHOWN) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
