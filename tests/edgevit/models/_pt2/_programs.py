"""Saved programs to read, and the same with something changed."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

IMAGE = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
PROGRAM = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLES = "data/sample_inputs/model.pt"
Edit = Callable[[Any], Any]


class Net(torch.nn.Module):
    """Parameters, a shared one, buffers kept and not kept, a constant, an integer, a part without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 4, 4, 4)
        self.norm = torch.nn.LayerNorm(4)
        self.first = torch.nn.Linear(4, 4)
        self.second = torch.nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.register_buffer("scale", torch.full((4,), 1.5))
        self.register_buffer("shift", torch.full((4,), 0.25), persistent=False)
        self.constant = torch.arange(4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.norm(self.patch(image).flatten(2).transpose(1, 2)) * self.scale + self.shift
        with torch.no_grad():
            tokens = tokens * 2
        tokens = self.second(torch.nn.functional.gelu(self.first(tokens), approximate="tanh"))
        return tokens.mean(1).index_select(1, self.constant)


def save(path: Path, batch: int | str = 1, **options: Any) -> Net:
    """Write Net as a program for one image, or for any number of them (`batch` is the Dim's name)."""
    torch.manual_seed(0)
    net = Net().eval()
    image, shapes = (IMAGE[:1], None) if batch == 1 else (IMAGE, ({0: torch.export.Dim(str(batch), max=64)},))
    program = torch.export.export(net, (image,), dynamic_shapes=shapes)
    torch.export.save(program, path, **options)
    return net


def changed(
    good: Path,
    bad: Path,
    edits: Mapping[str, Edit | bytes | None] = {},
    before: Mapping[str, bytes] = {},
    after: Mapping[str, bytes] = {},
) -> Path:
    """A copy of the archive `good`.

    Args:
        edits: member -> a function of its JSON, other content, or None to leave it out.
        before: members that come first.
        after: members that come last.
    """
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for name, content in before.items():
            target.writestr(zipfile.ZipInfo(f"{good.stem}/{name}"), content)
        for member in source.infolist():
            content, edit = source.read(member), edits.get(member.filename.partition("/")[2], ...)
            if edit is None:
                continue
            if isinstance(edit, bytes):
                content = edit
            elif callable(edit):
                content = json.dumps(edit(json.loads(content))).encode()
            target.writestr(zipfile.ZipInfo(member.filename), content)
        for name, content in after.items():
            target.writestr(zipfile.ZipInfo(f"{good.stem}/{name}"), content)
    return bad


def touch(marker: Path) -> str:
    """An expression that creates `marker`."""
    return f"__import__('os').system('touch {marker}')"


class Touch:
    """Creates `marker` when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self._marker}",))


def pickled(value: object) -> bytes:
    """As torch.save writes it."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def put(value: object, *where: str | int) -> Edit:
    """An edit that sets one place of the JSON."""

    def edit(document: Any) -> Any:
        inner = document
        for key in where[:-1]:
            inner = inner[key]
        inner[where[-1]] = value
        return document

    return edit


def renamed(old: str, new: str) -> Edit:
    """An edit that writes another text wherever `old` stands as a whole, as key or value."""
    return lambda document: json.loads(json.dumps(document).replace(json.dumps(old), json.dumps(new)))
