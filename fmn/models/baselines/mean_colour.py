"""Mean color of a clip, against the full utterance: a sanity-check baseline.

A clip is six numbers, mean and standard deviation of red, green and blue over all frames and pixels; the utterance is
classified as in `two_classifiers`. This measures how far the color of the footage alone reveals its class.
"""

from __future__ import annotations

from dataclasses import replace

from fmn.config import Config
from fmn.models.baselines.two_classifiers import TwoClassifiers
from fmn.models.system_interface import OF_FMN, OF_TRIPLETS, System, of_both_sides


def adapt(config: Config) -> Config:
    """Color in place of video features."""
    return replace(config, video=replace(config.video, kind="mean_colour"))


SYSTEM = System(
    name="mean_colour",
    summary="mean color of the clip, utterance classified (trivial)",
    build=TwoClassifiers,
    adapt=adapt,
    class_cross_entropy=of_both_sides,
    ignored=(*OF_FMN, *OF_TRIPLETS, "memory.temperature", "model.embed_dim", "video"),
)
