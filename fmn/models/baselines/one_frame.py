"""Single-frame FMN: the middle frame of a clip repeated over the window, without optical flow.

A trivial baseline: the same network and training as FMN. It measures how far a clip can be retrieved without motion, by
its scene and its objects alone.
"""

from __future__ import annotations

from dataclasses import replace

from fmn.config import Config
from fmn.features.config import one_frame
from fmn.models.fmn import FeatureMemoryNetwork, slot_cross_entropy
from fmn.models.losses import require_loss
from fmn.models.system_interface import System


def adapt(config: Config) -> Config:
    """Video features of the middle frame."""
    return replace(config, video=one_frame(config.video))


SYSTEM = System(
    name="one_frame",
    summary="FMN on the middle frame of a clip (trivial)",
    build=FeatureMemoryNetwork,
    adapt=adapt,
    class_cross_entropy=slot_cross_entropy,
    check=require_loss,
)
