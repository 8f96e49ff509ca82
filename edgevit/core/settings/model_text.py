"""The MODEL text of the command line, taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from edgevit.core.errors import UsageError, nearest

FORMS: Final = (
    "demo, timm:NAME, hf:DIR_OR_ID, torchvision:NAME, keras:FILE, python:MODULE_OR_FILE:FACTORY or FILE.pt2"
)


def parse_source(text: str, words: Iterable[str] | None = None) -> tuple[str, str]:
    """Split a MODEL text into the name of its source and that source's argument.

    Args:
        text: for example `timm:vit_tiny_patch16_224`, `demo` or `net.pt2`.
        words: names of sources that may stand before the colon, those of other packages among them; None where
            they are not known: any word may, but neither a drive of Windows (C:) nor https:.

    Returns:
        For example ("timm", "vit_tiny_patch16_224"), ("demo", "") or ("exported", "net.pt2").

    Raises:
        UsageError: not of any of these forms.
    """
    text = text.strip()
    word, colon, argument = text.partition(":")
    if words is None:
        words = re.findall(r"^[A-Za-z][\w-]+(?=:(?!//))|^demo$", text)
    known = {*words} - {"exported"}
    if word in known and (colon or word == "demo"):
        if bool(argument) == (word == "demo"):
            raise UsageError(f"MODEL {text!r} is not complete or says too much", f"MODEL is one of: {FORMS}")
        return word, argument
    if text.endswith(".pt2"):
        return "exported", text
    if word in known:
        raise UsageError(f"MODEL {text!r} lacks what stands behind the colon", f"MODEL is one of: {FORMS}")
    from edgevit.core.settings.hints import model_hint  # of use for this error alone

    hint = model_hint(text) if text else ""
    if colon and not hint:
        raise UsageError(f"unknown source {word!r} in MODEL {text!r}", nearest(word, known))
    joined = hint if not hint or hint.endswith("?") else f"{hint}."
    raise UsageError(f"MODEL {text!r} names no source", f"{joined} MODEL is one of: {FORMS}".strip())
