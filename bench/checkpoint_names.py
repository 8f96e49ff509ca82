"""The names of one model of every family of timm, as training scripts save them, and whether each form is found.

    python -m bench.checkpoint_names

Each model is made without values, and its names are put behind wrappers and prefixes, alone and beside a moving average
and a loss. A form counts if exactly the sets of weights that are in it fit, with every tensor under its own name. Exit
code 1 if any does not.
"""

from __future__ import annotations

import argparse
import sys
import time

from edgevit.models._checkpoint.candidates import candidates
from edgevit.models._checkpoint.parts import Contents, Part

PREFIXES = ("", "model.", "module._orig_mod.", "model._orig_mod.", "net.module.")


def smallest_of_each_family() -> list[str]:
    """The model with the shortest name of each module of timm."""
    import timm

    families: dict[str, list[str]] = {}
    for name in timm.list_models():
        families.setdefault(timm.models.model_entrypoint(name).__module__, []).append(name)
    return sorted(min(names, key=len) for names in families.values())


def wrong(name: str) -> list[str]:
    """The prefixes of a model whose forms are not found."""
    import timm
    import torch

    with torch.device("meta"):
        state = timm.create_model(name).state_dict()
    found = []
    for prefix in PREFIXES:
        own = {prefix + key: value for key, value in state.items()}
        average = {f"model_ema.module.{key}": value for key, value in state.items()}
        both = {**own, **average, "criterion.weight": torch.zeros(2)}
        for saved, sets in ((own, 1), (both, 2)):
            every = candidates(Contents((Part("state_dict", saved),)), state)
            fits = [candidate for candidate in every if not candidate.differences]
            if len(fits) != sets or any(candidate.state.keys() != state.keys() for candidate in fits):
                found.append(f"{prefix!r} with {sets} sets")
    return found


def main() -> int:
    """The command line."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    began, bad, models = time.monotonic(), 0, smallest_of_each_family()
    for name in models:
        for form in wrong(name):
            bad += 1
            print(f"{name}: {form} is not found")
    forms = 2 * len(PREFIXES)
    print(f"{len(models)} models, {forms} forms each, {bad} not found, {time.monotonic() - began:.0f} s")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
