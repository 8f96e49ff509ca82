"""`edgevit profile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._settings import Settings, with_settings
from edgevit.commands._show import make_recipe, show_answer


@with_settings("profile")
def command(
    *,
    artifact: Annotated[
        Path,
        typer.Argument(
            metavar="ARTIFACT_OR_BUNDLE", help="A .onnx, .tflite or .mlpackage, or all of a bundle."
        ),
    ],
    device: o.Device = "local",
    runs: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, max=100_000, help="Timed runs of each file at least, after warm-up."
        ),
    ] = 50,
    seconds: Annotated[
        float,
        typer.Option(metavar="S", min=0.0, max=3600.0, help="Seconds of timed runs of each file at least."),
    ] = 0.0,
    cpus: Annotated[
        str, typer.Option(metavar="LIST", help="Cores that the runs are bound to, for example 4-7 or 0,2.")
    ] = "",
    unit: Annotated[
        str,
        typer.Option(
            metavar="UNIT", help="Compute unit of Core ML: all, cpu_only, cpu_and_gpu or cpu_and_ne."
        ),
    ] = "all",
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page with plots: latency, and where the time goes."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the files on the device for the next run.")
    ] = False,
    runner: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="LiteRT's benchmark_model, which times .tflite files on a phone without Python.",
        ),
    ] = None,
    setup: o.Setup = False,
    setup_online: o.SetupOnline = False,
    threads: Annotated[
        int,
        typer.Option(
            metavar="N", parser=o.one_count, help="Threads; 0 for all cores.", rich_help_panel="Resources"
        ),
    ] = 0,
    settings: Settings,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Measure how long files take on a device: distribution, time to load, memory, time of each operator.

    Each file runs in several processes of its own, in turn with the others of the bundle.

    \b
    Examples:
      edgevit profile dist/demo/onnx/w8a8/model.onnx
      edgevit profile dist/demo --device ssh://pi@raspberrypi.local --threads 4
      edgevit profile dist/demo --device adb --runner benchmark_model --threads 4
      edgevit profile dist/demo/tflite/fp16/model.tflite --device local --runs 200 --threads 1 --json
    """
    wanted = make_recipe({**settings, "model": str(artifact), "threads": threads})
    from edgevit.core.settings.core_list import parse_cores
    from edgevit.flows.doctor_device import set_up
    from edgevit.flows.profile import ProfileRequest, profile
    from edgevit.report.progress import open_progress

    source = o.setup_source(setup, setup_online, device)
    asked = ProfileRequest(device, runs, seconds, parse_cores(cpus), unit, keep, runner, html)
    with open_progress(quiet) as progress:
        set_up(device, source, progress)
        answer = profile(artifact, asked, wanted, progress)
    return show_answer(answer, json)
