"""The history of one repository, build by build, and what its gate has to say to each.

The builds are real: the command line converts, executes and compares them. The model is the caller's: the demo in
`bench`, a model of a few thousand weights in the tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Convert = Sequence[str]  # arguments of `edgevit convert`, without `-o`
Run = Callable[..., "tuple[int, str, str]"]  # a command's arguments -> exit code, stdout, stderr


@dataclass(frozen=True)
class Repository:
    """A model and the changes that somebody makes to it.

    Attributes:
        build: arguments of its first build; at least ONNX and another target, at w8a8.
        noisy, worse: the same with weights that differ a little, and by about two points of top-1.
        reordered: the same with classes in another order.
        bad_range: of the plan of the first build, the target whose file gets a bad range.
        few, others: the same on 60 evaluation images, and on another image set.
    """

    build: Convert
    noisy: Convert
    worse: Convert
    reordered: Convert
    few: Convert
    others: Convert
    bad_range: str
    gate: Sequence[str] = ()


@dataclass(frozen=True)
class Step:
    """One build and what came of it.

    Attributes:
        exit_code: of the gate.
        regressed: (subject, kind) of the checks that did.
        message: what a colleague reads: the reasons of what is not right, or the error.
    """

    name: str
    exit_code: int
    regressed: frozenset[tuple[str, str]] = frozenset()
    message: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)


def play(repository: Repository, folder: Path, run: Run, told: Callable[[Step], object]) -> list[Step]:
    """All of it, in order; `told` gets each step when it is done. Builds that stand in `folder` are not made again."""
    shipped, baseline = folder / "shipped", folder / "model.baseline.json"
    built(run, repository.build, shipped)
    if not baseline.exists():
        code, _, error = run("gate", str(shipped), "--save-baseline", str(baseline))
        if code:
            raise RuntimeError(error)
    steps = []

    def step(name: str, arguments: Convert, against: Path = baseline) -> None:
        new = folder / name.replace(" ", "-")
        built(run, arguments, new)
        steps.append(held(name, new, against, run, repository.gate))
        told(steps[-1])

    step("unchanged rebuild", repository.build)
    step("a little noise", repository.noisy)
    step("weights two points worse", repository.worse)
    plan = bad_range(shipped, repository.bad_range, folder / "plan")
    step("a bad range", (*repository.build, "--plan", str(plan)))
    # Against the earlier bundle, whose file is there to be timed.
    plan = left_in_float(shipped, "onnx", folder / "float-plan")
    step("lost integers", (*repository.build, "--plan", str(plan)), shipped)
    step("labels in another order", repository.reordered)
    target = "onnx" if repository.bad_range != "onnx" else "tflite"
    step("one target gone", instead(repository.build, "--to", target))
    first = folder / "few"
    built(run, repository.few, first)
    step("sixty images", instead(repository.worse, "--evaluate-count", "60"), first)
    step("another image set", repository.others)
    return steps


def instead(arguments: Convert, flag: str, value: str) -> Convert:
    """The same arguments with another value of one flag, which stands there once."""
    place = arguments.index(flag) + 1
    return (*arguments[:place], value, *arguments[place + 1 :])


def built(run: Run, arguments: Convert, bundle: Path) -> None:
    """Convert; a verdict of the file's own may be anything, since the gate is what is looked at."""
    if bundle.exists():
        return
    code, _, error = run("convert", *arguments, "-o", str(bundle), "-q")
    if code not in (0, 1, 4):
        raise RuntimeError(error)


def held(name: str, bundle: Path, baseline: Path, run: Run, flags: Sequence[str]) -> Step:
    """What the gate says."""
    code, out, error = run("gate", str(bundle), "--baseline", str(baseline), "--json", "-q", *flags)
    data = json.loads(out)
    if "checks" not in data:
        return Step(name, code, message=data["error"]["message"] or error)
    wrong = [check for check in data["checks"] if check["outcome"] in ("regressed", "inconclusive")]
    regressed = frozenset((c["subject"], c["kind"]) for c in wrong if c["outcome"] == "regressed")
    message = "\n".join(f"{c['subject']} {c['kind']}: {c['outcome']}: {c['reason']}" for c in wrong)
    return Step(name, code, regressed, message, data)


def bad_range(bundle: Path, target: str, place: Path) -> Path:
    """The bundle's plan, in which the outputs of a few layers of one file have an eighth of their range."""

    def change(plan: dict[str, Any]) -> None:
        planned = [site for site in plan["sites"] if site["output"]]
        for site in planned[len(planned) // 2 :: 4]:
            site["output"]["scale"] = [scale / 8 for scale in site["output"]["scale"]]

    return edited(bundle, target, place, change)


def left_in_float(bundle: Path, target: str, place: Path) -> Path:
    """The bundle's plan, in which every other layer of one file stays in float."""

    def change(plan: dict[str, Any]) -> None:
        left = {site["site"] for site in plan["sites"][::2]}
        plan["sites"] = [site for site in plan["sites"] if site["site"] not in left]
        plan["skipped"] += [[site, "left in float by hand"] for site in sorted(left)]
        plan["tensors"] = {k: v for k, v in plan["tensors"].items() if k.rpartition(".")[0] not in left}

    return edited(bundle, target, place, change)


def edited(bundle: Path, target: str, place: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of the bundle's plan, changed for the w8a8 file of one target."""
    place.mkdir(exist_ok=True)
    for name in ("plan.json", "plan.safetensors"):
        (place / name).write_bytes((bundle / name).read_bytes())
    document = json.loads((place / "plan.json").read_text())
    (plan,) = (p for p in document["plans"] if (p["target"], p["precision"]) == (target, "w8a8"))
    change(plan)
    (place / "plan.json").write_text(json.dumps(document))
    return place
