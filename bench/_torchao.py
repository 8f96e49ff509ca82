"""torchao's PT2E quantization: static int8 activations and int8 weights per channel, in the exported program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench._peer_input import Given

if TYPE_CHECKING:
    import torch


def quantize(model: Given) -> torch.nn.Module:
    """Annotated by torchao's quantizer for x86, the only one it has for CPUs besides Arm's, with its defaults."""
    import torch
    from torchao.quantization.pt2e import allow_exported_model_train_eval
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.export(model.module, (model.image,)).module(), quantizer)
    with torch.no_grad():
        for image in torch.from_numpy(model.calibration).split(1):
            prepared(image)
    converted: torch.nn.Module = convert_pt2e(prepared)
    return allow_exported_model_train_eval(converted)  # the converters call eval()
