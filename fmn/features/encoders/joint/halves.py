"""Shared parts of joint-encoder adapters: loading one half, identifying the space, sampling frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset_tools.core.errors import InputError
from fmn.features.encoders.interface import Layer, source_of, weights_digest
from fmn.features.encoders.libraries import licence_on_card
from fmn.features.encoders.transformers_vision import load_pretrained, load_processor


class Half(ABC):
    """One half of a joint model; the other half is loaded too, for the digest of all weights, and then discarded.

    Attributes:
        prefix: of its name. model_type: the value in config.json.
        processor: class of transformers that prepares inputs. part: its component for the inputs of this half.
        dim_key: key of the vector size in the text configuration.
        packages: distributions whose version may change the values.
    """

    prefix: ClassVar[str]
    model_type: ClassVar[str]
    processor: ClassVar[str]
    part: ClassVar[str]
    dim_key: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]

    def __init__(self, argument: str, *, device: str) -> None:
        """Loads the half and its processor.

        Args:
            argument: a name on the model hub, ``NAME@REVISION``, or a folder.
            device: a torch device.

        Raises:
            InputError: they are not available, it is another model, or parameters are missing in the weights.
        """
        with redirect_stdout(StringIO()):  # transformers 5.23 prints a warning about one of its docstrings
            model, folder, self.revision = load_pretrained(argument, "AutoModel", self.prefix)
        where = f"{self.prefix}:{argument}"
        if model.config.model_type != self.model_type:
            raise InputError(
                f"The model is of the type {model.config.model_type!r}",
                where=where,
                expected=f"the type {self.model_type!r} in config.json",
                next_step="choose another model, or another encoder (docs/encoders.md)",
            )
        self._processor = load_processor(self.processor, folder, where)
        self._part: Any = getattr(self._processor, self.part, self._processor)
        self.name = self.prefix if Path(argument).expanduser().is_dir() else where.partition("@")[0]
        self.licence = licence_on_card(folder)
        self.dim = int(getattr(model.config.text_config, self.dim_key))
        digest = weights_digest(model.state_dict())
        self.space = f"{self.prefix} {digest}"
        self.source = source_of(type(self).__name__, digest, self.packages, inputs=self._settings())
        self._device = torch.device(device)
        self._model: Any = self._needed_part(model).to(self._device)

    @abstractmethod
    def _needed_part(self, model: Any) -> Any:
        """Returns the part of the whole model that this half needs."""

    @abstractmethod
    def _vector(self, array: NDArray[Any]) -> Tensor:
        """The input of `encode` -> [1, D]."""

    def _settings(self) -> dict[str, str]:
        """Returns the settings of input preparation, without mel filters and window, which follow from them."""
        return {key: str(value) for key, value in self._part.to_dict().items() if key not in ("mel_filters", "window")}

    @torch.inference_mode()
    def encode(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """The frames of a clip, uint8 [n, H, W, 3], or the samples of an utterance, float32 [n] -> [D]."""
        vector: NDArray[np.float32] = self._vector(array)[0].float().cpu().numpy()
        return vector


class ClipHalf(Half):
    """The half for clips; it encodes the frames that the model's own video processor samples from the whole clip."""

    part = "video_processor"
    frames = None

    def choose(self, times_s: NDArray[np.float64]) -> NDArray[np.intp]:
        """[F] times of all frames -> numbers of the sampled ones; all frames if the processor does not sample."""
        count = len(times_s)
        if not self._part.do_sample_frames:
            return np.arange(count)
        from transformers.video_utils import VideoMetadata

        span_s = float(times_s[-1] - times_s[0])
        fps = round((count - 1) / span_s, 6) if span_s else 1.0  # 24.999… would sample other frames than 25
        metadata = VideoMetadata(total_num_frames=count, fps=fps, duration=count / fps)
        settings = ("num_frames", "fps", "max_frames", "overflow_strategy")
        chosen = self._part.sample_frames(metadata, **{name: getattr(self._part, name, None) for name in settings})
        return np.asarray(chosen, np.intp)


class SpeechHalf(Half):
    """The half for utterances."""

    part = "feature_extractor"

    def __init__(self, argument: str, *, device: str, layer: Layer = "last") -> None:
        """Loads the half and its processor, as `Half` does; there is no choice of layer.

        Raises:
            InputError: see `Half`, or a layer is selected.
        """
        if layer != "last":
            raise InputError(
                f"The encoder {self.prefix} has no choice of layer",
                where="audio.layer",
                expected="last: the vector is the output of the whole model",
                next_step="omit audio.layer",
            )
        super().__init__(argument, device=device)
        self.sample_rate_hz = int(self._part.sampling_rate)
