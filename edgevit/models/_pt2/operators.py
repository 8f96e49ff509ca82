"""Which functions a program may call: PyTorch's tensor operators, and the arithmetic on sizes.

PyTorch looks a target up as attributes, from `torch`, `math` or `operator` on, and calls what it finds:
`torch.os.system` is found as well. Here a target is one of a list, or an operator of the `aten` library
that takes tensors, numbers and the few words that such operators know. One that opens a file
(`aten.from_file`, which can also create it) or takes a storage or an object is refused; internal ones and
those whose kernels trust their indices (sparse, nested, packed weights) are not supported.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from edgevit.core.errors import UnsupportedError
from edgevit.models._pt2.grammar import Refused, show

_LONGEST: Final = 200
_OPERATOR: Final = re.compile(r"torch\.ops\.(\w+)\.([A-Za-z_]\w*)\.([A-Za-z]\w*)", re.ASCII)
_HIGHER_ORDER: Final = re.compile(r"torch\.ops\.higher_order\.\w+", re.ASCII)
# A part of the model under torch.no_grad() or torch.autocast(): the part is a graph of its own.
_REGIONS: Final = frozenset(
    f"torch.ops.higher_order.wrap_with_{name}" for name in ("set_grad_enabled", "autocast")
)
_ON_SIZES: Final = re.compile(
    r"_operator\.(eq|ne|le|ge|lt|gt|neg|pos|mul|add|sub|floordiv|mod|pow|truediv|and_|or_|lshift|rshift)|"
    r"torch\.sym_(not|int|float|ite|max|min|sqrt)|math\.trunc"
)
_PLAIN: Final = re.compile(
    r"Tensor|int|float|bool|complex|number|str|ScalarType|Layout|Device|MemoryFormat|Generator|Optional|List"
)
# Arguments that are texts: a mode of the operator, never a name of something outside.
_WORDS: Final = re.compile(
    r"approximate|rounding_mode|equation|mode|pad_mode|padding|padding_mode|padding_side|reduce|indexing|side|"
    r"interpolation|ord|p|norm|driver|UPLO|assert_msg"
)
# Their kernels trust what they are given, or they belong to training; the rest of aten checks its arguments.
_TRUSTING: Final = re.compile(
    r"sparse|nested|quantize|mkldnn|cudnn|miopen|fbgemm|packed|segment_reduce|resize|^set_?$|(?<!sym_)storage|backward|"
    r"_coo|_cs[rc]|_bs[rc]|embedding_bag|foreach|from_blob"
)
# Names that begin with "_" are internal; these stand in exported and in decomposed models.
_INTERNAL: Final = re.compile(
    r"_(adaptive_avg_pool[23]d|assert_\w+|functional_(assert|sym)_\w+|convolution(_mode)?|cdist_forward|"
    r"euclidean_dist|native_batch_norm_legit\w*|batch_norm_(impl_index|no_update)|conj\w*|fused_rms_norm|"
    r"fused_sdp_choice|scaled_dot_product_\w+|native_multi_head_attention|transformer_encoder_layer_fwd|"
    r"transform_bias_rescale_qkv|local_scalar_dense|(log_|safe_)?softmax|prelu_kernel|reshape_(alias|copy)|"
    r"shape_as_tensor|stack|to_(copy|cpu)|trilinear|unsafe_(index|view|masked_index)|upsample_\w+|weight_norm\w*|"
    r"is_all_true|linalg_(det|eigh|svd|slogdet|solve_ex)|int_mm|pad_(circular|enum)|_(and|or|xor|[lr]shift)__)"
)


def target(value: object) -> object:
    """Rule for the target of a node.

    Raises:
        UnsupportedError: an operator of another library or one that works on more than tensors.
        Refused: anything else that is not in the list.
    """
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise Refused(f"{show(value)} is no operator of PyTorch")
    if _ON_SIZES.fullmatch(value) or value in _REGIONS:
        return value
    if _HIGHER_ORDER.fullmatch(value):
        raise UnsupportedError(
            f"it calls {value}, which edgevit does not read", "export the model without control flow"
        )
    found = _OPERATOR.fullmatch(value)
    if found is None:
        raise Refused(f"{show(value)} is no operator of PyTorch")
    library, name, overload = found.groups()
    if library != "aten":
        raise UnsupportedError(
            f"it calls the operator {library}::{name}, and only PyTorch's own (aten) are read",
            "export the model without custom operators",
        )
    reason = _why_not(name, overload)
    if reason is not None:
        raise Refused(f"{show(value)} {reason}")
    if _TRUSTING.search(name) or (name.startswith("_") and not _INTERNAL.fullmatch(name)):
        raise UnsupportedError(
            f"it calls aten::{name}, which is not among the operators that edgevit reads from a file",
            "export the model from its float, evaluation-mode PyTorch code",
        )
    return value


@cache
def _why_not(name: str, overload: str) -> str | None:
    import torch

    found = getattr(getattr(torch.ops.aten, name, None), overload, None)
    if not isinstance(found, torch._ops.OpOverload):
        return "is no operator of this version of PyTorch"
    schema = found._schema
    for argument in (*schema.arguments, *schema.returns):
        words = re.findall(r"\w+", str(argument.type))
        if not all(_PLAIN.fullmatch(word) for word in words):
            return f"takes or gives more than tensors and numbers ({argument.type})"
        if "str" in words and _WORDS.fullmatch(argument.name) is None:
            return f"takes a text ({argument.name})"
    return None
