"""openWakeWord's speech_embedding (by Google): a small speech encoder; its weights are installed with a package."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError
from fmn.features.encoders.interface import Layer, source_of
from fmn.features.encoders.libraries import library, package_file, takes_nothing

FILES = {
    "melspectrogram.onnx": "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
    "embedding_model.onnx": "ba754db3cd768a524c655ea90655ee5e6055a43b8dfd29366a11e93716ae9e51",
}
WINDOW, HOP = 76, 8
"""Mel frames (10 ms each) per vector, and from one vector to the next."""
AT_ONCE = 64
"""Windows per pass of the network, which takes 0.7 MB for each; the number does not change their vectors."""
SAMPLES = 160
"""Samples from one mel frame to the next."""


class OpenWakeWord:
    """96 values every 80 ms, each computed from the surrounding 0.76 s; an utterance is padded with silence."""

    name, revision = "openwakeword", "0.4.0"
    licence = "Apache-2.0 of the embedding, by Google; openWakeWord calls the models it ships CC BY-NC-SA 4.0"
    sample_rate_hz, dim = 16_000, 96
    comes_with_package = True

    def __init__(self, argument: str = "", *, device: str, layer: Layer = "last") -> None:
        """Loads the two networks, always on the CPU; takes no argument and offers no choice of layer.

        Raises:
            InputError: the extra ``light`` is not installed, or an argument or a layer is given.
        """
        takes_nothing(self.name, argument)
        if layer not in ("last", "learned"):  # the caller rejects "learned" for encoders without layers
            raise InputError(
                f"The encoder {self.name} has no choice of layer",
                where="audio.layer",
                next_step="omit audio.layer",
            )
        runtime = library("onnxruntime", "light")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # utterances are encoded in parallel
        self._mel, self._embedding = (
            runtime.InferenceSession(
                str(package_file("openwakeword", "resources", "models", file, sha256=sha256)),
                options,
                providers=["CPUExecutionProvider"],
            )
            for file, sha256 in FILES.items()
        )
        self.source = source_of(self.name, " ".join(FILES.values()), ("onnxruntime",), centered=True)

    def encode(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n] -> [T, 96], T = n / 1280 rounded up, at least 1."""
        count = max(1, -(-len(waveform) // (HOP * SAMPLES)))
        needed = ((count - 1) * HOP + WINDOW + 3) * SAMPLES  # the mel network drops three frames
        before = (WINDOW - HOP) // 2 * SAMPLES
        samples = np.zeros(needed, np.float32)
        samples[before : before + len(waveform)] = waveform * 32767  # trained on 16-bit samples
        mel: Any = self._mel.run(None, {"input": samples[None]})[0].squeeze() / 10 + 2  # as openWakeWord scales it
        windows = np.stack([mel[start * HOP : start * HOP + WINDOW] for start in range(count)])
        passes = (windows[start : start + AT_ONCE, ..., None] for start in range(0, count, AT_ONCE))
        vectors = [self._embedding.run(None, {"input_1": part})[0].reshape(len(part), -1) for part in passes]
        return np.concatenate(vectors)
