"""What `edgevit gate` does with its flags: compare, and write the result for everybody who reads it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.commands._show import console, make_recipe, show_answer
from edgevit.commands._streams import say, stdout_errors, write
from edgevit.core.errors import UsageError

if TYPE_CHECKING:
    from edgevit.core.results.gate import GateReport

_LEAST_PERCENT = 1e-6  # less than any set of images can show
_DISCORDANCES = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0)  # percent, for those who do not know theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The flags of one command."""

    bundle: Path | None
    baseline: Path | None
    save: Path | None
    update: bool
    flags: Mapping[str, object]
    accept: tuple[str, ...]
    on_inconclusive: str | None
    policy: Path | None
    junit: Path | None
    markdown: Path | None
    benchmark: Path | None
    html: Path | None
    thumbnails: bool
    threads: int
    json: bool
    quiet: bool


def run(asked: Asked) -> int:
    """Do it; returns the exit code.

    Raises:
        UsageError: flags that do not go together.
        EdgevitError: as `edgevit.flows.gate`.
    """
    bundle = asked.bundle
    if bundle is None:
        raise UsageError("the bundle is missing", "edgevit gate BUNDLE --baseline WHAT")
    from edgevit.flows import gate as flow
    from edgevit.flows._gate.places import check_places

    places = {
        "--html": asked.html,
        "--junit-xml": asked.junit,
        "--markdown": asked.markdown,
        "--benchmark-json": asked.benchmark,
        "--save-baseline": asked.save,
    }
    check_places(places, bundle, {"the baseline": asked.baseline, "the policy": asked.policy})
    if asked.save is not None:
        if asked.baseline is not None or asked.update:
            raise UsageError("--save-baseline compares nothing", "leave --baseline and --update-baseline out")
        flow.save_baseline(bundle, asked.save)
        say(f"written to {asked.save}: commit it, and compare with --baseline {asked.save}\n")
        return 0
    if asked.baseline is None:
        raise UsageError(
            "--baseline is missing",
            f"give an earlier bundle, or make a baseline file first: edgevit gate {bundle} --save-baseline FILE",
        )
    if asked.update and asked.baseline.is_dir():
        raise UsageError(
            f"{asked.baseline} is a bundle, and only a baseline file can be rewritten",
            "leave --update-baseline out, and give the new bundle as --baseline from now on",
        )
    from edgevit.core.settings.gate_policy import make
    from edgevit.flows._gate.page import write_page
    from edgevit.flows._gate.shipped import open_bundle
    from edgevit.report.progress import open_progress

    policy = make(asked.flags, asked.accept, asked.on_inconclusive, asked.policy)
    recipe = make_recipe({"model": str(bundle), "threads": asked.threads})
    with open_progress(asked.quiet) as progress:
        progress.stage("reading the bundle")
        new = open_bundle(bundle)
        report = flow.gate(new, asked.baseline, policy, recipe, progress)
        write_page(report, asked.html, asked.thumbnails, recipe, progress)
    _write(report, asked)
    if not asked.update:
        return report.exit_code
    flow.update_baseline(new, asked.baseline)
    say(f"{asked.baseline} now holds {bundle}: commit it with the reason of the change\n")
    return 0


def _write(report: GateReport, asked: Asked) -> None:
    from edgevit.core._plain import to_plain
    from edgevit.core.disk.whole_files import write_atomic
    from edgevit.core.foreign import json_text
    from edgevit.report.gate import annotations, benchmark_action, junit, markdown, terminal

    if asked.json:
        write(json_text(to_plain(report), 2) + "\n")
    else:
        with annotations.quoted(write):
            shown = console()
            with stdout_errors(), shown.capture() as printed:
                terminal.show(report, shown)
            write(printed.get())
    if annotations.in_actions():
        # stdout is the document's alone with --json; a runner reads both.
        (sys.stderr.write if asked.json else write)(annotations.render(report))
    # After the verdict: a place that cannot be written hides nothing.
    for place, render in (
        (asked.junit, junit.render),
        (asked.markdown, partial(markdown.render, limit_bytes=markdown.COMMENT_BYTES)),
        (asked.benchmark, benchmark_action.render),
    ):
        if place is not None:
            write_atomic(place, render(report))
    if (summary := markdown.summary_file()) is not None:
        markdown.append_summary(report, summary)


def plan(margin: str, discordance: str | None, as_json: bool) -> int:
    """Print how many images a limit needs.

    Raises:
        UsageError: no percentages above 0.
    """
    from edgevit.core.results.answer import Answer, Table
    from edgevit.validate.regression import images_for

    drop = _percent("--plan-images", margin)
    shares = _DISCORDANCES if discordance is None else (_percent("--discordance", discordance),)
    needed = {share: images_for(drop / 100, share / 100) for share in shares}
    rows = tuple((f"{share:g} %", f"{count:,}") for share, count in needed.items())
    data = {"max_drop": drop, "images": [{"discordance": s, "images": n} for s, n in needed.items()]}
    title = f"images that show a drop of at most {drop:g} points, with a power of 80 %, if nothing got worse"
    return show_answer(
        Answer(data, (Table(title, ("images whose outcome differs", "images needed"), rows),)), as_json
    )


def _percent(flag: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _LEAST_PERCENT <= value <= 100:
        raise UsageError(f"{flag} {text!r} is no percentage", f"a number from {_LEAST_PERCENT:f} to 100")
    return value
