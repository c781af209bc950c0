"""FMN as published: every equation in the form of the paper (docs/paper.md).

The linear softmax head, S1/Max, memories of raw features updated at a fixed rate and written batch by batch, the
maximum without a clamp, the triplet loss with the published sign. Otherwise the same network and training as FMN.
"""

from __future__ import annotations

from dataclasses import replace

from fmn.config import Config, as_published
from fmn.models.fmn import FeatureMemoryNetwork, slot_cross_entropy
from fmn.models.losses import require_loss
from fmn.models.system_interface import System


def build(config: Config, video_dim: int, audio_dim: int) -> FeatureMemoryNetwork:
    """Builds the untrained network, without step attention: the published memories take one vector per item."""
    return FeatureMemoryNetwork(
        replace(config, model=replace(config.model, step_attention="off")), video_dim, audio_dim
    )


SYSTEM = System(
    name="fmn_as_published",
    summary="FMN with every equation as published",
    build=build,
    adapt=as_published,
    class_cross_entropy=slot_cross_entropy,
    check=require_loss,
    footnote=lambda config: "equations as published, some of which cannot work: docs/paper.md",
    ignored=("model.step_attention",),
)
