"""PE-AV, Meta's Perception Encoder of sound and video, through transformers: ``pe_av:NAME`` or ``pe_av:FOLDER``.

The vectors are the embeddings whose products are the model's own audio-video logits.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from fmn.features.encoders.joint.halves import ClipHalf, Half, SpeechHalf


class _PeAv(Half):
    prefix, model_type, dim_key = "pe_av", "pe_audio_video", "hidden_size"


class PeAvVideo(_PeAv, ClipHalf):
    """A model of 16 frames sees these, evenly spaced over the clip; every other one sees all frames at once."""

    processor, packages = "PeVideoVideoProcessor", ("transformers", "timm", "torchvision")

    @property
    def size_px(self) -> int:
        """The side that the processor brings frames to; what is larger is made smaller before."""
        return int(max(self._part.size["height"], self._part.size["width"]))

    def _kept(self, model: Any) -> Any:
        del model.video_model.text_model
        return model.video_model

    def _vector(self, given: NDArray[Any]) -> Tensor:
        inputs = self._part([given], do_sample_frames=False, input_data_format="channels_last", return_tensors="pt")
        # Not the model's get_video_embeds: transformers 5.23 calls a method there that does not exist.
        found = self._model.video_encoder(**inputs.to(self._device)).pooler_output
        vector: Tensor = self._model.video_head(found)
        return vector


class PeAvSpeech(_PeAv, SpeechHalf):
    """An utterance as a whole, at the model's 48 kHz."""

    processor, packages = "PeAudioFeatureExtractor", ("transformers",)

    def _kept(self, model: Any) -> Any:
        del model.audio_model.text_model
        return model.audio_model

    def _vector(self, given: NDArray[Any]) -> Tensor:
        inputs = self._part(given, sampling_rate=self.sample_rate_hz, return_tensors="pt")
        vector: Tensor = self._model.get_audio_embeds(**inputs.to(self._device))
        return vector
