"""A QuantPlan as plan.json with plan.safetensors: readable, diffable, and read back strictly."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.disk import whole_files
from edgevit.core.disk.documents import read_json
from edgevit.core.disk.reading import reading
from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.precisions import Precision
from edgevit.core.quant_params import QuantParams
from edgevit.core.settings.made_with import PLAN_BYTES, PLAN_HINT, MadeWith, plan_file
from edgevit.core.version import SCHEMA_VERSION

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A QuantPlan as it stands in plan.json; `tensors` maps its names to those in plan.safetensors."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    target: str
    precision: Precision
    compute: Literal["float32", "float16"]
    graph_sha256: str
    sites: tuple[SitePlan, ...]
    skipped: tuple[tuple[str, str], ...]
    tensors: dict[str, str]
    capabilities: BackendCapabilities
    outputs: tuple[QuantParams, ...] = ()


def save(plans: Sequence[QuantPlan], folder: Path, made_with: MadeWith | None = None) -> None:
    """Write all plans of a run and what they were made with; a tensor that several plans share is stored once."""
    stored: dict[str, NDArray[np.generic]] = {}
    listed = []
    for plan in plans:
        names = {}
        for key, array in sorted(plan.tensors.items()):
            names[key] = _store(stored, key, array)
        fields = {f.name: getattr(plan, f.name) for f in dataclasses.fields(plan)}
        listed.append(dataclasses.asdict(StoredPlan(**{**fields, "tensors": names})))
    made = None if made_with is None else dataclasses.asdict(made_with)
    document = {"schema_version": SCHEMA_VERSION, "made_with": made, "plans": listed}
    whole_files.write_stream(folder / "plan.safetensors", _safetensors(stored))
    (folder / "plan.json").write_text(json.dumps(document, indent=1) + "\n")


def load(path: Path) -> tuple[QuantPlan, ...]:
    """Read what `save` wrote.

    Args:
        path: the folder of plan.json and plan.safetensors, or a JSON file; its tensors are beside it under
            its own name or as plan.safetensors.

    Raises:
        InputError: missing, malformed, or naming tensors that are not there.
    """
    try:
        return _read(*_files(path))
    except InputError as error:
        raise InputError(
            f"{path} holds no readable plan: {error.message}", error.hint or PLAN_HINT
        ) from error


def _read(text: Path, stored: Path) -> tuple[QuantPlan, ...]:
    import pydantic
    from safetensors.numpy import load_file

    document = read_json(text, "the plan", PLAN_HINT, PLAN_BYTES)
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"schema_version {str(version)[:40]} is not {SCHEMA_VERSION}",
            "make the plan again with this edgevit",
        )
    with reading(stored, "safetensors file", PLAN_HINT):
        arrays = load_file(regular_file(stored, "the plan's tensors", PLAN_HINT))
    plans = []
    try:
        for entry in pydantic.TypeAdapter(tuple[StoredPlan, ...]).validate_python(document.get("plans")):
            fields = {f.name: getattr(entry, f.name) for f in dataclasses.fields(entry)}
            tensors = {key: arrays[name] for key, name in entry.tensors.items()}
            plans.append(QuantPlan(**{**fields, "tensors": tensors}))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{_place(document.get('plans'), first['loc'])}: {first['msg'].lower()}",
            "edgevit/schemas/plan.schema.json says what each entry holds; scales and zero points are lists",
        ) from error
    except KeyError as error:
        raise InputError(
            f"the tensor {error} is not in {stored.name}",
            "keep plan.safetensors as it was written beside plan.json",
        ) from error
    return tuple(plans)


def _place(plans: Any, where: tuple[int | str, ...]) -> str:
    """A place in plan.json in the words of its reader: target, precision, site, and the keys from there on."""
    names = []
    found = plans
    for key in where:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            found = None  # what is missing is the fault
        if isinstance(key, int) and isinstance(found, dict):
            named = [found.get(name) for name in ("target", "precision", "site")]
            names.append(" ".join(str(name) for name in named if name) or f"[{key}]")
        else:
            names.append(str(key))
    return " ".join(names)


def _files(path: Path) -> tuple[Path, Path]:
    if path.suffix != ".json":
        return plan_file(path), path / "plan.safetensors"
    own = path.with_suffix(".safetensors")
    return path, own if own.exists() else path.with_name("plan.safetensors")


def _safetensors(stored: Mapping[str, NDArray[np.generic]]) -> Iterator[bytes]:
    """A safetensors file piece by piece; the library's own writer has all of it in memory once more.

    https://github.com/huggingface/safetensors#format: the widest types first, so that all are aligned.
    """
    names = sorted(stored, key=lambda name: (-stored[name].itemsize, name))
    header, start = {}, 0
    for name in names:
        array = stored[name]
        header[name] = {
            "dtype": f"{array.dtype.kind.upper()}{8 * array.itemsize}",  # I8, U8, I32, F32
            "shape": list(array.shape),
            "data_offsets": [start, start + array.nbytes],
        }
        start += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for name in names:
        yield stored[name].astype(stored[name].dtype.newbyteorder("<"), copy=False).tobytes()


def _store(stored: dict[str, NDArray[np.generic]], key: str, array: NDArray[np.generic]) -> str:
    """Store under `key`, or under the next free `key~n` if another plan rounded it differently."""
    import numpy as np

    number, name = 0, key
    while name in stored:
        if np.array_equal(stored[name], array):
            return name
        number += 1
        name = f"{key}~{number}"
    stored[name] = np.ascontiguousarray(array)
    return name


def digest(plan: QuantPlan) -> str:
    """SHA-256 of everything that a plan says, and of its tensors."""
    import numpy as np

    fields = {f.name: getattr(plan, f.name) for f in dataclasses.fields(plan)}
    stored = StoredPlan(**{**fields, "tensors": {name: name for name in sorted(plan.tensors)}})
    found = hashlib.sha256(json.dumps(dataclasses.asdict(stored)).encode())
    for name, array in sorted(plan.tensors.items()):
        found.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def find(plans: Sequence[QuantPlan], target: str, precision: Precision) -> QuantPlan | None:
    """The plan for one target and precision, None if that file is not quantized."""
    return next((p for p in plans if (p.target, p.precision) == (target, precision)), None)
