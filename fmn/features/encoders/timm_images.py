"""timm image models: ``timm:NAME``, ``timm:NAME@FILE`` with a custom checkpoint, ``timm:FOLDER``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError, ToolkitError
from fmn.features.encoders.interface import NO_LICENCE, source_of, weights_digest
from fmn.features.encoders.libraries import absent, check_hub, library, licence_on_card, no_weights_at

BATCH = 16


class TimmImages:
    """A timm model without its classifier: one vector per frame."""

    frames = None
    revision = ""

    def __init__(self, argument: str, *, device: str) -> None:
        """Loads the model.

        Args:
            argument: name of a timm model (its weights are loaded from the model hub or its cache); ``NAME@FILE``; or a
                folder with config.json and the weights, in timm's format for the hub.
            device: a torch device.

        Raises:
            InputError: there is no such model, or its weights are missing or do not match.
        """
        timm = library("timm")
        model = _load(timm, argument)
        self._use(timm, model, device, _licence_in(argument))
        is_folder = Path(argument).expanduser().is_dir()
        self.name = f"timm:{_architecture(model) if is_folder else argument.partition('@')[0]}"

    def _use(self, timm: Any, model: Any, device: str, licence: str) -> None:
        """Sets up a loaded model; ``licence`` is the fallback if timm states none."""
        settings = timm.data.resolve_model_data_config(model)
        self._place(model, device, settings["mean"], settings["std"])
        self.licence = model.pretrained_cfg.get("license") or licence
        self.size_px = int(settings["input_size"][1])
        self.source = source_of(
            f"timm:{_architecture(model)}",
            weights_digest(model.state_dict()),
            ("timm",),
            size_px=self.size_px,
            mean=settings["mean"],
            std=settings["std"],
        )
        self.dim = self.encode(np.zeros((1, self.size_px, self.size_px, 3), np.uint8)).shape[1]

    def _place(self, model: Any, device: str, mean: Sequence[float], std: Sequence[float]) -> None:
        """Puts a loaded model on its device, for pixels normalized by ``mean`` and ``std`` of the channels."""
        if getattr(model, "num_classes", 0):  # without its classifier, it outputs what that would get
            model.reset_classifier(0)
        self._device = torch.device(device)
        self._model = model.eval().to(self._device)
        self._mean = torch.tensor(mean, device=self._device)[:, None, None]
        self._std = torch.tensor(std, device=self._device)[:, None, None]

    @torch.inference_mode()
    def encode(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[T, size_px, size_px, 3] -> [T, D]."""
        rows = []
        for start in range(0, len(frames), BATCH):
            part = torch.from_numpy(np.ascontiguousarray(frames[start : start + BATCH])).to(self._device)
            pixels = part.permute(0, 3, 1, 2).float() / 255
            rows.append(self._model((pixels - self._mean) / self._std).float().cpu())
        features: NDArray[np.float32] = torch.cat(rows).numpy()
        return features


def _architecture(model: Any) -> str:
    return model.pretrained_cfg.get("architecture") or type(model).__name__


def _load(timm: Any, argument: str) -> Any:
    """Loads the model and its weights; timm checks that no parameter is missing."""
    name, _, file = argument.partition("@")
    folder = Path(argument).expanduser()
    try:
        if folder.is_dir():
            return timm.create_model(f"local-dir:{folder}", pretrained=True)
        if not timm.is_model(name.partition(".")[0]) and ":" not in name:
            raise InputError(
                f"timm {timm.__version__} has no model {name!r}",
                where="video.encoder",
                expected="a name from timm.list_models(), or a folder with config.json and weights",
                next_step="check the name, or install a timm that has the model",
            )
        if not file:
            check_hub()
            return timm.create_model(name, pretrained=True)
        path = Path(file).expanduser()
        if not path.is_file():
            raise no_weights_at(path)
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    except ToolkitError:
        raise
    except Exception as error:  # readers of weights raise various errors for invalid files
        raise absent(
            f"timm:{argument}",
            error,
            expected="weights in the cache of the model hub, a folder or a file, with every parameter of the model",
            next_step='download the model once with network access (python -c "import timm; '
            f"timm.create_model('{name}', pretrained=True)\"), or pass its file: timm:{name}@FILE",
        ) from error


def _licence_in(argument: str) -> str:
    folder = Path(argument).expanduser()
    return licence_on_card(folder) if folder.is_dir() else NO_LICENCE
