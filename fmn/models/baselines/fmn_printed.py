"""FMN as published: every equation as the paper prints it (docs/paper.md).

The linear softmax head, S1/Max, memories of raw features updated at a fixed rate and written batch by batch, the
maximum without a clamp, the triplet loss with the printed sign. Otherwise the same network and training as FMN.
"""

from __future__ import annotations

from dataclasses import replace

from fmn.config import Config, as_published
from fmn.models.fmn import FeatureMemoryNetwork, slot_cross_entropy
from fmn.models.system_interface import System


def build(config: Config, video_dim: int, audio_dim: int) -> FeatureMemoryNetwork:
    """Builds the untrained network, without step attention: the printed memories take one vector per item."""
    return FeatureMemoryNetwork(
        replace(config, model=replace(config.model, step_attention="off")), video_dim, audio_dim
    )


SYSTEM = System(
    name="fmn_printed",
    summary="FMN with every equation as printed",
    build=build,
    adapt=as_published,
    class_cross_entropy=slot_cross_entropy,
    footnote=lambda config: "equations as printed, some of which cannot work: docs/paper.md",
    ignored=("model.step_attention",),
)
