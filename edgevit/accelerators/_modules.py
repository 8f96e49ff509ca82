"""Which module of the model an operator was made of, as far as its file says so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from edgevit.accelerators._operators import Operator

# litert-torch: `Model/torch.nn.modules.container.Sequential_blocks/Block_0/torch.nn.modules.linear.Linear_fc1;2`
_CLASS_AND_NAME: Final = re.compile(r"(?:[\w.]*\.)?[A-Z][A-Za-z0-9]*_(\w+)")


def of_site(text: str) -> str | None:
    """`blocks.3.attn` of the site `blocks.3.attn@1:qk`, "" for what is in no module; None if the text is no site."""
    module, colon, _ = text.partition(":")
    return module.partition("@")[0] if colon and "/" not in module else None


def of_tensors(names: Iterable[str]) -> str | None:
    """By the first name that says one; edgevit writes the site before `;`, others a path of scopes."""
    scopes = [name.partition(";")[0].partition("#")[0] for name in names]
    for scope in scopes:
        module = of_site(scope)
        if module is not None:
            return module
    return next((found for scope in scopes if (found := _of_scopes(scope))), None)


def of_name_scopes(scopes: Sequence[str]) -> str | None:
    """By torch.onnx's `pkg.torch.onnx.name_scopes`: the modules that contain a node, then the node itself."""
    return scopes[-2] if len(scopes) > 1 else None


def of_node_name(name: str) -> str | None:
    """By `/blocks/blocks.0/attn/qkv/MatMul` as the older torch.onnx writes it."""
    *scopes, _ = name.strip("/").split("/")
    if not name.startswith("/") or not scopes:
        return of_site(name.partition("/")[0]) if ":" in name else None
    pairs = zip(scopes, [*scopes[1:], ""], strict=True)
    return ".".join(scope for scope, after in pairs if not after.startswith(f"{scope}."))


def with_modules(operators: Sequence[Operator], modules: Sequence[str | None]) -> tuple[Operator, ...]:
    """The same operators with their modules; None is the module of what computes the first input, or reads the output.

    A runtime's own operators, such as a quantization between two layers, are in no module of the model.
    """
    known = list(modules)
    makers = {output.name: index for index, operator in enumerate(operators) for output in operator.outputs}
    readers: dict[str, int] = {}
    for index, operator in enumerate(operators):
        for operand in operator.computed:
            readers.setdefault(operand.name, index)
            if known[index] is None and operand.name in makers and makers[operand.name] < index:
                known[index] = known[makers[operand.name]]
    for index in reversed(range(len(operators))):
        after = (readers.get(output.name) for output in operators[index].outputs)
        if known[index] is None:
            known[index] = next((known[reader] for reader in after if reader is not None), None)
    return tuple(
        replace(operator, module=module or "") for operator, module in zip(operators, known, strict=True)
    )


def _of_scopes(scope: str) -> str:
    parts = scope.split("/")
    found = [_CLASS_AND_NAME.fullmatch(part) for part in parts]
    if any(found):
        return ".".join(match[1] for match in found if match)
    return "/".join(parts[:-1])
