"""Mutants of every kind of file that edgevit reads, each read as the commands read it, and what came of it.

    python -m bench.fuzz --count 10000                         # all kinds together
    python -m bench.fuzz --kind pth --count 500 --seed 3 --keep bad

A kind has a process that imports everything once and forks for each mutant: `_child._call` in the fork is what
a worker of the command does. Code that runs is seen by a pickle that leaves a file, and by Python's audit events.
Exit code 1 if any mutant hung, ran code, crashed the parent, or left an exception of a library.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from bench._fuzz import seeds as fuzz_seeds
from bench._fuzz.kinds import KINDS, Kind
from bench._fuzz.server import BAD, WALL_S, Outcome, Verdict, run

Counts = dict[str, Counter[str]]


def fuzz(
    kinds: Sequence[Kind],
    seeds: Path,
    count: int,
    seed: int,
    keep: Path | None = None,
    wall_s: float = WALL_S,
) -> Iterator[Outcome]:
    """`count` mutants, shared out over `kinds`, one kind after the other; see `_fuzz.server.run`."""
    for index, kind in enumerate(kinds):
        share = count // len(kinds) + (index < count % len(kinds))
        yield from _one_kind(kind, seeds, share, seed, keep, wall_s)


def _one_kind(
    kind: Kind, seeds: Path, count: int, seed: int, keep: Path | None, wall_s: float
) -> Iterator[Outcome]:
    """In a process of its own, so that what one kind imports is not there for the next."""
    receive, send = os.pipe()
    server = os.fork()
    if server == 0:
        code = 1
        try:
            os.close(receive)
            with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, os.fdopen(send, "w") as told:
                for outcome in run(kind, seeds, Path(folder, "files"), count, seed, keep, wall_s):
                    told.write(json.dumps(asdict(outcome)) + "\n")
                    told.flush()
            code = 0
        except Exception as error:  # noqa: BLE001  the parent says how many mutants are missing
            print(f"{kind.name}: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    os.close(send)
    seen = 0
    with os.fdopen(receive) as lines:
        for line in lines:
            seen += 1
            yield Outcome(**json.loads(line))
    os.waitpid(server, 0)
    if seen < count:
        yield Outcome(kind.name, seen, "", "parent crash", f"only {seen} of {count} mutants were read")


def table(outcomes: Counts) -> str:
    """One row a kind, one column an outcome, as Markdown."""
    verdicts = get_args(Verdict)
    rows = [("kind", "mutants", *verdicts), ("---", *("---:",) * (len(verdicts) + 1))]
    total: Counter[str] = Counter()
    for name, counts in outcomes.items():
        rows.append((name, str(counts.total()), *(str(counts[verdict]) for verdict in verdicts)))
        total += counts
    rows.append(("all", str(total.total()), *(str(total[verdict]) for verdict in verdicts)))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> int:
    """The command line."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  what was found, when it is found
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--count", type=int, default=10_000, help="of mutants, shared out over the kinds")
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--kind", action="append", choices=[kind.name for kind in KINDS], help="may be repeated")
    cli.add_argument(
        "--keep", type=Path, help="folder for mutants that crash, hang or leave a foreign exception"
    )
    cli.add_argument(
        "--seeds", type=Path, default=Path("dist/fuzz-seeds"), help="valid files; made where missing"
    )
    asked = cli.parse_args()
    if not asked.seeds.exists():
        made = asked.seeds.with_name(asked.seeds.name + ".partial")
        shutil.rmtree(made, ignore_errors=True)
        fuzz_seeds.make(made.absolute())
        made.rename(asked.seeds)
    if asked.keep is not None:
        asked.keep.mkdir(parents=True, exist_ok=True)
    chosen = [kind for kind in KINDS if asked.kind is None or kind.name in asked.kind]
    for kind in [kind for kind in chosen if not (asked.seeds / kind.files[0]).exists()]:
        print(f"left out: {kind.name}, whose library is not installed")
        chosen.remove(kind)
    if not chosen:
        cli.error(f"{asked.seeds} holds no valid file to start from: name a folder that does not exist yet")
    began, counts, said = time.monotonic(), dict[str, Counter[str]](), Counter[tuple[str, str, str]]()
    for outcome in fuzz(chosen, asked.seeds.absolute(), asked.count, asked.seed, asked.keep):
        counts.setdefault(outcome.kind, Counter())[outcome.verdict] += 1
        if outcome.verdict not in ("read", "input error"):
            said[outcome.kind, outcome.verdict, outcome.said[:160]] += 1
            if outcome.verdict in BAD:
                print(
                    f"{outcome.kind} {outcome.index} {outcome.file}: {outcome.verdict}: {outcome.said[:300]!r}"
                )
    print(table(counts))
    print(f"{time.monotonic() - began:.0f} s, seed {asked.seed}")
    for (name, verdict, text), times in said.most_common(60):
        print(f"{times:5} {name}: {verdict}: {text!r}")
    return int(any(counts[name][verdict] for name in counts for verdict in BAD))


if __name__ == "__main__":
    sys.exit(main())
