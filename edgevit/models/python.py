"""Any PyTorch module: `python:MODULE_OR_FILE:FACTORY`. It runs that code."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal

from edgevit.core.errors import InputError, StepError, UsageError, nearest
from edgevit.core.foreign import printable
from edgevit.core.plugins import LoadRequest, Source
from edgevit.core.regular import regular_file
from edgevit.core.require import require
from edgevit.core.types import NOT_STATED, Preprocess, TorchModel
from edgevit.models._classes import Classes, last_layers, settle, stored_classes
from edgevit.models._origin import not_stated, stated
from edgevit.models._preprocess import from_timm
from edgevit.models._request import given_weights, literals
from edgevit.models._spec import build

if TYPE_CHECKING:
    import torch

_DEFAULT_SIZE = (224, 224)


def load(request: LoadRequest) -> TorchModel:
    """Call FACTORY, with `--model-arg` and `num_classes` as keyword arguments, for a module with weights.

    Preprocessing is that of timm's `pretrained_cfg` if the module carries one; else `--preprocess` must
    give mean and std. The input size is 224x224 without `--image-size`. A
    module of several independent labels or of a regression says so in an attribute `problem_type`, as
    transformers' configurations do.

    Raises:
        UsageError: no such module, file or factory, arguments that it does not take, or a module that does not
            state its preprocessing.
        InputError: the factory gives no module.
        StepError: the code raised an exception.
    """
    place, colon, factory = request.argument.rpartition(":")
    if not colon or not place or not factory:
        raise UsageError(f"{request.source!r} is not of the form python:MODULE_OR_FILE:FACTORY")
    arguments: dict[str, Any] = literals(request.model_args)
    if request.num_classes is not None:
        arguments["num_classes"] = request.num_classes
    with _importable(place):
        make = _factory(_module(place), place, factory)
        how = _takes_classes(make)
        if how == "must" and "num_classes" not in arguments:
            if not request.labels:
                raise UsageError(
                    f"{factory} of {place} has to be told the number of classes",
                    "add --num-classes N or --labels FILE",
                )
            arguments["num_classes"] = len(request.labels)
        module = _made(make, place, factory, arguments)
        settled: tuple[str, ...] = ()
        if how == "may" and "num_classes" not in arguments:
            classes = _classes_of(module, request)
            if classes is not None and classes.told:
                module = _made(make, place, factory, {**arguments, "num_classes": classes.number})
                settled = classes.told
    preprocess, origin = _preprocess(module, request)
    told = given_weights(module, request, (preprocess.height, preprocess.width))
    return build(
        module,
        name=factory,
        source=request.source,
        preprocess=preprocess,
        preprocess_origin=origin,
        warnings=(*settled, *(told or ())),
        labels=request.labels,
        problem_type=getattr(module, "problem_type", None),
    )


def _made(make: Any, place: str, factory: str, arguments: Mapping[str, Any]) -> torch.nn.Module:
    import torch

    _check_arguments(make, place, factory, arguments)
    try:
        module = make(**arguments)
    except SystemExit as error:
        raise _left(f"{factory} of {place}", error) from error
    except Exception as error:  # foreign code may raise anything
        raise StepError(f"{factory} of {place} failed: {type(error).__name__}: {error}") from error
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"{factory} of {place} gives {type(module).__name__}, not a torch.nn.Module")
    return module.float()


def _check_arguments(make: Any, place: str, factory: str, arguments: Mapping[str, Any]) -> None:
    """Raise UsageError for arguments that the factory does not have, or that it needs and nobody gives."""
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):  # built in C
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UsageError(
            f"{factory} of {place} takes {printable(str(signature))}: {error}",
            "--model-arg KEY=VALUE gives its arguments, --num-classes N the one of that name",
        ) from error


def _takes_classes(make: Any) -> Literal["must", "may", "no"]:
    """Whether a factory has an argument of that name, and one without a default."""
    try:
        parameter = inspect.signature(make).parameters.get("num_classes")
    except (TypeError, ValueError):  # built in C
        return "no"
    if parameter is None or parameter.kind is parameter.POSITIONAL_ONLY:
        return "no"
    return "must" if parameter.default is parameter.empty else "may"


def _classes_of(module: torch.nn.Module, request: LoadRequest) -> Classes | None:
    """What the head has to be made for; None where the factory's own weights are used, whose head is fixed."""
    import torch

    if request.weights is None and request.random_weights is None:
        return None
    linear = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]
    if not linear:
        return None
    own = linear[-1].out_features
    return settle(request, own, stored_classes(request, last_layers(module, own)), str(request.weights))


def _preprocess(module: torch.nn.Module, request: LoadRequest) -> tuple[Preprocess, str]:
    if getattr(module, "pretrained_cfg", None):
        resolve = require("timm.data").resolve_model_data_config
        found = from_timm(resolve(module), request.image_size)
        return stated(found, "the module's own pretrained_cfg (timm)", request)
    found, origin = not_stated(
        request,
        request.image_size or _DEFAULT_SIZE,
        "the module has no pretrained_cfg, and its weights hold neither mean nor std",
    )
    if request.image_size is None and origin != NOT_STATED:
        origin += f"; {_DEFAULT_SIZE[0]}x{_DEFAULT_SIZE[1]} pixels, since --image-size is not given"
    return found, origin


@contextmanager
def _importable(place: str) -> Iterator[None]:
    """As `python FILE` or `python -m MODULE` would set the search path."""
    folder = str(Path(place).resolve().parent) if place.endswith(".py") else str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _module(place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = regular_file(Path(place), "the file", "python: takes a module's name or a .py file")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None, place
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        return module
    except (UsageError, InputError):
        raise
    except ModuleNotFoundError as error:
        raise UsageError(f"{place} cannot be imported: {error}", "is it on the search path?") from error
    except SystemExit as error:
        raise _left(f"importing {place}", error) from error
    except Exception as error:  # foreign code may raise anything
        raise StepError(f"importing {place} failed: {type(error).__name__}: {error}") from error


def _left(what: str, error: SystemExit) -> StepError:
    return StepError(
        f"{what} ended the program (sys.exit with {error.code!r}), as a script does that reads its own command line",
        "put that part of the script behind `if __name__ == '__main__':`, or into a file of its own",
    )


def _factory(module: ModuleType, place: str, factory: str) -> Any:
    found = getattr(module, factory, None)
    if not callable(found):
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise UsageError(f"{place} has no callable {factory!r}", nearest(factory, known))
    return found


SOURCE: Final = Source(
    summary="your own PyTorch module; runs that code", syntax="python:MODULE_OR_FILE:FACTORY", load=load
)
