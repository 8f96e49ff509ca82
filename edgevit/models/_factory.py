"""From what a name of the user's code stands for, a module or a factory, to a plain module on the CPU."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import InputError, UsageError, nearest
from edgevit.core.foreign import printable
from edgevit.models._user_code import guarded

if TYPE_CHECKING:
    import torch

_SHOWN: Final = 400  # characters of a signature


def make(found: Any, what: str, arguments: Mapping[str, Any]) -> torch.nn.Module:
    """A module as it is, or what a factory gives for `arguments`; in float32, on the CPU.

    Args:
        what: what messages call it, such as "net of nets.py".
        arguments: by name, positional-only ones too.

    Raises:
        UsageError: arguments that it does not take, or that it needs and nobody gave.
        InputError: it is, or gives, something else than a module with weights.
        StepError: the factory raised an exception or ended the program.
    """
    if is_instance(found):
        if arguments:
            raise UsageError(
                f"{what} is a module that is made already, and takes no {', '.join(arguments)}",
                "leave --model-arg and --num-classes out, or name the factory that makes it",
            )
        made = found
    elif callable(found):
        positional, named = _bound(found, what, arguments)
        made = guarded(what, lambda: found(*positional, **named))
    else:
        raise UsageError(
            f"{what} is of type {type(found).__name__}: neither a module nor a factory of one",
            "name a torch.nn.Module, or a function or class that gives one",
        )
    return unwrapped(made, what).cpu().float()


def is_instance(found: Any) -> bool:
    """Whether it is a module and not a factory; modules can be called, too."""
    import torch

    return isinstance(found, torch.nn.Module)


def unwrapped(made: Any, what: str) -> torch.nn.Module:
    """The module inside of torch.compile and of (Distributed)DataParallel.

    Raises:
        InputError: no module, TorchScript, or parameters without values.
    """
    import torch

    if not isinstance(made, torch.nn.Module):
        raise InputError(f"{what} gives {type(made).__name__}, not a torch.nn.Module", _inside(made))
    parallel = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    inner: torch.nn.Module = made
    while isinstance(inner, parallel) or hasattr(inner, "_orig_mod"):
        inner = inner._orig_mod if hasattr(inner, "_orig_mod") else inner.module  # type: ignore[assignment]
    if isinstance(inner, torch.jit.ScriptModule):
        raise InputError(
            f"{what} is TorchScript, which cannot be exported",
            "give the module that it was scripted or traced from",
        )
    if any(tensor.is_meta for tensor in (*inner.parameters(), *inner.buffers())):
        raise InputError(
            f"{what} has parameters without values, on the device meta", "load its weights first, on the CPU"
        )
    return inner


def _bound(make: Any, what: str, arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments of a call, or a UsageError that shows the signature."""
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):  # built in C
        return [], dict(arguments)
    parameters = signature.parameters
    shown = printable(str(signature))
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]} ..."
    stated = f"its signature is {what.partition(' ')[0]}{shown}"
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    own = {name for name, p in parameters.items() if p.kind not in variadic}
    unknown = [name for name in arguments if name not in own]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        flag = "--num-classes" if unknown[0] == "num_classes" else f"--model-arg {unknown[0]}"
        hint = nearest(unknown[0], own) if own else "it takes none"
        raise UsageError(f"{what} has no argument {unknown[0]!r} ({flag}): {stated}", hint)
    missing = [
        n
        for n in parameters
        if n in own - set(arguments) and parameters[n].default is inspect.Parameter.empty
    ]
    if missing:
        flags = " ".join(
            "--num-classes N" if n == "num_classes" else f"--model-arg {n}=VALUE" for n in missing
        )
        raise UsageError(
            f"{what} needs {', '.join(missing)}: {stated}",
            f"add {flags}; a VALUE is a Python literal (4, 0.1, True, None, [1, 2]) or else a text, and what is "
            "neither is made in a factory of your own that needs no arguments",
        )
    first = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_ONLY and n in arguments]
    return [arguments[n] for n in first], {n: v for n, v in arguments.items() if n not in first}


def _inside(made: Any) -> str:
    """Where the module is in what a factory gives, or how to come to one."""
    import torch

    items: list[tuple[object, object]] = []
    if isinstance(made, Mapping):
        items = list(made.items())
    elif isinstance(made, list | tuple):
        items = list(enumerate(made))
    where = next((key for key, value in items if is_instance(value)), None)
    if isinstance(made, type) and issubclass(made, torch.nn.Module):
        return f"{made.__name__} is a class: give an instance, {made.__name__}(...) with its weights"
    if items and all(isinstance(value, torch.Tensor) for _, value in items):
        return "a state_dict holds weights alone: fill the module with it, module.load_state_dict(...), and give that"
    if where is None:
        return "a factory returns the module with its weights"
    return f"its element {where!r} is one: write a factory that returns it alone"
