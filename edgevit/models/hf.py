"""Hugging Face image models: `hf:DIR_OR_ID`, read as configuration and weights, never as code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.disk.documents import read_json
from edgevit.core.disk.regular import is_folder, is_there
from edgevit.core.errors import InputError, UsageError
from edgevit.core.foreign import brief
from edgevit.core.plugins import LoadRequest, Source
from edgevit.core.require import require
from edgevit.core.types import TorchModel
from edgevit.models._checkpoint.adapted import Asked, check_adapted
from edgevit.models._checkpoint.candidates import by_key, candidates, renamed
from edgevit.models._checkpoint.choose import Chosen, one_of, with_words
from edgevit.models._checkpoint.classes import last_layers, rows, settle
from edgevit.models._checkpoint.files import read_contents, read_shards
from edgevit.models._checkpoint.mismatch import Differences, describe
from edgevit.models._checkpoint.no_fit import no_fit
from edgevit.models._checkpoint.parts import Contents
from edgevit.models._checkpoint.resample import resample_renamed
from edgevit.models._checkpoint.shards import NAMES, parts_of
from edgevit.models._checkpoint.weights import check_finite
from edgevit.models._hf.config import class_names, configuration
from edgevit.models._hf.model import architecture, create, has_classes, images_alone, is_classifier, tensors
from edgevit.models._hf.preprocess import PROCESSOR, preprocess_of
from edgevit.models._repository import Find, first_of, folder_files, read_config, repository_files
from edgevit.models._request import asked, weights_origin
from edgevit.models._spec import build
from edgevit.models._timm.folder import is_timm_folder, load_timm_folder

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel


def load(request: LoadRequest) -> TorchModel:
    """Build the model that config.json describes and fill it.

    `architectures` in config.json names the class; see `_hf.model.architecture` for those that are taken. One
    without a classifier gives every float tensor of its output by name (`last_hidden_state`,
    `predicted_depth`). A folder of timm's `save_for_hf` is loaded as `timm:local-dir:` does. Code that comes
    with a repository is never run: an architecture that transformers itself does not have is an error.

    Raises:
        InputError: files that are missing, malformed or don't fit.
        UnsupportedError: an architecture that transformers does not have, or that takes no images.
    """
    require("transformers")
    find = _files(request.argument)
    described = read_config(find, request.source)
    if is_timm_folder(described):
        return load_timm_folder(request, described, find)
    config = configuration(request, described)
    preprocess, origin = preprocess_of(config, lambda name: _json(find, name), request)
    kind = architecture(config, classifier=request.num_classes is not None)
    module, weights, notes = _filled(kind, config, request, find, (preprocess.height, preprocess.width))
    return build(
        tensors(images_alone(module)),
        name=Path(request.argument).name,
        source=request.source,
        preprocess=preprocess,
        preprocess_origin=origin,
        weights_origin=weights,
        warnings=notes,
        labels=request.labels or (class_names(config) if is_classifier(kind) else ()),
        problem_type=config.problem_type if is_classifier(kind) else None,
    )


def _files(argument: str) -> Find:
    folder = _folder(argument)
    if folder is not None:
        return folder_files(Path(folder))
    published = repository_files(argument)
    return lambda name: _of_any_age(published, name)


def _of_any_age(find: Find, name: str) -> Path | None:
    """A file of a repository; those older than transformers 5 do without PROCESSOR.

    Without a network nobody knows whether a repository has it. Then the older file must be in the cache.
    """
    try:
        return find(name)
    except InputError:
        if name != PROCESSOR:
            raise
        return None


def _json(find: Find, name: str) -> dict[str, Any]:
    path = find(name)
    return {} if path is None else read_json(path, "the file")


def _filled(
    kind: type[PreTrainedModel],
    config: PretrainedConfig,
    request: LoadRequest,
    find: Find,
    size: tuple[int, int],
) -> tuple[torch.nn.Module, str, tuple[str, ...]]:
    """The model with its weights, where they are from, and what was done to make them fit."""
    import torch

    config.dtype = torch.float32  # a checkpoint may ask for float16, in which this CPU is 30 times slower
    module = create(kind, config)
    if request.weights is not None and request.random_weights is not None:
        raise UsageError("--weights and --random-weights exclude each other", "give one of them")
    chosen = None
    if request.random_weights is None:
        where, found = _contents(request, find)
        chosen = _chosen(module, config, where, found, request.weights_key)
    own = int(config.num_labels) if has_classes(kind) else 0
    stored = None if chosen is None else rows(chosen.state, last_layers(module, own))
    named = request.labels or (class_names(config) if own else ())
    classes = settle(replace(request, labels=named), own, stored, "" if chosen is None else str(chosen.path))
    if classes.number != own:
        config.num_labels = classes.number
        module = create(kind, config)
    if chosen is None:
        from edgevit.models._random import randomise

        randomise(tensors(module), int(request.random_weights or 0), size)
        return module, weights_origin(request, None), classes.notes
    module, notes = _fill(module, config, chosen.state, str(chosen.path), asked(request, size))
    check_finite(module, str(chosen.path))
    return module, chosen.origin, (*classes.notes, *chosen.notes, *notes)


def _contents(request: LoadRequest, find: Find) -> tuple[Path, Contents]:
    """The file of the weights, or the index of several, and what is in it."""
    if request.weights is not None:
        return request.weights, read_contents(request.weights)
    path = first_of(find, NAMES)
    if path is None:
        raise InputError(
            f"hf:{request.argument} holds neither model.safetensors nor pytorch_model.bin",
            "give --weights FILE or --random-weights SEED",
        )
    if path.suffix == ".json":
        return path, read_shards(path, parts_of(path, find))
    return path, read_contents(path)


def _chosen(
    module: torch.nn.Module, config: PretrainedConfig, path: Path, found: Contents, key: str | None
) -> Chosen:
    """The model's part of a checkpoint: by the names of the module, or by what transformers can rename."""
    wanted = module.state_dict()
    own = [c for c in by_key(candidates(found, wanted), key) if not c.differences]
    if own:
        return with_words(path, found, one_of(path, own, wanted), own, key)
    every = renamed(found, wanted, None)
    fits = []
    for candidate in by_key(every, key):
        _, info = _from_pretrained(module, config, candidate.given, str(path))
        names = Differences(tuple(sorted(info["missing_keys"])), tuple(sorted(info["unexpected_keys"])))
        fits.append(replace(candidate, differences=names))
        if not names and not candidate.outside and len(found.parts) == 1:
            break  # nothing else is in it
    whole = [candidate for candidate in fits if not candidate.differences]
    if not whole:
        raise no_fit(path, found, fits or every, key, wanted)
    return with_words(path, found, one_of(path, whole, wanted), fits, key)


def _fill(
    module: torch.nn.Module,
    config: PretrainedConfig,
    state: Mapping[str, torch.Tensor],
    where: str,
    size: Asked,
) -> tuple[torch.nn.Module, tuple[str, ...]]:
    """Let transformers rename from the names of published files, and accept nothing but a full match.

    Position embeddings for another image size are resampled; `check_adapted` says whether that was asked for.
    """
    filled, info = _from_pretrained(module, config, state, where)
    given = state
    if info["mismatched_keys"]:
        state = resample_renamed(state, filled.state_dict(), info["mismatched_keys"], size.size)
        filled, info = _from_pretrained(module, config, state, where)
    reshaped = [
        f"{n} ({tuple(a)} in the file, {tuple(b)} in the model)" for n, a, b in info["mismatched_keys"]
    ]
    different = describe(sorted(info["missing_keys"]), sorted(info["unexpected_keys"]), sorted(reshaped))
    if different:
        raise InputError(
            f"the weights in {where} are for another architecture: {'; '.join(different)}",
            "check config.json, --num-classes, --image-size and --model-arg",
        )
    return filled, check_adapted(given, filled.state_dict(), Path(where).name, size)


def _from_pretrained(
    module: torch.nn.Module, config: PretrainedConfig, state: Mapping[str, torch.Tensor], where: str
) -> tuple[torch.nn.Module, Mapping[str, Any]]:
    """A filled model of the same class, and what of `state` did not fit."""
    from transformers import PreTrainedModel

    logging = require("transformers.utils.logging")
    before = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # its own report of differences would stand beside our error
    try:
        # Every class's own but TimmBackbone's, which makes a model of timm with weights from the network.
        found: tuple[torch.nn.Module, Mapping[str, Any]] = PreTrainedModel.from_pretrained.__func__(
            type(module),
            None,
            config=config,
            state_dict=dict(state),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            attn_implementation=config._attn_implementation,
        )
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"the weights in {where} do not fit: {brief(error)}",
            "check config.json, --num-classes, --image-size and --model-arg",
        ) from error
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
    return found


def _folder(argument: str) -> str | None:
    """The argument if it can be no repository, OWNER/NAME, or if there is such a file or folder."""
    no_repository = argument.count("/") > 1 or argument.startswith((".", "/", "~"))
    return argument if no_repository or is_there(Path(argument)) else None


SOURCE: Final = Source(
    isolated=lambda argument: is_folder(Path(argument)),
    summary="an image model in Hugging Face's format, with or without a classifier, from a folder or the hub",
    syntax="hf:DIR_OR_ID",
    load=load,
    path=_folder,
    self_contained=lambda argument, weights: _folder(argument) is not None,
)
