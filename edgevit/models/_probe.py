"""One forward pass of a model that was just made, to look at what it does."""

from __future__ import annotations

import contextlib
import re
import traceback
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import StepError
from edgevit.program import diagnostics

if TYPE_CHECKING:
    import torch

_SIZE: Final = (
    "--image-size sets the size (N or HEIGHTxWIDTH); many models want a multiple of the patch or the stride "
    "(16, 32), or just the size that they were made for"
)
_ARGUMENTS: Final = re.compile(
    r"missing \d+ required (positional|keyword-only) argument|takes \d+ positional argument"
)
_DTYPE: Final = re.compile(
    r"(same|scalar|different) d?type|Input type .* should be the same|expected .*(Half|Float|Double|BFloat16|Long|Byte)"
    r"|not implemented for '(Half|Byte|Long|Int|Char)'"
)
_CHANNELS: Final = re.compile(r"expected input\[.*\] to have (\d+) channels, but got (\d+) channels")
_OF_SIZE: Final = re.compile(
    r"siz|shape|dimension|divis|multiple|height|width|patch|resolution|kernel|token|window|grid|even|\d ?x ?\d",
    re.I,
)


def forward(module: torch.nn.Module, image: torch.Tensor, name: str) -> Any:
    """What `module` returns for `image`, float32 (1, 3, height, width), without gradients.

    Args:
        name: what the message calls the model.

    Raises:
        StepError: the forward pass failed, most often because the size of the image does not fit; the
            message names the operator, the innermost module by path and class, and the line of the model's
            code.
    """
    import torch

    entered: list[torch.nn.Module] = []

    def enter(part: torch.nn.Module, _inputs: object) -> None:
        entered.append(part)

    def leave(_part: torch.nn.Module, _inputs: object, _output: object) -> None:
        entered.pop()

    hooks = [part.register_forward_pre_hook(enter) for part in module.modules()]
    hooks += [part.register_forward_hook(leave) for part in module.modules()]
    try:
        with torch.no_grad():
            return module(image)
    except Exception as error:  # a model may raise anything
        height, width = image.shape[-2:]
        reason = " ".join(str(error).split())[:300]
        raise StepError(
            f"the model {name} fails on one {height}x{width} image{_operator(module, image)}"
            f"{_where(module, entered, error)}: "
            f"{type(error).__name__}: {reason}",
            _hint(error, image),
        ) from error
    finally:
        for hook in hooks:
            hook.remove()


def _hint(error: Exception, image: torch.Tensor) -> str:
    """What most often mends such an error of a forward pass."""
    said = str(error)
    called = f"model.eval()(torch.zeros{tuple(image.shape)})"
    if isinstance(error, TypeError) and _ARGUMENTS.search(said):
        return (
            f"the model is called with one image, {called}: wrap one that takes more in a module that holds the rest, "
            "and give that as python:FILE:FACTORY"
        )
    if _DTYPE.search(said):
        return "the model is converted in float32, and its images are: take .half(), .double() and the like out of it"
    channels = _CHANNELS.search(said)
    if channels is not None and channels[1] != channels[2] and int(channels[2]) in image.shape[2:]:
        return f"images come as (1, channels, height, width), {called}: leave the channels where they are"
    return _SIZE if _OF_SIZE.search(said) else f"run it as edgevit does: {called}"


def size_refused(name: str, error: Exception) -> StepError:
    """What a model says that cannot even be made for the size that was asked for, and where it says so."""
    line = diagnostics.innermost(diagnostics.frames("".join(traceback.format_exception(error))))
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return StepError(
        f"the model {name} cannot be made for this image size{f' at {line}' if line else ''}: {reason}", _SIZE
    )


def _operator(module: torch.nn.Module, image: torch.Tensor) -> str:
    """` in torch.nn.functional.linear`, found by running once more; empty where no operator of PyTorch failed."""
    import torch
    from torch.overrides import TorchFunctionMode, resolve_name

    class Watch(TorchFunctionMode):
        failed = ""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            try:
                return func(*args, **(kwargs or {}))
            except Exception:  # raised again: only its place is noted
                self.failed = self.failed or resolve_name(func) or str(func)
                raise

    with Watch() as watch, torch.no_grad(), contextlib.suppress(Exception):
        module(image)
    return f" in {watch.failed}" if watch.failed else ""


def _where(module: torch.nn.Module, entered: list[torch.nn.Module], error: Exception) -> str:
    """` of blocks.0.attn (Attention) at net.py:12`, as much of it as is known."""
    line = diagnostics.innermost(diagnostics.frames("".join(traceback.format_exception(error))))
    names = {id(part): path for path, part in module.named_modules()}
    path = names.get(id(entered[-1]), "") if entered else ""
    return (f" of {path} ({type(entered[-1]).__name__})" if path else "") + (f" at {line}" if line else "")
