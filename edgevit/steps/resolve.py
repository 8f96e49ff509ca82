"""From what was asked for to what will be done, before any work: every name is known, every pair possible."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path, PurePath

from edgevit import registries
from edgevit.core.disk.regular import existing
from edgevit.core.errors import MissingDependencyError, UnsupportedError, UsageError, nearest
from edgevit.core.precisions import Precision
from edgevit.core.results.report import NotDone
from edgevit.core.settings.made_with import PLAN_HINT
from edgevit.core.settings.model_text import parse_source
from edgevit.core.settings.recipe import Recipe
from edgevit.graph import reparameterize
from edgevit.steps.lint import check_backends
from edgevit.steps.planning.algorithms import folds
from edgevit.steps.samples import samples_path
from edgevit.steps.undecidable_limits import check_enough_to_tune, check_held_out


@dataclass(frozen=True, slots=True)
class Work:
    """What a recipe comes down to.

    Attributes:
        recipe: with the defaults that depend on other settings filled in.
        source, argument: MODEL taken apart.
        pairs: target -> the precisions to write, in the order asked for; no target is without one.
        options: target -> its options.
        output: the folder of the bundle.
        not_done: pairs that were left out because `--to` was left to its default.
    """

    recipe: Recipe
    source: str
    argument: str
    pairs: dict[str, tuple[Precision, ...]]
    options: dict[str, dict[str, str]]
    output: Path
    not_done: tuple[NotDone, ...]

    @property
    def backends(self) -> dict[str, str]:
        """Target -> the word of what its files are made for."""
        return {name: registries.TARGETS.get(name).backend_of(self.options[name]) for name in self.pairs}


def resolve(recipe: Recipe) -> Work:
    """Check every name and every combination in `recipe`.

    Raises:
        UsageError: an unknown name, or flags that do not go together.
        InputError: images that are not there.
        UnsupportedError: a pair that a target named in `--to` cannot do, or a setting that this
            version cannot honour.
    """
    source, argument = parse_source(recipe.model, registries.SOURCES.names())
    own = registries.SOURCES.get(source).images
    if own:
        recipe = replace(recipe, calibrate=recipe.calibrate or own, evaluate=recipe.evaluate or own)
    pairs, not_done = _pairs(recipe)
    check_backends(recipe.lint, {registries.TARGETS.get(name).suffix for name in pairs}, " and ".join(pairs))
    needy = [precision for precision in recipe.precision if precision.needs_calibration]
    if needy and recipe.calibrate is None:
        raise UsageError(
            f"--precision {needy[0]} needs images to measure ranges on",
            "add --calibrate SAMPLES: a folder of images, a .npz, or demo",
        )
    _check_samples(recipe)
    _check_plan(recipe)
    _check_prune(recipe, source)
    for name in recipe.without:
        _known("rewrite", name, sorted({reparameterize.NAME, *registries.REWRITES.names(), *folds()}))
    return Work(
        recipe=recipe,
        source=source,
        argument=argument,
        pairs=pairs,
        options=_options(recipe, pairs),
        output=recipe.output or Path("dist") / short_name(source, argument),
        not_done=not_done,
    )


def short_name(source: str, argument: str) -> str:
    """What the bundle of a model is called: `demo`, `vit_tiny_patch16_224`, the stem of a file."""
    name = PurePath(registries.SOURCES.get(source).name(argument)).name or source
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name).strip(".") or source


def _check_plan(recipe: Recipe) -> None:
    """What --plan and --auto-float need, as far as it can be seen before any work."""
    if recipe.plan is not None:
        existing(recipe.plan, "the plan", PLAN_HINT)
    quantized = any(precision.needs_plan for precision in recipe.precision)
    if recipe.reconstruct:
        if recipe.plan is not None:
            raise UsageError(
                "--reconstruct and --plan were both given",
                "a plan that is given stays as it is: leave one out",
            )
        if recipe.calibrate is None or not quantized:
            raise UsageError(
                "--reconstruct tunes quantized layers on calibration images",
                "add --calibrate SAMPLES and a quantized --precision, such as w4, or leave it out",
            )
        check_enough_to_tune(recipe)
    if not recipe.auto_float:
        return
    if recipe.plan is not None:
        raise UsageError(
            "--auto-float and --plan were both given",
            "take the sites that shall stay in float out of the plan, or leave --plan out",
        )
    if recipe.max_drop is None and recipe.min_agreement is None and recipe.min_sqnr is None:
        raise UsageError(
            "--auto-float needs a limit to keep", "add --min-sqnr DB, --min-agreement PCT or --max-drop PP"
        )
    if recipe.calibrate is None:
        raise UsageError(
            "--auto-float needs calibration images, some of which it holds out", "add --calibrate SAMPLES"
        )
    if not quantized:
        raise UsageError(
            f"--auto-float has nothing to do for --precision {','.join(recipe.precision)}",
            "choose a quantized precision, such as w8a8",
        )
    check_held_out(recipe)


def _pairs(recipe: Recipe) -> tuple[dict[str, tuple[Precision, ...]], tuple[NotDone, ...]]:
    pairs: dict[str, tuple[Precision, ...]] = {}
    not_done: list[NotDone] = []
    for name in recipe.to or registries.TARGETS.usable():
        target = registries.TARGETS.get(name)
        given = {key: value for owner, key, value in recipe.option if owner == name}
        backend = target.backend_of(given) if "backend" in target.options else target.usual_backend
        can = target.precisions_for(backend)
        refused = [precision for precision in recipe.precision if precision not in can]
        what = f"{name} for {backend}" if backend != target.usual_backend else name
        why = f"{what} writes {', '.join(can)}"
        if refused and recipe.to:
            raise UnsupportedError(
                f"{name} cannot do {', '.join(refused)}: {why}",
                "choose another --precision, or leave --to out and get what each target can do",
            )
        not_done += [NotDone(f"{name}/{precision}", why) for precision in refused]
        if lacking := _lacking(name, bool(recipe.to)):
            not_done += [NotDone(f"{name}/{p}", lacking) for p in recipe.precision if p not in refused]
            continue
        if done := tuple(precision for precision in recipe.precision if precision in can):
            pairs[name] = done
    if not pairs:
        raise UnsupportedError(
            f"no target can do {', '.join(recipe.precision)}: "
            + "; ".join(dict.fromkeys(n.why for n in not_done)),
            "choose another --precision",
        )
    return pairs, tuple(not_done)


def _lacking(name: str, named: bool) -> str:
    """Why a target cannot convert on this machine; empty if it can.

    Raises:
        MissingDependencyError: `--to` names it.
    """
    target = registries.TARGETS.get(name)
    missing = next((module for module in target.modules if find_spec(module) is None), None)
    if missing is None:
        return ""
    message = f"{name} needs the Python package {missing!r}, which is not installed"
    install = f"pip install 'edgevit[{target.extra}]'" if target.extra else f"install {missing!r}"
    if named:
        raise MissingDependencyError(message, f"{install}, or leave {name} out of --to")
    return f"{message}: {install}"


def _check_samples(recipe: Recipe) -> None:
    for text in (recipe.calibrate, recipe.evaluate):
        path = None if text is None else samples_path(text)
        if path is not None:
            existing(path, "samples", "give a folder of images, a .npz with `images`, or demo")


def _check_prune(recipe: Recipe, source: str) -> None:
    for method, _ in recipe.prune:
        _known("pruning method", method, registries.METHODS.names())
    if recipe.prune and not registries.SOURCES.get(source).prunable:
        raise UnsupportedError(
            "--prune cannot change an exported program: its modules are gone",
            "give the model as timm:, hf:, python: ...",
        )
    if recipe.prune and recipe.calibrate is None:
        method, amount = recipe.prune[0]
        raise UsageError(f"--prune {method}={amount:g} needs images", "add --calibrate SAMPLES")


def _options(recipe: Recipe, pairs: dict[str, tuple[Precision, ...]]) -> dict[str, dict[str, str]]:
    options: dict[str, dict[str, str]] = {name: {} for name in pairs}
    for name, key, value in recipe.option:
        target = registries.TARGETS.get(name)
        if key not in target.options:
            message = nearest(key, target.options) if target.options else f"{name} has no options"
            raise UsageError(f"--option {name}.{key}: unknown option", message)
        if name not in options:
            given = {k: v for owner, k, v in recipe.option if owner == name}
            able = target.precisions_for(target.backend_of(given) if "backend" in target.options else "")
            if (not recipe.to or name in recipe.to) and not set(able) & set(recipe.precision):
                raise UsageError(
                    f"--option {name}.{key}: with these options {name} writes {', '.join(able)}, "
                    f"not {', '.join(recipe.precision)}",
                    f"add --precision {able[0]}",
                )
            raise UsageError(f"--option {name}.{key}: {name} is not among the targets", f"add {name} to --to")
        options[name][key] = value
    for name, given in options.items():
        target = registries.TARGETS.get(name)
        target.check_options(given)
        for precision in pairs[name]:
            target.capabilities(precision, given)  # says which options do not go with a precision
    return options


def _known(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise UsageError(
            f"unknown {kind} {name!r}", nearest(name, known) if known else f"there is no {kind} yet"
        )
