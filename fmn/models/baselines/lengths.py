"""Lengths of clip and utterance: a trivial baseline that neither looks nor listens.

How far it gets is how far classes are given away by how long they take. Class posteriors of either side by kernel
density of the training items, their product as in `two_classifiers`; nothing is trained or tuned.
"""

from __future__ import annotations

from dataclasses import replace

from fmn.config import Config
from fmn.models.baselines.parts.density import DensityModel
from fmn.models.registry import System, as_it_is


def adapt(config: Config) -> Config:
    """One number a clip, one an utterance."""
    return replace(config, video=replace(config.video, kind="duration"), audio=replace(config.audio, kind="duration"))


SYSTEM = System(
    name="lengths",
    summary="lengths of clip and utterance (trivial)",
    build=DensityModel,
    adapt=adapt,
    grid=as_it_is,
)
