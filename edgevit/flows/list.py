"""`edgevit list`: every plug-in of one kind, and the two lists that are no folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from edgevit import registries
from edgevit.core.errors import UsageError, nearest
from edgevit.core.precisions import Precision
from edgevit.core.registry import Registry
from edgevit.core.results.answer import Answer, Table
from edgevit.graph import reparameterize

Rows = tuple[tuple[str, str], ...]


def list_kind(kind: str) -> Answer:
    """Names and one-line descriptions.

    Raises:
        UsageError: there is no such kind.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind {kind!r}", nearest(kind, KINDS))
    rows = KINDS[kind]()
    data = {"kind": kind, "items": [{"name": name, "summary": summary} for name, summary in rows]}
    return Answer(data, (Table(kind, ("name", "what it is"), rows),))


def _plugins(registry: Registry[Any]) -> Callable[[], Rows]:
    return lambda: tuple((name, _summary(registry, name)) for name in registry.names())


def _summary(registry: Registry[Any], name: str) -> str:
    """What it is, or why it cannot be used."""
    try:
        return str(registry.get(name).summary)
    except UsageError as error:
        return error.message


def _rewrites() -> Rows:
    """Those of the exported program, and the one of the model before it."""
    return ((reparameterize.NAME, reparameterize.SUMMARY), *_plugins(registries.REWRITES)())


def _precisions() -> Rows:
    targets = {name: target.precisions for name, target in registries.TARGETS.usable().items()}

    def written_by(precision: Precision) -> str:
        names = [name for name, can in targets.items() if precision in can]
        return f"written by {', '.join(names)}" if names else "not written by any target of this version"

    return tuple(
        (precision.value, f"{precision.summary}; {written_by(precision)}") for precision in Precision
    )


def _accelerators() -> Rows:
    """By what is typed after `--for`."""
    return tuple((plugin.syntax, plugin.summary) for plugin in registries.CHECKERS.usable().values())


def _mil_operations() -> Rows:
    from edgevit.runtimes.coreml_reference import operations

    return tuple((name, f"of {', '.join(inputs)}") for name, inputs in operations().items())


def _kinds() -> Rows:
    names = {kind: tuple(name for name, _ in rows()) for kind, rows in KINDS.items() if kind != "kinds"}
    return tuple((k, ", ".join((*n[:4], *(("...",) if len(n) > 4 else ())))) for k, n in names.items())


KINDS: Final[Mapping[str, Callable[[], Rows]]] = {
    "targets": _plugins(registries.TARGETS),
    "precisions": _precisions,
    "sources": _plugins(registries.SOURCES),
    "samples": _plugins(registries.SAMPLES),
    "rewrites": _rewrites,
    "algorithms": _plugins(registries.ALGORITHMS),
    "methods": _plugins(registries.METHODS),
    "metrics": _plugins(registries.METRICS),
    "runtimes": _plugins(registries.RUNTIMES),
    "devices": _plugins(registries.TRANSPORTS),
    "accelerators": _accelerators,
    "kinds": _kinds,
    "mil-ops": _mil_operations,
}
