"""Optional libraries (timm, transformers, onnxruntime), offline use of the model hub, and licenses of model cards."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

from dataset_tools.core import torch_compat
from dataset_tools.core.errors import InputError
from dataset_tools.core.extras import install_command
from dataset_tools.core.files import sha256_of
from dataset_tools.core.telemetry import disable_telemetry
from fmn.features.encoders.interface import NO_LICENCE


def library(name: str, extra: str = "encoders") -> Any:
    """Imports an optional library.

    Raises:
        InputError: it is not installed, or a library that it imports is broken.
    """
    disable_telemetry()
    try:
        if name in ("timm", "transformers"):  # both import torchaudio or torchvision, which may need a fix first
            torch_compat.torchaudio()
            if importlib.util.find_spec("torchvision"):
                torch_compat.torchvision()
        module = importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"The library {name} cannot be imported: {error}",
            expected=f"the extra {extra!r} of this package",
            next_step=install_command(extra),
        ) from error
    if name == "transformers":
        module.utils.logging.disable_progress_bar()
    return module


@functools.cache
def check_hub() -> None:
    """Contacts the model hub once; if it does not respond, enables huggingface_hub's offline mode in this process.

    Without a network, each requested file would be retried for 23 s, even if a copy is in the cache.
    """
    hub = library("huggingface_hub")
    try:
        hub.get_session().head(hub.constants.ENDPOINT, timeout=5)
    except Exception:  # of requests or httpx, depending on the version of huggingface_hub
        hub.constants.HF_HUB_OFFLINE = True


def package_file(package: str, *parts: str, sha256: str) -> Path:
    """Returns a file of weights shipped with a package of the extra ``light``, without importing the package.

    Raises:
        InputError: the package is not installed, or its file is a different one.
    """
    spec = importlib.util.find_spec(package)
    locations = list(spec.submodule_search_locations or []) if spec else []
    path = Path(locations[0], *parts) if locations else None
    if path is None or not path.is_file() or sha256_of(path) != sha256:
        raise InputError(
            f"The package {package} is not installed" if path is None else f"The package {package} ships other weights",
            where=path,
            expected=f"{parts[-1]} with the SHA-256 {sha256}",
            next_step=install_command("light"),
        )
    return path


def licence_on_card(folder: Path) -> str:
    """Reads the license from the header of the model card, README.md next to the weights, as on model hubs."""
    card = folder / "README.md"
    if card.is_file():
        header = card.read_text("utf-8", errors="replace").partition("---")[2].partition("\n---")[0]
        if found := re.search(r"^license:\s*['\"]?([\w.+-]+)", header, flags=re.MULTILINE):
            return found[1]
    return NO_LICENCE


def takes_nothing(encoder: str, argument: str) -> None:
    """Rejects an argument for an encoder without arguments, instead of ignoring it.

    Raises:
        InputError: there is an argument.
    """
    if argument:
        raise InputError(
            f"The encoder {encoder} takes no argument, but {argument!r} is given",
            where=f"{encoder}:{argument}",
            expected=f"{encoder} alone: its weights come with a package",
            next_step="omit the argument after the colon, or choose another encoder (docs/encoders.md)",
        )


def absent(encoder: str, error: Exception, *, expected: str, next_step: str) -> InputError:
    """Creates the error for an encoder whose weights cannot be loaded."""
    reason = " ".join(str(error).split())[:300] or repr(error)
    return InputError(
        f"The weights of the encoder cannot be loaded: {reason}",
        where=encoder,
        expected=expected,
        next_step=next_step,
    )


def no_weights_at(path: Path) -> InputError:
    """Returns the error for a file of weights that does not exist; a run has its path as it was given."""
    return InputError(
        "There is no such file of weights",
        where=path.absolute(),
        expected="a file; a relative path starts at the current folder",
        next_step="check the path; for a run, start in the folder where it was trained, or write the absolute path "
        "into its config.json",
    )
