"""torchaudio speech models (HuBERT, wav2vec 2.0, WavLM): ``torchaudio:BUNDLE``, ``torchaudio:BUNDLE@FILE``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dataset_tools.core import torch_compat
from dataset_tools.core.errors import InputError, ToolkitError
from fmn.features.encoders.interface import NO_LICENCE, Layer, read_layer, source_of, weights_digest
from fmn.features.encoders.libraries import absent, no_weights_at

SHORTEST = 400
"""Samples required for one frame; a shorter utterance is zero-padded."""


class TorchaudioSpeech:
    """A bundle of torchaudio.pipelines: features are the output of a transformer layer, 50 frames per second."""

    revision = ""

    def __init__(self, argument: str, *, device: str, layer: Layer = "last") -> None:
        """Loads the model.

        Args:
            argument: name of a bundle; its weights are loaded from torch's cache or downloaded, or, with
                ``BUNDLE@FILE``, loaded from a file (.pt, .pth or .safetensors with the state dict).
            device: a torch device.
            layer: the layer to use.

        Raises:
            InputError: there is no such bundle or layer, or its weights are missing or do not match.
        """
        name, _, file = argument.partition("@")
        pipelines: Any = torch_compat.torchaudio().pipelines
        bundle: Any = getattr(pipelines, name, None)
        if not hasattr(bundle, "_normalize_waveform"):
            raise InputError(
                f"torchaudio has no bundle {name!r}",
                where="audio.encoder",
                expected="such as HUBERT_BASE, WAV2VEC2_BASE or WAVLM_BASE (docs of torchaudio.pipelines list them)",
                next_step="check the name after torchaudio:",
            )
        model = _load(bundle, name, Path(file).expanduser() if file else None)
        stated = re.search(r"under \[?`?([\w. -]+?) License", bundle.__doc__ or "")
        self.name = f"torchaudio:{name}"
        self.licence = stated[1] if stated else NO_LICENCE
        self.sample_rate_hz = int(bundle.sample_rate)
        self.source = source_of(self.name, weights_digest(model.state_dict()), ("torchaudio",), layer=layer)
        self._layer = layer
        self._normalizes = bool(bundle._normalize_waveform)
        self._device = torch.device(device)
        self._model: Any = model.eval().to(self._device)
        self.layers = int(bundle._params["encoder_num_layers"])
        self.dim = self.encode(np.zeros(SHORTEST, np.float32)).shape[1]

    @torch.inference_mode()
    def encode(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n] -> [T, D], T about n / 320."""
        samples = torch.from_numpy(np.pad(waveform, (0, max(0, SHORTEST - len(waveform))))).to(self._device)
        if self._normalizes:
            samples = nn.functional.layer_norm(samples, samples.shape)
        layers, _ = self._model.extract_features(samples[None])
        features: NDArray[np.float32] = read_layer(layers, self._layer, self.name)[0].cpu().numpy()
        return features


def _load(bundle: Any, name: str, file: Path | None) -> nn.Module:
    models: Any = torch_compat.torchaudio().models
    factory = models.wavlm_model if bundle._model_type == "WavLM" else models.wav2vec2_model
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(bundle._path).name
    model = factory(**bundle._params)
    if file is not None and not file.is_file():
        raise no_weights_at(file)
    try:
        state = bundle._get_state_dict({"progress": False}) if file is None else _state_in(file)
        model.load_state_dict(state)
    except ToolkitError:
        raise
    except Exception as error:  # readers of weights raise various errors for invalid files
        raise absent(
            f"torchaudio:{name}",
            error,
            expected=f"the published file {bundle._path} at {cached}, with every parameter of the model",
            next_step=f"download it with network access and put it there, or pass it: torchaudio:{name}@FILE",
        ) from error
    return model  # type: ignore[no-any-return]


def _state_in(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state
