"""New classes of a run: new_classes.safetensors, next to its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import ClassLabel
from fmn.models.memory import MODALITIES
from fmn.models.new_class_memory import ModalityMemory, NewClassMemory, WhitenedMeans
from fmn.training.tensor_files import load_tensors, save_tensors

NEW_CLASSES_FILE = "new_classes.safetensors"
NEW_CLASSES_FORMAT = "fmn.new-classes/1"


@dataclass(frozen=True, eq=False)
class LearnedClasses:
    """Classes that a run learned after training.

    Attributes:
        checkpoint: SHA-256 of the checkpoint that computed their vectors.
        classes: the new classes, sorted by id.
        items: by modality, ids of the items written, in the order of the memory's rows.
        sha256s: SHA-256 digests of their contents, in the same order.
        memory: the memory that represents them.
    """

    checkpoint: str
    classes: tuple[ClassLabel, ...]
    items: Mapping[str, tuple[str, ...]]
    sha256s: Mapping[str, tuple[str, ...]]
    memory: NewClassMemory

    @property
    def note(self) -> str:
        """Caveats of results of the run."""
        names = ", ".join(label.id for label in self.classes)
        counts = f"{count_of(len(self.items['video']), 'clip')} and {count_of(len(self.items['audio']), 'utterance')}"
        return f"Classes learned after training, from {counts}: {names}."


class _Header(msgspec.Struct):
    checkpoint: str
    classes: tuple[ClassLabel, ...]
    items: dict[str, tuple[str, ...]]
    sha256s: dict[str, tuple[str, ...]]


def save_learned_classes(run: Path, learned: LearnedClasses) -> None:
    """Writes runs/NAME/new_classes.safetensors."""
    tensors: dict[str, Tensor] = {}
    for modality in MODALITIES:
        held = learned.memory[modality]
        tensors[f"{modality}.classes"] = held.classes
        for number, (part, rows) in enumerate(zip(held.parts, held.rows, strict=True)):
            tensors[f"{modality}.{number}.rows"] = rows
            tensors |= {f"{modality}.{number}.{field.name}": getattr(part, field.name) for field in fields(part)}
    header = _Header(learned.checkpoint, learned.classes, dict(learned.items), dict(learned.sha256s))
    about = msgspec.json.encode(header).decode()
    save_tensors(run / NEW_CLASSES_FILE, tensors, {"format": NEW_CLASSES_FORMAT, "about": about})


def load_learned_classes(run: Path, checkpoint: Path, device: torch.device) -> LearnedClasses | None:
    """Loads the classes that a run learned after training; None if there are none.

    Raises:
        InputError: the file cannot be read, or belongs to another checkpoint.
    """
    path = run / NEW_CLASSES_FILE
    if not path.is_file():
        return None
    try:
        tensors, header = load_tensors(path, NEW_CLASSES_FORMAT, device)
        about = msgspec.json.decode(header["about"], type=_Header)
        memory = {modality: _memory_in(tensors, modality) for modality in MODALITIES}
        _check(about, memory)
    except (InputError, KeyError, ValueError, RecursionError) as error:
        raise InputError(
            error.found if isinstance(error, InputError) else f"The file cannot be read: {error}",
            where=path,
            expected="a file written by fmn learn",
            next_step="remove it and learn again",
        ) from error
    if about.checkpoint != sha256_of(checkpoint):
        raise InputError(
            "The new classes were learned with a different checkpoint",
            where=path,
            expected=f"the checkpoint with the SHA-256 {about.checkpoint}",
            next_step="remove the file and learn again: fmn learn RUN PAIRS",
        )
    return LearnedClasses(about.checkpoint, about.classes, about.items, about.sha256s, memory)


def _memory_in(tensors: Mapping[str, Tensor], modality: str) -> ModalityMemory:
    count = sum(name.startswith(f"{modality}.") and name.endswith(".rows") for name in tensors)
    parts = tuple(
        WhitenedMeans(**{field.name: tensors[f"{modality}.{number}.{field.name}"] for field in fields(WhitenedMeans)})
        for number in range(count)
    )
    rows = tuple(tensors[f"{modality}.{number}.rows"] for number in range(count))
    return ModalityMemory(parts, rows, tensors[f"{modality}.classes"])


def _check(about: _Header, memory: NewClassMemory) -> None:
    """Raises ValueError if header and tensors do not match."""
    for modality in MODALITIES:
        held = memory[modality]
        counts = {len(about.items[modality]), len(about.sha256s[modality]), len(held.classes), *map(len, held.rows)}
        if len(counts) != 1 or not held.parts:
            raise ValueError(f"the {modality} memory has rows of {sorted(counts)} items")
        if sorted(set(held.classes.tolist())) != list(range(len(about.classes))):
            raise ValueError(f"the {modality} memory does not contain all of the {len(about.classes)} classes")
