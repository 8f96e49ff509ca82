"""Arm's Vela, which compiles a .tflite file for an Ethos-U and says which operators stay on the CPU.

It runs as a process of its own. What it did is read from what it writes: the compiled file, a summary (CSV), a
database of its operators (XML), and warnings that name each operator that it does not take.
https://gitlab.arm.com/artificial-intelligence/ethos-u/ethos-u-vela
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgevit.accelerators import _vela_output
from edgevit.accelerators._modules import of_tensors
from edgevit.core.errors import StepError, UnsupportedError, UsageError, nearest
from edgevit.core.plugins import Checker, Compiler, CompileRequest
from edgevit.core.process import tool_environment
from edgevit.core.process.scratch import scratch
from edgevit.core.process.tool_environment import Tool
from edgevit.core.results.compiled import CompilerReport, Estimate, Placed
from edgevit.core.results.lint import Finding, LintReport, NotChecked
from edgevit.formats import tflite_file

TOOL: Final = Tool("vela", "ethos-u-vela", "5.2.0", "ethosu.vela")
_ACCELERATORS: Final = (
    "ethos-u55-32",
    "ethos-u55-64",
    "ethos-u55-128",
    "ethos-u55-256",
    "ethos-u65-256",
    "ethos-u65-512",
    "ethos-u85-128",
    "ethos-u85-256",
    "ethos-u85-512",
    "ethos-u85-1024",
    "ethos-u85-2048",
)
_OPTIONS: Final[Mapping[str, str]] = {
    "config": "a .ini file of Vela with the board's clocks and memories",
    "system_config": "the board, by its name in that file; Vela has some of its own, such as Ethos_U85_SYS_DRAM_High",
    "memory_mode": "where weights and tensors lie, by its name in that file, such as Sram_Only or Shared_Sram",
    "optimise": "Performance (default) or Size",
}
_USUAL: Final = "ethos-u85-1024"
_LONGEST: Final = 300


def compile_file(asked: CompileRequest) -> CompilerReport:
    """Compile, and read what Vela says of it.

    Raises:
        UsageError: a size that there is not.
        InputError: no TFLite file.
        UnsupportedError: Vela refuses the file or an option.
        StepError: Vela crashes.
    """
    _check(asked.accelerator)
    file = tflite_file.read(Path(asked.path))
    folder = Path(asked.folder)
    said = _run(asked)
    stem = Path(asked.path).stem
    on_cpu = _vela_output.on_cpu(folder / f"{stem}_debug.xml", len(file.operators))
    reasons = _vela_output.reasons(said)
    findings = []
    for index in on_cpu:
        operator = file.operators[index]
        name = file.tensors[operator.outputs[0]].name if operator.outputs else ""
        findings.append(
            Finding(
                backend=asked.accelerator,
                operator=operator.kind,
                name=name,
                module=of_tensors([name]) or "",
                kind="compiler",
                reason=reasons.get(name, "the compiler gives no reason"),
                source=str(TOOL),
            )
        )
    macs = [tflite_file.macs(file, operator) for operator in file.operators]
    left = sum(macs[index] for index in on_cpu)
    return CompilerReport(
        artifact=asked.shown,
        accelerator=asked.accelerator,
        compiler=str(TOOL),
        operators=Placed(npu=len(file.operators) - len(on_cpu), cpu=len(on_cpu)),
        macs=Placed(npu=sum(macs) - left, cpu=left),
        findings=tuple(findings),
        estimate=_estimate(_vela_output.summary(folder)),
        output=str(folder / f"{stem}_vela.tflite"),
    )


def _check(accelerator: str) -> None:
    if accelerator not in _ACCELERATORS:
        raise UsageError(f"there is no accelerator {accelerator}", nearest(accelerator, _ACCELERATORS))


def _run(asked: CompileRequest) -> str:
    words = [asked.path, "--accelerator-config", asked.accelerator, "--output-dir", asked.folder]
    words += ["--enable-debug-db", "--show-cpu-operations"]
    for name, value in asked.options.items():
        words += [f"--{name.replace('_', '-')}", value]
    done = subprocess.run(
        [str(tool_environment.python_of(TOOL)), "-m", TOOL.module, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=asked.folder,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    last = _last_words(done.stdout)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise StepError(
            f"Vela crashed on {asked.shown} ({name}){last}", "nothing was written; report it to Arm"
        )
    raise UnsupportedError(f"Vela does not compile {asked.shown}{last}", "nothing was written")


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Warning")]
    return f": {lines[-1][:_LONGEST]}" if lines else ""


def _estimate(summary: Mapping[str, str]) -> Estimate:
    def whole(key: str, factor: float = 1.0) -> int:
        return round(float(summary[key]) * factor)

    return Estimate(
        by=str(TOOL),
        system=summary["system_config"],
        memory=summary["memory_mode"],
        cycles=whole("cycles_total"),
        npu_cycles=whole("cycles_npu"),
        sram_cycles=whole("cycles_sram_access"),
        dram_cycles=whole("cycles_dram_access"),
        flash_cycles=whole("cycles_on_chip_flash_access") + whole("cycles_off_chip_flash_access"),
        clock_hz=whole("core_clock"),
        milliseconds=float(summary["inference_time"]) * 1000,
        sram_bytes=whole("sram_memory_used", 1024),
        dram_bytes=whole("dram_memory_used", 1024),
        flash_bytes=whole("on_chip_flash_memory_used", 1024) + whole("off_chip_flash_memory_used", 1024),
        weight_bytes=whole("total_npu_encoded_weights"),
    )


def check(path: Path, accelerator: str) -> LintReport:
    """Which operators Vela leaves on the CPU; raises as `compile_file` does."""
    with scratch() as folder:
        report = compile_file(CompileRequest(str(path), path.name, accelerator, str(folder), {}))
    places = {"npu": report.operators.npu, "cpu": report.operators.cpu}
    return LintReport(
        artifact=report.artifact,
        backend=accelerator,
        kind="compiler",
        checked_by=report.compiler,
        operators={place: count for place, count in places.items() if count},
        findings=report.findings,
        not_checked=(
            NotChecked("what the NPU computes", "Vela compiles and estimates, and executes nothing"),
        ),
    )


def _unavailable() -> str | None:
    reason = tool_environment.missing(TOOL)
    return None if reason is None else f"{reason}; edgevit compile --for {_USUAL} --setup"


CHECKER: Final = Checker(
    summary="Arm Ethos-U55, U65 and U85, by Arm's compiler Vela",
    syntax="ethos-{u55,u65,u85}-MACS",
    accepts=lambda text: text.startswith("ethos-u"),
    usual=_USUAL,
    suffixes=("tflite",),
    kind="compiler",
    unavailable=_unavailable,
    check=check,
    compiler=Compiler(TOOL, _OPTIONS, ("config",), compile_file, _check),
)
