"""PE-AV, Meta's Perception Encoder of audio and video, through transformers: ``pe_av:NAME`` or ``pe_av:FOLDER``.

The vectors are the embeddings whose dot products are the model's audio-video logits.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from fmn.features.encoders.joint.halves import ClipHalf, Half, SpeechHalf


class _PeAv(Half):
    prefix, model_type, dim_key = "pe_av", "pe_audio_video", "hidden_size"


class PeAvVideo(_PeAv, ClipHalf):
    """A model with 16 frames encodes 16 frames evenly spaced over the clip; any other model encodes all frames."""

    processor, packages = "PeVideoVideoProcessor", ("transformers", "timm", "torchvision")

    @property
    def size_px(self) -> int:
        """Side to which the processor resizes frames; larger frames are scaled down first."""
        return int(max(self._part.size["height"], self._part.size["width"]))

    def _needed_part(self, model: Any) -> Any:
        del model.video_model.text_model
        return model.video_model

    def _vector(self, array: NDArray[Any]) -> Tensor:
        inputs = self._part([array], do_sample_frames=False, input_data_format="channels_last", return_tensors="pt")
        # Not the model's get_video_embeds: transformers 5.23 calls a method there that does not exist.
        output = self._model.video_encoder(**inputs.to(self._device)).pooler_output
        vector: Tensor = self._model.video_head(output)
        return vector


class PeAvSpeech(_PeAv, SpeechHalf):
    """An utterance as a whole, at the model's 48 kHz."""

    processor, packages = "PeAudioFeatureExtractor", ("transformers",)

    def _needed_part(self, model: Any) -> Any:
        del model.audio_model.text_model
        return model.audio_model

    def _vector(self, array: NDArray[Any]) -> Tensor:
        inputs = self._part(array, sampling_rate=self.sample_rate_hz, return_tensors="pt")
        vector: Tensor = self._model.get_audio_embeds(**inputs.to(self._device))
        return vector
