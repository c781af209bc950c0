"""FMN without memories: S1 alone.

The same encoders, mapping, head, losses (triplet and cross-entropy of S1) and training as FMN, without the memories,
their part in the score, and therefore without the class cross-entropy (FMN's slot loss). The difference from FMN is the
combined effect of memories and class labels; `class_towers` separates the two.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fmn.config import Config
from fmn.data.batches import Indices, ItemTensors
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.losses import require_loss
from fmn.models.system_interface import System


class WithoutMemories(FeatureMemoryNetwork):
    """FMN whose memories stay empty, whatever ``memory.write`` is."""

    def after_step(self) -> None:
        """Writes nothing."""

    def fit_after_epoch(
        self, data: ItemTensors, clips: Indices, utterances: Indices, generator: np.random.Generator
    ) -> None:
        """Writes nothing, since nothing would read it."""


def adapt(config: Config) -> Config:
    """The final score is S1; the memories are not read."""
    return replace(config, model=replace(config.model, score="s1", step_attention="off"))


def build(config: Config, video_dim: int, audio_dim: int) -> WithoutMemories:
    """Builds the untrained network; the score is S1 in all configurations: others would read empty memories."""
    return WithoutMemories(adapt(config), video_dim, audio_dim)


SYSTEM = System(
    name="fmn_no_memory",
    summary="FMN without its memories: S1 alone",
    build=build,
    adapt=adapt,
    check=lambda config: require_loss(adapt(config)),
    ignored=(
        *("memory", "model.score", "model.s1_exponent", "model.step_attention"),
        *("training.s1_weight", "training.slot_weight"),
    ),
)
