"""FMN without memories: S1 alone.

The same encoders, mapping, head, losses (triplet and cross-entropy of S1) and training as FMN; what is missing is the
memories, their part in the score, and with them the cross-entropy of the class (FMN's slot loss). So the difference to
FMN is what memories and class labels are worth together; `class_towers` tells the two apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fmn.config import Config
from fmn.data.batches import Indices, ItemTensors
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.system_interface import System


class WithoutMemories(FeatureMemoryNetwork):
    """FMN whose memories stay empty."""

    def fit_after_epoch(
        self, data: ItemTensors, clips: Indices, utterances: Indices, generator: np.random.Generator
    ) -> None:
        """Writes nothing: nothing would read it."""


def adapt(config: Config) -> Config:
    """The final score is S1; what the memories hold is not asked for."""
    return replace(config, model=replace(config.model, score="s1", step_attention="off"))


SYSTEM = System(
    name="fmn_no_memory",
    summary="FMN without its memories: S1 alone",
    build=WithoutMemories,
    adapt=adapt,
)
