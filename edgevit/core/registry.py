"""A folder of plug-ins, and those that other installed packages bring: asking for a name imports that one alone."""

from __future__ import annotations

import importlib
import pkgutil
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Generic, TypeVar

from edgevit.core.errors import UsageError, nearest

Plugin = TypeVar("Plugin")


@dataclass(frozen=True, slots=True)
class Registry(Generic[Plugin]):
    """Plug-ins of one kind.

    Another package adds one by an entry point in its pyproject.toml: the name that is typed on the command line,
    and the constant.

        [project.entry-points."edgevit.targets"]
        npz = "my_package.npz:TARGET"

    Attributes:
        kind: what messages call one of them, for example `target`.
        package: dotted name of the folder; each public module or package in it is one plug-in,
            and its name is its word on the command line.
        constant: the module-level name that holds the plug-in.
        type: the class that constant must have.
        group: of entry points.
    """

    kind: str
    package: str
    constant: str
    type: type[Plugin]
    group: str

    def own(self) -> tuple[str, ...]:
        """Names of those in the folder, sorted, without importing any of them."""
        return tuple(sorted(_modules(self.package)))

    def names(self) -> tuple[str, ...]:
        """Names of all plug-ins, sorted, without importing any of them."""
        return tuple(sorted({*_modules(self.package), *_installed(self.group)}))

    def usable(self) -> dict[str, Plugin]:
        """All plug-ins by name, edgevit's own first; those of other packages that cannot be imported are left out."""
        found = {name: self.get(name) for name in self.own()}
        for name in self.names():
            if name not in found:
                with suppress(UsageError):
                    found[name] = self.get(name)
        return found

    def get(self, name: str) -> Plugin:
        """Import and return one plug-in.

        Raises:
            UsageError: no plug-in has this name; the hint lists those that exist. Or an installed package
                brings one that cannot be used, and the message says which package and why.
            TypeError: a module of the folder has no constant of the right type (a bug).
        """
        if name in _modules(self.package):
            found = getattr(_module(f"{self.package}.{name}"), self.constant, None)
            if not isinstance(found, self.type):
                raise TypeError(
                    f"{self.package}.{name}.{self.constant} must be a {self.type.__name__}, not {found!r}"
                )
            return found
        if name not in _installed(self.group):
            raise UsageError(f"unknown {self.kind} {name!r}", nearest(name, self.names()))
        return self._foreign(_installed(self.group)[name])

    def _foreign(self, point: EntryPoint) -> Plugin:
        brought = (
            f"the {self.kind} {point.name} of the package {point.dist.name if point.dist else point.module}"
        )
        try:
            found = point.load()
        except Exception as error:
            raise UsageError(
                f"{brought} cannot be imported: {type(error).__name__}: {error}",
                "mend that package, or uninstall it",
            ) from error
        if not isinstance(found, self.type):
            raise UsageError(
                f"{brought} is no {self.type.__name__} but {type(found).__name__}",
                f"its entry point {point.value} has to name one",
            )
        return found


@cache
def _modules(package: str) -> frozenset[str]:
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations is not None, package
    found = pkgutil.iter_modules(spec.submodule_search_locations)
    return frozenset(m.name for m in found if not m.name.startswith("_"))


@cache
def _installed(group: str) -> dict[str, EntryPoint]:
    """What other packages bring; a name that edgevit has itself stays edgevit's."""
    return {point.name: point for point in entry_points(group=group)}


@cache
def _module(name: str) -> object:
    return importlib.import_module(name)
