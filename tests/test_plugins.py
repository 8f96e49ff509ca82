"""The contract of every plug-in: a new file in a plug-in folder is covered the moment it exists."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from edgevit import registries
from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.errors import UsageError
from edgevit.core.precisions import Precision
from edgevit.core.registry import Registry

REGISTRIES: dict[str, Registry[Any]] = {
    name: value for name, value in vars(registries).items() if isinstance(value, Registry)
}
PLUGINS = [
    pytest.param(registry, name, id=f"{registry.kind}-{name}")
    for registry in REGISTRIES.values()
    for name in registry.own()  # installed ones are other packages' to test
]


@pytest.mark.parametrize(("registry", "name"), PLUGINS)
def test_constant_has_its_type_and_a_one_line_summary(registry: Registry[Any], name: str) -> None:
    plugin = registry.get(name)
    assert isinstance(plugin, registry.type)
    summary = plugin.summary
    assert summary == summary.strip() and summary and "\n" not in summary and len(summary) <= 120


@pytest.mark.parametrize(("registry", "name"), PLUGINS)
def test_name_can_be_typed_on_a_command_line(registry: Registry[Any], name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)


@pytest.mark.parametrize(("registry", "name"), PLUGINS)
def test_module_says_what_it_is(registry: Registry[Any], name: str) -> None:
    text = Path(__import__(f"{registry.package}.{name}", fromlist=["_"]).__file__).read_text()
    assert text.startswith('"""') and text.count("\n") <= 400


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
def test_registry_has_plugins_and_refuses_an_unknown_name(registry: Registry[Any]) -> None:
    names = registry.names()
    assert names and names == tuple(sorted(names))
    with pytest.raises(UsageError) as caught:
        registry.get(f"{names[0]}x")
    assert names[0] in caught.value.hint


@pytest.mark.parametrize("name", registries.TARGETS.own())
def test_target_is_consistent(name: str, root: Path) -> None:
    target = registries.TARGETS.get(name)
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert target.extra in extras
    assert target.suffix and not target.suffix.startswith(".")
    assert set(target.precisions) <= set(Precision) and {"fp32", "fp16"} <= set(target.precisions)
    assert target.runtimes and set(target.runtimes) <= set(registries.RUNTIMES.names())
    assert all(registries.RUNTIMES.get(runtime).suffix == target.suffix for runtime in target.runtimes)
    assert all(key.isidentifier() and text for key, text in target.options.items())


@pytest.mark.parametrize("name", registries.TARGETS.own())
def test_capabilities_is_there_for_integers_and_only_for_them(name: str) -> None:
    target = registries.TARGETS.get(name)
    for precision in target.precisions:
        capabilities = target.capabilities(precision)
        assert (capabilities is None) == (precision in ("fp32", "fp16"))
        if isinstance(capabilities, BackendCapabilities):
            assert (capabilities.target, capabilities.precision) == (name, precision) and capabilities.kinds


@pytest.mark.parametrize("name", registries.RUNTIMES.own())
def test_runtime_says_in_a_sentence_why_it_is_unavailable(name: str, root: Path) -> None:
    runtime = registries.RUNTIMES.get(name)
    reason = runtime.unavailable()
    assert reason is None or (reason and "\n" not in reason)
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert not runtime.extra or runtime.extra in extras


@pytest.mark.parametrize("name", registries.TARGETS.own())
def test_target_can_be_told_what_stays_in_float32(name: str) -> None:
    target = registries.TARGETS.get(name)
    told = inspect.signature(target.write).parameters["keep_float32"]
    assert told.default == frozenset() and target.half in ("computed", "stored")
