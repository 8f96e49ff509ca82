"""How often the gate is wrong: simulated changes of a model with six files, read by `edgevit gate` as bundles.

Each run draws the answers of a new build, writes its bundle, and lets the gate compare it with a baseline file. A share
of the images (`discordance`) is won or lost by each file and by the float model, each on its own. Kinds of change:

- unchanged: as many images are won as lost. A regression that the gate reports is a false alarm.
- limit: every file, and the float model, loses what the limit of 1 point allows: the worst that is no regression.
- worse: one of the files loses twice the limit. It has to be found, as often as the computed power says.

    python -m bench.gate --runs 10000 --out gate.csv     # resumes: what is in the file is not drawn again
"""

from __future__ import annotations

import csv
import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Annotated

import numpy as np
import typer
from scipy import stats

from bench._gate import drawn as d
from edgevit.core.settings.gate_policy import make
from edgevit.core.settings.recipe import Recipe
from edgevit.flows._gate.shipped import open_bundle
from edgevit.flows.gate import gate, save_baseline
from edgevit.validate.gate.accuracy import SLICES_ALPHA
from edgevit.validate.regression import ALPHA

IMAGES = (500, 2000, 10_000)
DISCORDANCES = (0.005, 0.02, 0.05, 0.1)
MARGIN = 0.01
CLASSES = 100
COLUMNS = ("images", "discordance", "change", "run", "alarm", "found", "inconclusive")
# Accuracy alone: agreement, size and latency have limits of their own, and are not drawn here.
POLICY = make(
    {"max_drop": 100 * MARGIN, "max_agreement_loss": "off", "max_latency_regression": "off"}, folder=Path("/")
)


def main(
    runs: Annotated[int, typer.Option(help="Simulated changes in all.")] = 10_000,
    out: Annotated[Path, typer.Option(help="CSV, one line a run.")] = Path("gate.csv"),
) -> None:
    """Draw, compare, and print how often the gate was wrong."""
    cells = list(_cells())
    done: dict[tuple[str, str, str], int] = {}
    rows = list(csv.DictReader(out.open())) if out.exists() else []
    for row in rows:
        key = row["images"], row["discordance"], row["change"]
        done[key] = done.get(key, 0) + 1
    each = math.ceil(runs / len(cells))
    with out.open("a", newline="") as file, tempfile.TemporaryDirectory() as work:
        writer = csv.writer(file)
        if not rows:
            writer.writerow(COLUMNS)
        for cell in cells:
            start = done.get(tuple(map(str, cell)), 0)  # type: ignore[arg-type]
            for run in range(start, each):
                writer.writerow((*cell, run, *simulate(*cell, run, Path(work))))
                file.flush()
            print(*cell, f"{max(each, start)} runs", flush=True)
    print(summary(out))


def _cells() -> Iterator[tuple[int, float, str]]:
    for n in IMAGES:
        for discordance in DISCORDANCES:
            yield n, discordance, "unchanged"
            if discordance >= MARGIN:
                yield n, discordance, "limit"
            if discordance >= 2 * MARGIN:
                yield n, discordance, "worse"


def simulate(n: int, discordance: float, change: str, run: int, work: Path) -> tuple[int, int, int]:
    """One change.

    Returns:
        Whether something counted as regressed that was not, whether the file that is worse did, and how many checks
        of accuracy were inconclusive.
    """
    random = np.random.default_rng([n, round(1e4 * discordance), len(change), run])
    old = d.a_model(random, n, CLASSES)
    bundle, baseline = work / "bundle", work / "baseline.json"
    baseline.unlink(missing_ok=True)
    d.write(bundle, old)
    save_baseline(bundle, baseline)
    worse = d.SIX[run % len(d.SIX)] if change == "worse" else ""
    assert old.labels is not None and old.reference is not None
    drop = {"unchanged": 0.0, "limit": MARGIN, "worse": 0.0}[change]

    def after(answers: d.Answers, lost: float) -> d.Answers:
        assert old.labels is not None
        return d.changed(random, answers, old.labels, (discordance + lost) / 2, (discordance - lost) / 2)

    files = {name: after(found, 2 * MARGIN if name == worse else drop) for name, found in old.files.items()}
    new = replace(old, files=files, reference=after(old.reference, drop), content="new", weights="bb" * 32)
    d.write(bundle, new)
    found = gate(open_bundle(bundle), baseline, POLICY, Recipe(model="drawn"))
    checks = [check for check in found.checks if check.kind in ("accuracy", "slice")]
    alarms = [c for c in checks if c.outcome == "regressed" and c.subject != worse]
    hits = [c for c in checks if c.outcome == "regressed" and c.subject == worse and c.kind == "accuracy"]
    return int(bool(alarms)), int(bool(hits)), sum(c.outcome == "inconclusive" for c in checks)


def power(n: int, discordance: float, drop: float, alpha: float) -> float:
    """Normal approximation of the chance that Tango's score rejects a drop of at most MARGIN.

    The score's variance is that of its restricted estimate in expectation (Tango 1998, equations 14 to 17).
    """
    gained = (discordance - drop) / 2
    b = -discordance + (2 - drop) * MARGIN
    q = (math.sqrt(b * b + 8 * gained * MARGIN * (1 - MARGIN)) - b) / 4
    restricted, own = math.sqrt(2 * q + MARGIN * (1 - MARGIN)), math.sqrt(discordance - drop * drop)
    z = NormalDist().inv_cdf(1 - alpha)
    return NormalDist().cdf(((drop - MARGIN) * math.sqrt(n) - z * restricted) / own)


def summary(file: Path) -> str:
    """A Markdown table: shares with their Clopper-Pearson intervals."""
    cells: dict[tuple[int, float, str], list[dict[str, str]]] = {}
    for row in csv.DictReader(file.open()):
        cells.setdefault((int(row["images"]), float(row["discordance"]), row["change"]), []).append(row)
    alpha = (ALPHA - SLICES_ALPHA) / (1 + len(d.SIX))
    lines = [
        "| images | discordance | change | runs | false alarms | found | computed |",
        "| ---: " * 7 + "|",
    ]
    for (n, discordance, change), rows in cells.items():
        alarms = _share(sum(int(row["alarm"]) for row in rows), len(rows))
        worse = change == "worse"
        hits = _share(sum(int(row["found"]) for row in rows), len(rows)) if worse else ""
        computed = f"{100 * power(n, discordance, 2 * MARGIN, alpha):.0f} %" if worse else ""
        lines.append(
            f"| {n:,} | {100 * discordance:g} % | {change} | {len(rows)} | {alarms} | {hits} | {computed} |"
        )
    every = [row for rows in cells.values() for row in rows]
    lines.append(
        f"\nFalse alarms in all {len(every):,} runs: {_share(sum(int(r['alarm']) for r in every), len(every))}"
    )
    return "\n".join(lines)


def _share(count: int, of: int) -> str:
    low, high = stats.binomtest(count, of).proportion_ci(0.95, "exact")
    return f"{100 * count / of:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    typer.run(main)
