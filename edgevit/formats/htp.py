"""The generations of Qualcomm's NPU that a file can be made for.

Results differ between them by rounding steps, so the verdict names the one it was made on. The execution provider takes
the first of them for any number that it does not know, with no more than a line in its log; here that is an error.
"""

from __future__ import annotations

from typing import Final

from edgevit.core.errors import UsageError, nearest

# What ParseHtpArchitecture of onnxruntime-qnn 2.7.0 takes, and a chip that has it.
ARCHITECTURES: Final = {
    "v68": "Snapdragon 888",
    "v69": "Snapdragon 8 Gen 1",
    "v73": "Snapdragon 8 Gen 2, X Elite",
    "v75": "Snapdragon 8 Gen 3",
    "v79": "Snapdragon 8 Elite",
    "v81": "Snapdragon 8 Elite Gen 5",
}
DEFAULT: Final = "v75"


def architecture(text: str) -> str:
    """`v75` or `75` as the name of an architecture.

    Raises:
        UsageError: onnxruntime-qnn compiles for no such architecture.
    """
    name = text if text.startswith("v") else f"v{text}"
    if name not in ARCHITECTURES:
        raise UsageError(f"no HTP architecture is called {text!r}", nearest(name, ARCHITECTURES))
    return name
