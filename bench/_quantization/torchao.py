"""torchao's PT2E quantization: static int8 activations and int8 weights per channel, in the exported program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench._quantization.peer_input import Given

if TYPE_CHECKING:
    import torch


def quantize(model: Given) -> torch.nn.Module:
    """Annotated by torchao's quantizer for x86, the only one it has for CPUs besides Arm's, with its defaults."""
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    return _calibrated(model, quantizer, fold=True)


def quantize_for_litert(model: Given) -> tuple[torch.nn.Module, Any]:
    """The same with litert-torch's own quantizer, per channel, whose integers alone it can write; what to tell it.

    uint8 activations and folded int8 weights of the other end in an error of its converter.
    """
    from litert_torch.quantize import pt2e_quantizer as litert
    from litert_torch.quantize.quant_config import QuantConfig

    quantizer = litert.PT2EQuantizer().set_global(
        litert.get_symmetric_quantization_config(is_per_channel=True)
    )
    return _calibrated(model, quantizer, fold=False), QuantConfig(pt2e_quantizer=quantizer)


def _calibrated(model: Given, quantizer: Any, fold: bool) -> torch.nn.Module:
    """`fold`: the weights are stored as integers, not rounded by operations on float ones."""
    import torch
    from torchao.quantization.pt2e import allow_exported_model_train_eval
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(torch.export.export(model.module, (model.image,)).module(), quantizer)
    with torch.no_grad():
        for image in torch.from_numpy(model.calibration).split(1):
            prepared(image)
    # The converters call eval() on what they are given.
    converted: torch.nn.Module = allow_exported_model_train_eval(convert_pt2e(prepared, fold_quantize=fold))
    return converted
