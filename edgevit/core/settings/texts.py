"""Values of settings as the texts that a flag takes."""

from __future__ import annotations

from collections.abc import Mapping


def texts(value: object) -> list[str]:
    """A value as the flag's own texts: a table as KEY=VALUE, nested tables as A.B=VALUE."""
    if isinstance(value, Mapping):
        return [
            f"{key}.{text}" if isinstance(inner, Mapping) else f"{key}={','.join(texts(inner))}"
            for key, inner in value.items()
            for text in (texts(inner) if isinstance(inner, Mapping) else [""])
        ]
    if isinstance(value, list | tuple):
        return [joined(entry) for entry in value]
    return [str(value)]


def joined(entry: object) -> str:
    """("mlp", 0.25) as mlp=0.25 and ("onnx", "opset", "20") as onnx.opset=20."""
    if not isinstance(entry, list | tuple):
        return str(entry)
    *names, value = map(str, entry)
    return f"{'.'.join(names)}={value}"
