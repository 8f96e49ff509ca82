"""A folder of plug-ins: listing imports nothing, asking for a name imports that one module."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Generic, TypeVar

from edgevit.core.errors import UsageError, nearest

Plugin = TypeVar("Plugin")


@dataclass(frozen=True, slots=True)
class Registry(Generic[Plugin]):
    """Plug-ins of one kind.

    Attributes:
        kind: what messages call one of them, for example `target`.
        package: dotted name of the folder; each public module in it is one plug-in,
            and its file stem is its name on the command line.
        constant: the module-level name that holds the plug-in.
        type: the class that constant must have.
    """

    kind: str
    package: str
    constant: str
    type: type[Plugin]

    def names(self) -> tuple[str, ...]:
        """Names of all plug-ins, sorted, without importing any of them."""
        spec = find_spec(self.package)
        assert spec is not None and spec.submodule_search_locations is not None, self.package
        found = pkgutil.iter_modules(spec.submodule_search_locations)
        return tuple(sorted(m.name for m in found if not m.name.startswith("_")))

    def get(self, name: str) -> Plugin:
        """Import and return one plug-in.

        Raises:
            UsageError: no plug-in has this name; the hint lists those that exist.
            TypeError: the module has no constant of the right type (a bug of the plug-in).
        """
        if name not in self.names():
            raise UsageError(f"unknown {self.kind} {name!r}", nearest(name, self.names()))
        plugin = getattr(_module(f"{self.package}.{name}"), self.constant, None)
        if not isinstance(plugin, self.type):
            raise TypeError(
                f"{self.package}.{name}.{self.constant} must be a {self.type.__name__}, not {type(plugin).__name__}"
            )
        return plugin


@cache
def _module(name: str) -> object:
    return importlib.import_module(name)
