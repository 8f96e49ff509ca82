"""Look inside a file: outputs and memory from one process, operators from another, since each disturbs the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.results.device import OperatorTimes
from edgevit.devices._benchmark_model import operators, outputs
from edgevit.devices._benchmark_model.process import Runner
from edgevit.devices._benchmark_model.store import put_once
from edgevit.devices._benchmark_model.types import ToolFile, ToolInside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHORT: Final[dict[str, object]] = {
    "num_runs": 1,
    "min_secs": 0,
    "report_peak_memory_footprint": True,
    "memory_footprint_check_interval_ms": 5,
}


def look_inside(runner: Runner, path: str, file: ToolFile) -> ToolInside:
    """What a file computes for the input that was given, its operators, and its memory.

    Args:
        path: of the file on the device.
    """
    found, peak, no_outputs = _computed(runner, path, file)
    times, no_operators = _operators(runner, path)
    return ToolInside(found, times, peak, tuple(why for why in (no_outputs, no_operators) if why))


def _computed(
    runner: Runner, path: str, file: ToolFile
) -> tuple[tuple[NDArray[np.generic], ...] | None, float | None, str]:
    """Outputs, peak memory, and why there are no outputs."""
    if file.input is None:
        return None, runner.run(path, _SHORT).times.peak_mb, ""
    if not {"output_filepath", "input_layer_value_files"} <= runner.tool.flags:
        why = "this benchmark_model cannot dump outputs, so that nothing is known of the file's answers there"
        return None, runner.run(path, _SHORT).times.peak_mb, why
    there = put_once(runner.place, file.input, "input.bin")
    # the name is ours: it has to be the same in all three, and a tensor's own may hold `:` and `,`
    given: dict[str, object] = {
        "input_layer": "input",
        "input_layer_shape": ",".join(map(str, file.shape)),
        "input_layer_value_files": f"input:{there}",
    }
    done = runner.run(path, _SHORT | given, ("output_filepath",))
    found = outputs.split(done.files["output_filepath"], file.outputs, runner.place.where)
    return found, done.times.peak_mb, ""


def _operators(runner: Runner, path: str) -> tuple[OperatorTimes | None, str]:
    """Times of the operators, or why there are none."""
    asked: dict[str, object] = {"num_runs": runner.settings.runs, "min_secs": runner.settings.seconds}
    if "op_profiling_output_file" in runner.tool.flags:
        asked |= {"enable_op_profiling": True, "op_profiling_output_mode": "proto"}
        done = runner.run(path, asked, ("op_profiling_output_file",))
        found = operators.from_message(done.files["op_profiling_output_file"], runner.place.where)
    elif "use_profiler" in runner.tool.flags:
        done = runner.run(path, asked | {"use_profiler": True})
        found = operators.from_print(done.printed)
    else:
        return None, "this benchmark_model cannot time operators"
    if not found:
        return None, "benchmark_model listed no operators"
    label = f"benchmark_model of the {runner.tool.kind}"
    return OperatorTimes(found, label, done.times.runs), ""
