"""Tensor files with a header: safetensors, written atomically, read strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import written_whole
from dataset_tools.core.unicode_names import require_unicode
from fmn.renamed_keys import new_tensor_name


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str]) -> None:
    """Writes a safetensors file; the same content yields the same bytes."""
    with written_whole(path) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial, header)
        _order_header(partial)


def _order_header(path: Path) -> None:
    """Sorts the metadata in the header: safetensors writes it in arbitrary order, and files must be reproducible."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        file.seek(8)
        file.write(text.ljust(length))


def load_tensors(path: Path, wanted: str, device: torch.device) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Loads the tensors, by name, and the header of a file of the format ``wanted``.

    Raises:
        InputError: the file cannot be read, or has another format.
    """
    try:
        header = read_header(path, wanted)
        with safe_open(path, framework="pt") as file:
            return {new_tensor_name(name): file.get_tensor(name).to(device) for name in file.keys()}, header  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error


def read_header(path: Path, wanted: str) -> dict[str, str]:
    """Reads the header of a file of the format ``wanted``, after checking that the file is complete.

    Raises:
        InputError: the file cannot be read, or has another format.
    """
    require_unicode(path)
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error
    if header.get("format") != wanted:
        raise InputError(
            f"The format is {header.get('format')!r}",
            where=path,
            expected=wanted,
            next_step="train again with another --run, or use the version of fmn that wrote it",
        )
    return header


def unreadable(path: Path, error: Exception) -> InputError:
    """Returns the error for a file that is damaged, or whose header is incomplete."""
    return InputError(
        f"The header has no {error}" if isinstance(error, KeyError) else f"The file cannot be read: {error}",
        where=path,
        expected="a safetensors file written by fmn train",
        next_step="remove the folder and train again",
    )
