"""Checkpoints: config.json, checkpoint.safetensors (the model), state.safetensors (the training state).

``state.safetensors`` holds weights, optimizer state and, in its header, everything else needed to resume, so that one
atomic rename moves a run from one epoch to the next; state.json is a readable copy of that header. No random state is
stored: the generators of an epoch are seeded from the run's seed and the epoch number.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor

from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.files import write_bytes
from dataset_tools.manifests import ClassLabel
from fmn.config import Config, as_dict, config_from_dict
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import RetrievalModel
from fmn.systems import find_system
from fmn.training.learned_classes import NEW_CLASSES_FILE, LearnedClasses, load_learned_classes
from fmn.training.tensor_files import load_tensors, read_header, save_tensors, unreadable

CONFIG_FILE = "config.json"
CHECKPOINT_FILE = "checkpoint.safetensors"
STATE_FILE = "state.safetensors"
STATE_COPY_FILE = "state.json"
CHECKPOINT_FORMAT = "fmn.checkpoint/1"
STATE_FORMAT = "fmn.state/1"


@dataclass(frozen=True)
class About:
    """Metadata of a checkpoint, stored in the header of its file.

    Attributes:
        system: the system's name.
        classes: the class table that it was trained on.
        video_dim, audio_dim: sizes of a clip's vector and of an audio frame.
        sources: digests that identify the features it was trained on, video and audio.
        epoch: number of epochs after which its weights were saved.
        audio_layers: number of encoder layers in an audio frame, if weights over them are learned.
    """

    system: str
    classes: tuple[ClassLabel, ...]
    video_dim: Annotated[int, msgspec.Meta(ge=1, le=10**6)]
    audio_dim: Annotated[int, msgspec.Meta(ge=1, le=10**6)]
    sources: tuple[str, str]
    epoch: int
    audio_layers: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 1


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A trained run: its configuration, its model in evaluation mode, and the metadata of its checkpoint.

    Attributes:
        versions: of the files of the model, which tell whether they were replaced since.
        learned: the classes learned after training, which the model then includes; None if there are none.
    """

    path: Path
    config: Config
    model: RetrievalModel
    about: About
    versions: tuple[object, ...]
    learned: LearnedClasses | None = None

    def require_unchanged(self) -> None:
        """Checks that the files of the model are still those that were loaded, before results of it are stored.

        Raises:
            StoppedError: it was trained further, or learned classes, in the meantime.
        """
        if _versions(self.path) != self.versions:
            raise StoppedError(
                "The run was trained further, or learned classes, while the command was using it",
                where=self.path,
                expected="the same weights and classes from start to end: the results are of the earlier ones",
                next_step="run the same command again, if necessary when the training has ended",
            )


def save_config(run: Path, config: Config) -> None:
    """Writes runs/NAME/config.json."""
    write_bytes(run / CONFIG_FILE, _json(as_dict(config)))


def load_config(run: Path) -> Config:
    """Reads runs/NAME/config.json.

    Raises:
        InputError: there is no run, or its configuration cannot be read.
    """
    path = run / CONFIG_FILE
    if not path.is_file():
        raise InputError(
            "There is no run",
            where=run,
            expected=f"a folder with {CONFIG_FILE} and {CHECKPOINT_FILE}, written by fmn train",
            next_step="check the path (runs are under runs/ in the workspace), or train first: fmn train --help",
        )
    try:
        values = json.loads(path.read_bytes(), parse_constant=_finite)
        config = config_from_dict(values)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The file is not valid JSON: {error}",
            where=path,
            expected="the configuration that fmn train wrote",
            next_step="restore the file; or train again with another --run, or into this folder after removing it",
        ) from error
    except InputError as error:
        raise InputError(error.found, where=path, expected=error.expected, next_step=error.next_step) from error
    try:
        find_system(config.system)
    except InputError as error:  # without a place, it is the name that is wrong; with one, the file of a system
        where = error.where or path
        raise InputError(error.found, where=where, expected=error.expected, next_step=error.next_step) from error
    return _with_moved_features(run, config)


def _with_moved_features(run: Path, config: Config) -> Config:
    """Returns ``config`` with own features found in the run's workspace if that was moved: paths in it are absolute."""
    workspace = next((folder.parent for folder in run.resolve().parents if folder.name == "runs"), None)
    for part in ("video", "audio"):
        section = getattr(config, part)
        if workspace is None or not section.features:
            continue
        parts = Path(section.features).parts
        paths = [section.features, *(workspace.joinpath(*parts[start:]) for start in range(1, len(parts) - 1))]
        found = next(filter(os.path.exists, paths), section.features)  # not what is in folders that may not be read
        config = replace(config, **{part: replace(section, features=str(found))})
    return config


def _finite(constant: str) -> float:
    """The largest number for ``Infinity``, which earlier versions allowed; NaN stays, and is refused."""
    return max(min(float(constant), sys.float_info.max), -sys.float_info.max)


def save_checkpoint(run: Path, model: RetrievalModel, about: About) -> None:
    """Writes runs/NAME/checkpoint.safetensors: weights and memories, and ``about`` in its header."""
    header = {"format": CHECKPOINT_FORMAT, "about": msgspec.json.encode(about).decode()}
    save_tensors(run / CHECKPOINT_FILE, model.state_dict(), header)


def load_run(run: Path, device: torch.device) -> LoadedRun:
    """Loads the model of a run.

    Raises:
        InputError: there is no run, it is not trained yet, or its files do not match.
    """
    config = load_config(run)
    path = run / CHECKPOINT_FILE
    if not path.is_file():
        raise _no_checkpoint(run)
    versions = _versions(run)
    tensors, header = load_tensors(path, CHECKPOINT_FORMAT, device)
    about = _about(path, header)
    system = find_system(config.system)
    sizes = (about.video_dim, about.audio_dim, about.audio_layers)
    try:
        with torch.device("meta"):  # allocates no memory, whatever sizes the configuration and the header claim
            claimed = system.model(config, *sizes)
            claimed.load_state_dict({name: tensor.to("meta") for name, tensor in tensors.items()})
        model = system.model(config, *sizes).to(device)
        model.load_state_dict(tensors)
    except (RuntimeError, OverflowError, ValueError) as error:
        raise _mismatch(path, str(error)) from error
    learned = load_learned_classes(run, path, device)
    if learned is not None and isinstance(model, FeatureMemoryNetwork):
        model.new_classes = learned.memory
    return LoadedRun(run, config, model.eval(), about, versions, learned)


def _versions(run: Path) -> tuple[object, ...]:
    """Identifies the files of a model, each of which is replaced as a whole; None for a missing one."""
    found = ((run / name).stat() if (run / name).exists() else None for name in (CHECKPOINT_FILE, NEW_CLASSES_FILE))
    return tuple(file and (file.st_size, file.st_mtime_ns) for file in found)


def checkpoint_epoch(run: Path) -> int:
    """Returns the epoch of the weights in a run's checkpoint; 0 without a checkpoint.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    path = run / CHECKPOINT_FILE
    return _about(path, read_header(path, CHECKPOINT_FORMAT)).epoch if path.is_file() else 0


def _about(path: Path, header: Mapping[str, str]) -> About:
    try:
        return msgspec.json.decode(header["about"], type=About)
    except (KeyError, ValueError, RecursionError) as error:
        raise unreadable(path, error) from error


def require_checkpoint(run: Path) -> None:
    """Checks that a run that was trained has a complete checkpoint; training further might not write it again.

    Raises:
        InputError: it is missing, truncated, or of another format.
    """
    path = run / CHECKPOINT_FILE
    if not path.is_file():
        raise _no_checkpoint(run)
    read_header(path, CHECKPOINT_FORMAT)


def _no_checkpoint(run: Path) -> InputError:
    """Returns the error: a checkpoint is saved before the state, so it is lost if the state has a best epoch."""
    if not (read_state(run) or {}).get("best"):
        return InputError(
            "The run has no checkpoint yet",
            where=run,
            expected=CHECKPOINT_FILE,
            next_step="finish training: run the same fmn train command again",
        )
    return InputError(
        "The checkpoint of the run is missing, although the run was trained",
        where=run,
        expected=CHECKPOINT_FILE,
        next_step="copy the file from where the run was trained, or remove the folder and train again",
    )


def _mismatch(path: Path, found: str) -> InputError:
    return InputError(
        f"The checkpoint does not match the {CONFIG_FILE} next to it: {found}",
        where=path,
        expected="the checkpoint and the configuration of the same run",
        next_step="train again with another --run",
    )


def save_state(
    run: Path, model: RetrievalModel, optimizer: torch.optim.Optimizer | None, values: Mapping[str, Any]
) -> None:
    """Writes state.safetensors, with ``values`` (JSON-ready) in its header, and state.json, their readable copy."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, entries in (optimizer.state_dict()["state"] if optimizer else {}).items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in entries.items()}
    save_tensors(run / STATE_FILE, tensors, {"format": STATE_FORMAT, "state": json.dumps(values)})
    write_bytes(run / STATE_COPY_FILE, _json(values))


def read_state(run: Path) -> dict[str, Any] | None:
    """Reads the values of `save_state`; None if the run has no state yet.

    Raises:
        InputError: the file cannot be read.
    """
    path = run / STATE_FILE
    if not path.is_file():
        return None
    try:
        values = json.loads(read_header(path, STATE_FORMAT)["state"])
        if not isinstance(values, dict):
            raise ValueError("`state` is not an object")
    except (InputError, KeyError, ValueError, RecursionError) as error:
        cause = error if isinstance(error, InputError) else unreadable(path, error)
        raise InputError(
            cause.found,
            where=path,
            expected=cause.expected,
            next_step="restore the file; or remove it, which keeps the trained weights, and name the data with "
            "--manifest; or train again with another --run",
        ) from error
    return values


def load_state(run: Path, model: RetrievalModel, optimizer: torch.optim.Optimizer | None, device: torch.device) -> None:
    """Restores model and optimizer from the saved state; `read_state` reads its values.

    Raises:
        InputError: the file cannot be read.
    """
    tensors, _ = load_tensors(run / STATE_FILE, STATE_FORMAT, device)
    try:
        model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
        if optimizer is not None:
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                kind, _, rest = name.partition(".")
                if kind == "optimizer":
                    index, _, entry = rest.partition(".")
                    state.setdefault(int(index), {})[entry] = tensor
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, ValueError, KeyError) as error:
        raise unreadable(run / STATE_FILE, ValueError(f"its tensors do not match the run: {error}")) from error


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"
