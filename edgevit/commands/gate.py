"""`edgevit gate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._settings import Settings, with_limits

_CHECKS = "Checks"


@with_limits
def command(
    *,
    bundle: Annotated[
        Path | None, typer.Argument(metavar="BUNDLE", help="What is to ship.", show_default=False)
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="WHAT", help="What shipped: an earlier bundle, or a file of --save-baseline."),
    ] = None,
    limits: Settings,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="An interface change that is meant (labels, preprocess, inputs, outputs, requires, model), or a file "
            "that may be gone, such as tflite/w8. Repeatable.",
            rich_help_panel=_CHECKS,
        ),
    ] = None,
    on_inconclusive: Annotated[
        str | None,
        typer.Option(
            metavar="fail|pass",
            help="What counts where the images cannot decide. [default: exit code 4]",
            rich_help_panel=_CHECKS,
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="TOML with limits. [default: [tool.edgevit.gate] of the nearest pyproject.toml]",
            rich_help_panel=_CHECKS,
        ),
    ] = None,
    save_baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what the gate remembers of BUNDLE, and stop.")
    ] = None,
    update_baseline: Annotated[
        bool,
        typer.Option(
            "--update-baseline", help="Show what changed, and rewrite the baseline file whatever that is."
        ),
    ] = False,
    plan_images: Annotated[
        str | None,
        typer.Option(
            metavar="PP", help="Say how many images a limit on the drop needs, without any bundle, and stop."
        ),
    ] = None,
    discordance: Annotated[
        str | None,
        typer.Option(metavar="PCT", help="With --plan-images: percent of the images whose outcome differs."),
    ] = None,
    junit_xml: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JUnit, one test case a check.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A summary for people; added to $GITHUB_STEP_SUMMARY too."),
    ] = None,
    benchmark_json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Figures for benchmark-action's trend pages.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The page of the comparison. [default: gate.html in BUNDLE]"),
    ] = None,
    no_thumbnails: Annotated[
        bool, typer.Option("--no-thumbnails", help="Leave the pictures out of the page.")
    ] = False,
    threads: Annotated[int | None, typer.Option(metavar="N", min=1, help="For timing. [default: 1]")] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Hold a bundle against what shipped before, image by image, and fail where it got worse.

    Each check ends as pass, regressed, inconclusive or not compared. Exit code 0: nothing got worse; 1: something
    regressed; 2: the two cannot be compared; 4: too few images to decide.

    \b
    Examples:
      edgevit gate dist/model --save-baseline model.baseline.json
      edgevit gate dist/model --baseline model.baseline.json
      edgevit gate dist/model --baseline dist/shipped --max-drop 0.5 --max-latency-regression 5
      edgevit gate dist/model --baseline model.baseline.json --accept labels --update-baseline
      edgevit gate --plan-images 0.5 --discordance 3
    """
    from edgevit.commands import _gate

    if plan_images is not None:
        return _gate.plan(plan_images, discordance, json)
    return _gate.run(
        _gate.Asked(
            bundle=bundle,
            baseline=baseline,
            save=save_baseline,
            update=update_baseline,
            flags=limits,
            accept=tuple(accept or ()),
            on_inconclusive=on_inconclusive,
            policy=policy,
            junit=junit_xml,
            markdown=markdown,
            benchmark=benchmark_json,
            html=html,
            thumbnails=not no_thumbnails,
            threads=threads or 0,
            json=json,
            quiet=quiet,
        )
    )
