"""What deciding takes and what it gives: processor seconds of each stage, and the SQNR of each plan, simulated.

    python -m bench.deciding --cache DIR --model r2
    python -m bench.deciding --cache DIR --model r1 --precision w8,w8a8,w8da8,w4 --images 64
    python -m bench.deciding --cache DIR --model r1 --to onnx,coreml
    python -m bench.deciding --cache DIR --model r2 --rows 8192 --rows-per-input 32     as many rows for moments

DIR holds the models of bench.real_models. Copied into an older checkout it measures that one. Stages: folds (the graphs
that plans belong to, with what they want to know), calibrate (ranges and what they cost the output), decide (scales and
rounding), cost (what each site costs). Images for judging are none of those for calibration.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from bench._quantization.ablation import _graph, _silent
from bench._quantization.peer_input import given, pixels_of
from bench.real_models import MODELS


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--cache", type=Path, required=True)
    cli.add_argument("--model", choices=MODELS, required=True)
    cli.add_argument("--precision", default="w8a8")
    cli.add_argument("--to", default="coreml,onnx,tflite")
    cli.add_argument("--calibration", type=int, default=128)
    cli.add_argument("--images", type=int, default=256)
    cli.add_argument("--rows", type=int, help="the fewest rows that moments are taken of")
    cli.add_argument("--rows-per-input", type=int)
    cli.add_argument("--threads", type=int, default=1)
    asked = cli.parse_args()
    import torch

    from edgevit.core.pixels import normalise
    from edgevit.program.run import run
    from edgevit.quant import _moments
    from edgevit.quant.simulate import simulate
    from edgevit.registries import METRICS, TARGETS
    from edgevit.steps.planning.decide import measure_all, plan_all
    from edgevit.steps.planning.graph_variants import fold
    from edgevit.steps.planning.plans import losses_of

    torch.set_num_threads(asked.threads)
    _moments.ROWS = asked.rows or _moments.ROWS
    _moments.ROWS_PER_INPUT = asked.rows_per_input or _moments.ROWS_PER_INPUT
    (asked.cache / asked.model).mkdir(parents=True, exist_ok=True)
    model = given(asked.model, asked.cache, asked.calibration)
    entered = torch.from_numpy(model.calibration)
    pixels, _ = pixels_of(model.spec, "demo:evaluation", asked.images)
    judged = torch.from_numpy(normalise(pixels, model.spec.preprocess))
    graph = _graph(asked.model, asked.cache)
    reference = run(graph, judged)[0][0].numpy()
    wanted = [
        found
        for target in asked.to.split(",")
        for precision in asked.precision.split(",")
        if (found := TARGETS.get(target).capabilities(precision)) is not None
    ]
    seconds: dict[str, tuple[float, float]] = {}
    since = [time.process_time(), time.perf_counter()]

    def lap(name: str) -> None:
        now = [time.process_time(), time.perf_counter()]
        seconds[name] = (now[0] - since[0], now[1] - since[1])
        since[:] = now

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "graph.pt2").write_bytes((asked.cache / asked.model / "graph.pt2").read_bytes())
        variants = fold(graph, entered, tuple(wanted), Path(folder), _silent)
    lap("folds")
    stats = measure_all(variants, entered, 0, _silent)
    lap("calibrate")
    plans, _ = plan_all(variants, stats, entered, 0.0, 0, _silent)
    lap("decide")
    losses_of(plans, variants, entered, 0, _silent)
    lap("cost")
    print(
        f"{asked.model}, {len(entered)} images, {_moments.ROWS} rows, {_moments.ROWS_PER_INPUT} per input\n"
    )
    print("| stage | CPU s | wall s |\n| --- | --- | --- |")
    for name, (cpu, wall) in seconds.items():
        print(f"| {name} | {cpu:.1f} | {wall:.1f} |")
    print(f"| all | {sum(c for c, _ in seconds.values()):.1f} | {sum(w for _, w in seconds.values()):.1f} |")
    print(f"\n| plan | total dB, {len(judged)} images | agreement % |\n| --- | --- | --- |")
    for plan in plans:
        got = simulate(variants.graph_of(plan.capabilities), plan, judged)[0].numpy()
        figures = [METRICS.get(name).compute(reference, got, None) for name in ("sqnr", "agreement")]
        print(f"| {plan.target} {plan.precision} | {figures[0]:.2f} | {figures[1]:.1f} |")


if __name__ == "__main__":
    main()
