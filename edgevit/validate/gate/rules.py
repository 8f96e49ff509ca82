"""Rules of the policy that touched nothing: a misspelt pattern is a limit that nobody keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from edgevit.core.results.baseline import Baseline
from edgevit.core.results.gate import FLOAT_MODEL, Check
from edgevit.core.settings.gate_policy import Policy


def without_effect(policy: Policy, old: Baseline, new: Baseline, checks: Iterable[Check]) -> Iterator[str]:
    """One sentence for each pattern that fits no file, and for each word of `--accept` that accepted nothing."""
    files = {FLOAT_MODEL, *(file.name for side in (old, new) for file in side.files)}
    for pattern, _ in policy.patterns:
        if not any(fnmatchcase(name, pattern) for name in files):
            yield f"the policy has limits for {pattern!r}, which fits none of {', '.join(sorted(files))}"
    used = {check.accept for check in checks if check.accepted}
    if old.model.name != new.model.name:
        used.add("model")
    for word in dict.fromkeys(policy.accept):
        if not any(fnmatchcase(what, word) for what in used):
            yield f"{word!r} is accepted, but nothing of it changed"
