"""Encoder cache within a command: each encoder is loaded once, even if its features are cached.

Loading an encoder verifies that cached features were computed with the current weights. A command that trains many
networks on the same features does so once, and assumes that its encoders do not change until it ends.
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
    """Properties of an encoder's features, available without the network: fields of `Encoding`, and the size.

    Attributes:
        dim: size of a feature vector.
    """

    source: str
    dim: int
    axes: int
    band: int | None
    note: str
    space: str

    @classmethod
    def of(cls, encoding: Encoding) -> EncoderFacts:
        """Returns the facts of a loaded encoder."""
        dim = encoding.encoder.dim
        return cls(encoding.source, dim, encoding.axes, encoding.band, encoding.note, encoding.space)


KnownEncoders = dict[FeatureConfig, EncoderFacts]
_known: ContextVar[KnownEncoders | None] = ContextVar("known_encoders", default=None)


@contextmanager
def encoders_loaded_once() -> Iterator[None]:
    """Caches encoder facts within the ``with`` block or decorated function; nested uses share the outer cache."""
    if _known.get() is not None:
        yield
        return
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def know_encoders(known: KnownEncoders) -> None:
    """Initializes the cache in a worker process with the facts of its parent."""
    _known.set(dict(known))


def known_encoders() -> KnownEncoders:
    """Returns a copy of the cached facts."""
    return dict(_known.get() or {})


class KnownEncoding:
    """An encoder that is loaded lazily: for a computation, or if its facts are not cached.

    Args:
        config: names the encoder.
        load: loads the encoder.
    """

    def __init__(self, config: FeatureConfig, load: Callable[[], Encoding]) -> None:
        kept = _known.get()
        self._config, self._load = config, load
        self._kept: KnownEncoders = {} if kept is None else kept
        self._loaded: Encoding | None = None
        self.facts = self._kept.get(config) or EncoderFacts.of(self.loaded())

    def loaded(self) -> Encoding:
        """Returns the encoder, loading it on the first call.

        Raises:
            InputError: it cannot be used, or its weights have changed since the command began.
        """
        if self._loaded is None:
            self._loaded = self._load()
            if self._kept.setdefault(self._config, EncoderFacts.of(self._loaded)).source != self._loaded.source:
                raise weights_changed(self._config.encoder)
        return self._loaded


def weights_changed(where: str) -> InputError:
    """The error if weights are not those that the features of a command were looked up by."""
    return InputError(
        "The weights of an encoder or backbone were changed while the command was running",
        where=where,
        expected="the same weights as at its start",
        next_step="run the same command again",
    )
