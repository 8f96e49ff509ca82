"""Files from a hub: the local cache first, the network only if it answers at once."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

from edgevit.core.errors import InputError

_SECONDS = 5.0
_HINT = (
    "fetch it once where the network is reachable: what is in the cache needs none afterwards, and a folder of `hf "
    "download OWNER/NAME --local-dir DIR` is hf:DIR or timm:local-dir:DIR; of an architecture that is here, "
    "--weights FILE or --random-weights SEED takes the place of the published weights"
)


def hub_file(repository: str, filename: str, revision: str | None = None) -> Path | None:
    """One file of a Hugging Face repository; None if the repository does not have it.

    Raises:
        InputError: not in the cache, and no network or no such repository.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        cached = hub.try_to_load_from_cache(repository, filename, revision=revision)
        if cached is hub.file_download._CACHED_NO_EXIST:  # asked before, and the repository does not have it
            return None
        if isinstance(cached, str):
            return Path(cached)
        wanted = f"{filename} of {repository}{'@' if revision else ''}{revision or ''}"
        _reach(hub.constants.ENDPOINT, wanted, hub.constants.HF_HUB_OFFLINE, hub.constants.HF_HUB_CACHE)
        return Path(hub.hf_hub_download(repository, filename, revision=revision, etag_timeout=_SECONDS))
    except LocalEntryNotFoundError as error:
        raise InputError(f"{filename} of {repository} could not be downloaded: {error}", _HINT) from error
    except EntryNotFoundError:
        return None
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise InputError(
            f"{repository} could not be read from the hub: {str(error).splitlines()[0]}", _HINT
        ) from error


def url_file(url: str) -> Path:
    """The file behind one of torchvision's weight addresses, in torch's own cache.

    Raises:
        InputError: not in the cache, and no network.
    """
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not path.is_file():
        _reach(url, path.name, False, str(path.parent))
        path.parent.mkdir(parents=True, exist_ok=True)
        expected = path.stem.rsplit("-", 1)[-1] if "-" in path.stem else None
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=expected, progress=False)
        except (OSError, RuntimeError) as error:
            raise InputError(f"{url} could not be downloaded: {error}", _HINT) from error
    return path


def _reach(address: str, wanted: str, offline: bool, cache: str) -> None:
    """Ask once, briefly: the clients' own retries take half a minute without a network."""
    error: Exception | None = None
    if not offline:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_SECONDS):
                return
        except urllib.error.HTTPError:
            return  # an answer, if an unfriendly one
        except (OSError, ValueError) as caught:
            error = caught
    why = "offline mode is set" if error is None else f"no network: {getattr(error, 'reason', error)}"
    raise InputError(
        f"{wanted} is neither in the local cache {cache} nor to be had from the hub ({why})", _HINT
    ) from error
