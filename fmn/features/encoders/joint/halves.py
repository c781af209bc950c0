"""Shared parts of joint-encoder adapters: loading one half, identity of the space, frame sampling."""

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
    """One half of a joint model; the other is loaded with it, for the digest of all the weights, and dropped again.

    Attributes:
        prefix: of its name. model_type: what config.json says.
        processor: class of transformers that prepares inputs. part: of it, what prepares those of this half.
        dim_key: of the text configuration, how many numbers a vector has.
        packages: whose versions may change values.
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
            device: as torch names it.

        Raises:
            InputError: they are not there, it is another model, or weights are missing in it.
        """
        with redirect_stdout(StringIO()):  # transformers 5.23 prints a remark on a docstring of its own
            model, folder, self.revision = load_pretrained(argument, "AutoModel", self.prefix)
        where = f"{self.prefix}:{argument}"
        if model.config.model_type != self.model_type:
            raise InputError(
                f"The model is of the type {model.config.model_type!r}",
                where=where,
                expected=f"the type {self.model_type!r} in config.json",
                next_step="name another model, or another encoder (docs/encoders.md)",
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
        self._model: Any = self._kept(model).to(self._device)

    @abstractmethod
    def _kept(self, model: Any) -> Any:
        """What of the whole model this half needs."""

    @abstractmethod
    def _vector(self, given: NDArray[Any]) -> Tensor:
        """What `encode` is given -> [1, D]."""

    def _settings(self) -> dict[str, str]:
        """What decides how inputs are prepared; mel filters follow from the rest."""
        return {key: str(value) for key, value in self._part.to_dict().items() if key not in ("mel_filters", "window")}

    @torch.inference_mode()
    def encode(self, given: NDArray[Any]) -> NDArray[np.float32]:
        """The frames of a clip, uint8 [n, H, W, 3], or the samples of an utterance, float32 [n] -> [D]."""
        found: NDArray[np.float32] = self._vector(given)[0].float().cpu().numpy()
        return found


class ClipHalf(Half):
    """The half for clips, which sees the frames that the model's own video processor samples from the whole clip."""

    part = "video_processor"
    frames = None

    def choose(self, times_s: NDArray[np.float64]) -> NDArray[np.intp]:
        """[F] times of all frames -> numbers of the sampled ones; all of them where the model samples none."""
        count = len(times_s)
        if not self._part.do_sample_frames:
            return np.arange(count)
        from transformers.video_utils import VideoMetadata

        span_s = float(times_s[-1] - times_s[0])
        fps = round((count - 1) / span_s, 6) if span_s else 1.0  # of 24.999… other frames would be sampled than of 25
        metadata = VideoMetadata(total_num_frames=count, fps=fps, duration=count / fps)
        settings = ("num_frames", "fps", "max_frames", "overflow_strategy")
        chosen = self._part.sample_frames(metadata, **{name: getattr(self._part, name, None) for name in settings})
        return np.asarray(chosen, np.intp)


class SpeechHalf(Half):
    """The half for utterances."""

    part = "feature_extractor"

    def __init__(self, argument: str, *, device: str, layer: Layer = "last") -> None:
        """As of `Half`; there is no choice of layer.

        Raises:
            InputError: as of `Half`, or a layer is chosen.
        """
        if layer != "last":
            raise InputError(
                f"The encoder {self.prefix} has no choice of layer",
                where="audio.layer",
                expected="last: its vector is the whole model's",
                next_step="leave audio.layer out",
            )
        super().__init__(argument, device=device)
        self.sample_rate_hz = int(self._part.sampling_rate)
