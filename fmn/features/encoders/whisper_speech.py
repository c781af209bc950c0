"""Whisper encoder through transformers: ``whisper:tiny``, ``whisper:NAME`` on the model hub, or a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fmn.features.encoders.interface import Layer, read_layer, source_of, weights_digest
from fmn.features.encoders.libraries import licence_on_card
from fmn.features.encoders.transformers_vision import load_pretrained, load_processor


class WhisperSpeech:
    """A layer of Whisper's encoder, 50 frames per second; utterances longer than 30 s are encoded in segments."""

    def __init__(self, argument: str, *, device: str, layer: Layer = "last") -> None:
        """Loads encoder and feature extractor.

        Args:
            argument: ``tiny``, ``base``, ``small`` etc. for OpenAI's models; a name on the hub; or a folder.
            device: a torch device.
            layer: the layer to use.

        Raises:
            InputError: they are not available, or there is no such layer.
        """
        is_short = "/" not in argument and not Path(argument).expanduser().is_dir()
        argument = f"openai/whisper-{argument}" if is_short else argument
        model, folder, self.revision = load_pretrained(argument, "WhisperModel", "whisper")
        self._mel = load_processor("WhisperFeatureExtractor", folder, f"whisper:{argument}")
        encoder = model.get_encoder()
        self.name = "whisper" if Path(argument).expanduser().is_dir() else f"whisper:{argument}"
        self.licence = licence_on_card(folder)
        self.sample_rate_hz = int(self._mel.sampling_rate)
        self.layers = int(model.config.encoder_layers)
        self.dim = int(model.config.d_model) * (self.layers if layer == "learned" else 1)
        self.source = source_of(
            "whisper",
            weights_digest(encoder.state_dict()),
            ("transformers",),
            layer=layer,
            mel={key: str(value) for key, value in self._mel.to_dict().items() if key != "mel_filters"},
        )
        self._layer = layer
        self._device = torch.device(device)
        self._encoder = encoder.to(self._device)
        self._samples_a_frame = self._mel.n_samples // model.config.max_source_positions
        self.encode(np.zeros(self._samples_a_frame, np.float32))  # checks that the layer exists

    @torch.inference_mode()
    def encode(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n] -> [T, D], T = n / 320 rounded up; the padding of a segment to 30 s is removed again."""
        rows = []
        for start in range(0, len(waveform), self._mel.n_samples):
            segment = waveform[start : start + self._mel.n_samples]
            mel = self._mel(segment, sampling_rate=self.sample_rate_hz, return_tensors="pt").input_features
            layers = self._encoder(mel.to(self._device), output_hidden_states=True).hidden_states[1:]
            frames = -(-len(segment) // self._samples_a_frame)
            rows.append(read_layer(layers, self._layer, self.name)[0, :frames].cpu().numpy())
        return np.concatenate(rows)
