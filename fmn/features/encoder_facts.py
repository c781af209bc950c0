"""Encoder cache within a command: each encoder is loaded once, also if its features are cached.

Loading is what makes sure that cached features are those of the weights that are there now. A command that trains many
networks on the same features does it the first time; its encoders are taken to stay what they are until it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataset_tools.core.errors import InputError
from fmn.features.config import AudioFeatureConfig, VideoFeatureConfig

if TYPE_CHECKING:
    from fmn.features.encoding import Encoding

FeatureConfig = VideoFeatureConfig | AudioFeatureConfig


@dataclass(frozen=True)
class EncoderFacts:
    """What is known of features without the network: fields as of `fmn.features.encoding.Encoding`, and the size.

    Attributes:
        dim: numbers of a vector.
    """

    source: str
    dim: int
    axes: int
    band: int | None
    note: str
    space: str

    @classmethod
    def of(cls, encoding: Encoding) -> EncoderFacts:
        """The facts of a loaded encoder."""
        dim = encoding.encoder.dim
        return cls(encoding.source, dim, encoding.axes, encoding.band, encoding.note, encoding.space)


KnownEncoders = dict[FeatureConfig, EncoderFacts]
_known: ContextVar[KnownEncoders | None] = ContextVar("known_encoders", default=None)


@contextmanager
def encoders_loaded_once() -> Iterator[None]:
    """Keeps facts inside the ``with`` block, or the function that it decorates; within another one, those of that."""
    if _known.get() is not None:
        yield
        return
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def know_encoders(known: KnownEncoders) -> None:
    """Begins with the facts of another process and keeps facts from now on: for a worker of a command."""
    _known.set(dict(known))


def known_encoders() -> KnownEncoders:
    """The facts that are kept now, a copy."""
    return dict(_known.get() or {})


class KnownEncoding:
    """An encoder that is loaded when something is to be computed, or when nothing is known of it.

    Args:
        config: names it.
        load: loads it.
    """

    def __init__(self, config: FeatureConfig, load: Callable[[], Encoding]) -> None:
        kept = _known.get()
        self._config, self._load = config, load
        self._kept: KnownEncoders = {} if kept is None else kept
        self._loaded: Encoding | None = None
        self.facts = self._kept.get(config) or EncoderFacts.of(self.loaded())

    def loaded(self) -> Encoding:
        """The encoder.

        Raises:
            InputError: it cannot be used, or is not what it was when this command began.
        """
        if self._loaded is None:
            self._loaded = self._load()
            if self._kept.setdefault(self._config, EncoderFacts.of(self._loaded)).source != self._loaded.source:
                raise InputError(
                    "The weights of an encoder were changed while the command was running",
                    where=self._config.encoder,
                    expected="the weights that it began with",
                    next_step="run the same command again",
                )
        return self._loaded
