"""Backends that have no float arithmetic: every activation is int8, or int16 where 8 bits are too few.

full-int8 is for any such accelerator; ethos-u writes the same in the forms that Arm's compiler Vela maps to its NPU
(`edgevit compile FILE --for ethos-u85-1024`). Both are executed by LiteRT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Literal, cast

from converters import _float_macs
from converters.tflite import lower
from converters.tflite.rows import mean_of_rows
from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.errors import UsageError
from edgevit.core.plugins import Backend
from edgevit.core.precisions import Precision

if TYPE_CHECKING:
    from converters.tflite.use_def import UseDef

FULL_INT8: Final = "full-int8"
ETHOS_U: Final = "ethos-u"
_PRECISIONS: Final = (Precision.W8A8,)
BACKENDS: Final = {
    FULL_INT8: Backend("accelerators without float arithmetic", _PRECISIONS, ("litert",)),
    ETHOS_U: Backend("Arm Ethos-U, by its compiler Vela", _PRECISIONS, ("litert",)),
}
PASSES: Final[Mapping[str, tuple[Callable[[UseDef], int], ...]]] = {FULL_INT8: (), ETHOS_U: (mean_of_rows,)}
_FOLDS: Final = ("layernorm_to_rmsnorm", "patches_as_linear", "smooth_activations", "integer_operators")
# What `fixed_point` does not cover (softmax, means and roots in int16) rounds twice: the first leaves 7 to 10 bits of
# a step.
_KERNEL_NOISE: Final = 2.0**-9
_ENDS: Final = {"input": "int8", "output": "int8"}


def capabilities(precision: Precision, options: Mapping[str, str]) -> BackendCapabilities | None:
    """w8a8: int8 activations, int16 for those that cost the output most.

    `float_macs` is here the share of multiply-accumulates that may have 16-bit activations.
    """
    if precision not in _PRECISIONS:
        return None
    return BackendCapabilities(
        "tflite",
        precision,
        "float32",
        tuple(OpCapabilities(kind, "int8", "int8", "int32") for kind in lower.WEIGHTED),
        float_macs=_float_macs.float_macs("tflite", options),
        folds=_FOLDS,
        outputs=cast('Literal["int8", "uint8"]', with_ends(options)["output"]),
        backend=options["backend"],
        activations="int8",
        wide="int16",
        unit=("softmax",),
        kernel_steps=(("", 1),),
        kernel_noise=_KERNEL_NOISE,
        fixed_point=True,
    )


def with_ends(options: Mapping[str, str]) -> Mapping[str, str]:
    """`options` with integers at both ends of a file that has no float between them."""
    return {**_ENDS, **options} if options.get("backend") in BACKENDS else options


def check_options(options: Mapping[str, str]) -> None:
    """Raise UsageError for float ends."""
    for name in _ENDS:
        if options.get(name) == "float32":
            raise UsageError(
                f"tflite.{name}=float32 does not go with tflite.backend={options['backend']}: no operator is float",
                f"leave tflite.{name} out for int8, or give uint8",
            )
