"""A report of the gate made by hand: every outcome, every kind of check, and names that try to be something else."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from edgevit.core.results import gate as g

SCRIPT: Final = "<script>alert('x')</script>"
COMMAND: Final = "\n::error title=x::run\n##[error]y"
PIPES: Final = "a|b`c`**d**[e](http://x.y)$f$ @octocat #12 www.x.y <!-- "
HIDDEN: Final = "cat\x00\u202egnp.exe\u200b\ud800\uffff"
EMOJI: Final = "\U0001f408\u200d\u2b1b noir"
HOSTILE: Final = (SCRIPT, COMMAND, PIPES, HIDDEN, EMOJI)


def report() -> g.GateReport:
    """Two regressed, one inconclusive, three not compared, one accepted, the rest passed."""
    checks = (
        g.Check(
            subject="tflite/w8a8",
            kind="accuracy",
            outcome="regressed",
            reason="It lost 2.10 points on the same 2000 images, at least 1.30; the limit is 1.",
            old=91.4,
            new=89.3,
            unit="%",
            limit=1.0,
            change=2.1,
            bounds=(1.3, 2.95),
            n=2000,
            detectable=0.9,
        ),
        g.Check(
            subject="coreml/w8",
            kind="present",
            outcome="regressed",
            reason=f"The bundle has no such file: the converter said {SCRIPT} and {PIPES}.",
        ),
        g.Check(
            subject="onnx/w8a8",
            kind="accuracy",
            outcome="inconclusive",
            reason="It lost between -0.20 and 1.60 points; 9800 images would decide.",
            old=91.3,
            new=90.6,
            unit="%",
            limit=1.0,
            change=0.7,
            bounds=(-0.2, 1.6),
            n=2000,
            detectable=0.9,
            images_needed=9800,
        ),
        *(
            g.Check(
                subject=subject,
                kind="latency",
                outcome="not-compared",
                reason=f"The baseline was measured on another machine ({EMOJI}).",
                new=3.84,
                unit="ms",
                limit=10.0,
            )
            for subject in ("onnx/w8a8", "tflite/w8a8", "onnx/fp32")
        ),
        g.Check(
            subject=g.FLOAT_MODEL,
            kind="labels",
            outcome="pass",
            reason=f"The label {PIPES!r} was renamed to {HIDDEN!r}; accepted by --accept labels.",
            accept="labels",
            accepted=True,
        ),
        *(
            g.Check(
                subject=subject,
                kind="size",
                outcome="pass",
                reason="It grew by 0.4 %.",
                old=1_250_000,
                new=1_255_000,
                unit="bytes",
                limit=2.0,
                change=0.4,
            )
            for subject in ("onnx/w8a8", "tflite/w8a8", "onnx/fp32")
        ),
        g.Check(
            subject="tflite/w8a8",
            kind="agreement",
            outcome="pass",
            reason="It agrees as often as before.",
            old=97.5,
            new=97.75,
            unit="%",
            limit=2.0,
            change=-0.25,
            bounds=(-0.9, 0.4),
            n=2000,
        ),
        g.Check(
            subject="onnx/fp32",
            kind="sqnr",
            outcome="pass",
            reason="Equal.",
            old=200.0,
            new=118.2,
            unit="dB",
            limit=90.0,
            change=81.8,
        ),
        *(
            g.Check(subject=subject, kind=kind, outcome="pass", reason="As before.")
            for subject in ("onnx/w8a8", "onnx/fp32")
            for kind in ("inputs", "outputs")
        ),
    )
    lost = g.Flip(
        image="val/cat/0001.png",
        index=0,
        label="cat",
        float_answer="cat",
        old="cat",
        new="dog",
        change="lost",
        margin=7.25,
        close=False,
    )
    hostile = tuple(
        replace(lost, image=f"val/{name}", index=i, label=name, float_answer=name, old=name, margin=5.0 - i)
        for i, name in enumerate(HOSTILE, start=1)
    )
    other = replace(lost, index=6, image="val/dog/2.png", old="wolf", change="other", margin=0.02, close=True)
    gained = replace(lost, index=7, image="val/cat/7.png", old="dog", new="cat", change="gained", margin=1.5)
    return g.GateReport(
        baseline=g.Side(
            path="baselines/demo.json",
            kind="file",
            created_by="edgevit 0.1.0",
            model="demo",
            weights_sha256="ab" * 32,
            top1=91.9,
        ),
        bundle=g.Side(
            path="dist/demo",
            kind="bundle",
            created_by="edgevit 0.2.0",
            model="demo",
            weights_sha256="cd" * 32,
            top1=91.85,
        ),
        images=g.Images(path="demo:evaluation", digest="ef" * 32, count=2000, labelled=True),
        outcome="regressed",
        exit_code=1,
        checks=checks,
        power="These 2000 images could have shown a drop of 0.9 points (80 % power).",
        policy="pyproject.toml",
        flips=(
            g.Flips(
                subject="tflite/w8a8",
                n=2000,
                changed=61,
                lost=50,
                gained=8,
                close=9,
                share_pct=3.05,
                share_ci95=(2.38, 3.9),
                worst=(lost, *hostile, other, gained),
            ),
            g.Flips(
                subject="onnx/w8a8",
                n=2000,
                changed=2,
                lost=1,
                gained=0,
                close=1,
                share_pct=0.1,
                share_ci95=(0.03, 0.36),
                worst=(replace(lost, new="wolf"), other),
            ),
            g.Flips(
                subject=g.FLOAT_MODEL,
                n=2000,
                changed=0,
                lost=0,
                gained=0,
                close=0,
                share_pct=0.0,
                share_ci95=(0.0, 0.19),
            ),
        ),
        points=tuple(
            g.FilePoint(subject=subject, side=side, score_pct=score, size_bytes=size, latency_ms=latency)
            for subject, sides in {
                "onnx/fp32": (("old", 91.9, 4_100_000, 6.2), ("new", 91.85, 4_120_000, 6.1)),
                "onnx/w8a8": (("old", 91.3, 1_250_000, 3.9), ("new", 90.6, 1_255_000, 3.84)),
                "tflite/w8a8": (("old", 91.4, 1_250_000, 5.1), ("new", 89.3, 1_255_000, 5.3)),
                "coreml/w8": (("old", 91.5, 1_180_000, None),),
            }.items()
            for side, score, size, latency in sides
        ),
        notes=(f"onnx/fp16 is new and has no baseline: {COMMAND}",),
    )


def passing() -> g.GateReport:
    """The same without anything that closes the gate."""
    whole = report()
    checks = tuple(check for check in whole.checks if not whole.closes(check))
    return replace(whole, outcome="pass", exit_code=0, checks=checks, flips=(), notes=())


def undecided(on_inconclusive: str) -> g.GateReport:
    """The same without a regression, under either policy."""
    whole = report()
    checks = tuple(check for check in whole.checks if check.outcome != "regressed")
    if on_inconclusive == "pass":
        return replace(whole, outcome="inconclusive", exit_code=0, checks=checks, on_inconclusive="pass")
    return replace(whole, outcome="inconclusive", exit_code=4, checks=checks)
