"""`edgevit gate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.commands import _options as o

_CHECKS = "Checks"
_OFF = "off for no limit."


def command(
    *,
    bundle: Annotated[
        Path | None, typer.Argument(metavar="BUNDLE", help="What is to ship.", show_default=False)
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="WHAT", help="What shipped: an earlier bundle, or a file of --save-baseline."),
    ] = None,
    max_drop: Annotated[
        str | None,
        typer.Option(
            metavar="PP",
            help=f"Percentage points that accuracy may fall; {_OFF} [default: 1]",
            rich_help_panel=_CHECKS,
        ),
    ] = None,
    max_agreement_loss: Annotated[
        str | None,
        typer.Option(
            metavar="PP",
            help=f"Percentage points that agreement with the float model may fall; {_OFF} [default: 2]",
            rich_help_panel=_CHECKS,
        ),
    ] = None,
    min_agreement: Annotated[
        str | None,
        typer.Option(
            metavar="PCT",
            help="Least agreement with the float model, whatever it was.",
            rich_help_panel=_CHECKS,
        ),
    ] = None,
    max_sqnr_loss: Annotated[
        str | None,
        typer.Option(
            metavar="DB", help=f"Total SQNR that may be lost; {_OFF} [default: 3]", rich_help_panel=_CHECKS
        ),
    ] = None,
    max_size_growth: Annotated[
        str | None,
        typer.Option(metavar="PCT", help=f"Growth of a file; {_OFF} [default: 5]", rich_help_panel=_CHECKS),
    ] = None,
    max_latency_regression: Annotated[
        str | None,
        typer.Option(
            metavar="PCT", help=f"Growth of the latency; {_OFF} [default: 10]", rich_help_panel=_CHECKS
        ),
    ] = None,
    max_integer_loss: Annotated[
        str | None,
        typer.Option(
            metavar="PP",
            help=f"Percentage points of the multiply-accumulates that may leave the integers; {_OFF} "
            "[default: 1]",
            rich_help_panel=_CHECKS,
        ),
    ] = None,
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

    flags: dict[str, object] = {
        "max_drop": max_drop,
        "max_agreement_loss": max_agreement_loss,
        "min_agreement": min_agreement,
        "max_sqnr_loss": max_sqnr_loss,
        "max_size_growth": max_size_growth,
        "max_latency_regression": max_latency_regression,
        "max_integer_loss": max_integer_loss,
    }
    if plan_images is not None:
        return _gate.plan(plan_images, discordance, json)
    return _gate.run(
        _gate.Asked(
            bundle=bundle,
            baseline=baseline,
            save=save_baseline,
            update=update_baseline,
            flags=flags,
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
