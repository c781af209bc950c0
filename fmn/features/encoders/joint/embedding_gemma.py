"""EmbeddingGemma 2, Google's encoder of text, audio and video: ``embedding_gemma:NAME`` or ``embedding_gemma:FOLDER``.

A vector is the mean of the last hidden states over all input tokens, as in the model's sentence-transformers
configuration: the tokens of the frames or the audio, and the few special tokens around them. There is no other text.
"""

from __future__ import annotations

from math import isqrt
from threading import Lock
from typing import Any, ClassVar

from numpy.typing import NDArray
from torch import Tensor

from dataset_tools.core.errors import InputError
from fmn.features.encoders.joint.halves import ClipHalf, Half, SpeechHalf


class _EmbeddingGemma(Half):
    prefix, model_type, dim_key = "embedding_gemma", "embedding_gemma2", "embedding_dim"
    processor, packages = "EmbeddingGemma2Processor", ("transformers", "torchvision")
    modality: ClassVar[str]
    _lock = Lock()

    def _needed_part(self, model: Any) -> Any:
        if getattr(model, f"{self.modality}_tower") is None:
            raise InputError(
                f"The model has no {self.modality} tower",
                where=self.name,
                expected=f"{self.modality}_config in its config.json, and the weights",
                next_step="use the complete model",
            )
        for other in {"vision", "audio"} - {self.modality}:
            setattr(model, f"{other}_tower", None)
            setattr(model, f"embed_{other}", None)
        return model

    def _settings(self) -> dict[str, str]:
        tokens = (self._processor.boi_token, self._processor.video_token, self._processor.eoi_token)
        sound = (self._processor.boa_token, self._processor.audio_token, self._processor.eoa_token)
        return super()._settings() | {"tokens": str(self._processor.tokenizer("".join([*tokens, *sound])).input_ids)}

    def _mean(self, **inputs: Any) -> Tensor:
        with self._lock:  # a call modifies the tokenizer, and several threads encode
            prepared = self._processor(**inputs, return_tensors="pt")
        mean: Tensor = self._model(**prepared.to(self._device)).last_hidden_state.mean(dim=1)
        return mean


class EmbeddingGemmaVideo(_EmbeddingGemma, ClipHalf):
    """Encodes the frames that the processor samples: one per second, at most 32, unless its files specify otherwise."""

    modality = "vision"

    @property
    def size_px(self) -> int:
        """Side of a square frame with the processor's maximum number of tokens; larger frames are scaled down first."""
        return isqrt(self._part.max_soft_tokens) * int(self._part.patch_size * self._part.pooling_kernel_size)

    def _vector(self, array: NDArray[Any]) -> Tensor:
        return self._mean(videos=[array], do_sample_frames=False, input_data_format="channels_last")


class EmbeddingGemmaSpeech(_EmbeddingGemma, SpeechHalf):
    """Encodes the first 30 seconds of an utterance: the processor truncates the rest."""

    modality = "audio"

    def _vector(self, array: NDArray[Any]) -> Tensor:
        return self._mean(audio=[array], sampling_rate=self.sample_rate_hz)
