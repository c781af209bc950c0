"""Sanity-check baselines without content: durations of clip and utterance, file sizes.

They measure how far duration or file size alone reveals the class. Class posteriors of each side by kernel density
estimation on the training items, their product as in `two_classifiers`; nothing is trained or tuned.
"""

from __future__ import annotations

from dataclasses import replace

from fmn.config import Config
from fmn.models.baselines.parts.density import DensityModel
from fmn.models.system_interface import OF_FMN, OF_GRADIENTS, OF_TRIPLETS, System, as_it_is


def durations(config: Config) -> Config:
    """One number per clip and per utterance: its duration."""
    return replace(config, video=replace(config.video, kind="duration"), audio=replace(config.audio, kind="duration"))


def file_sizes(config: Config) -> Config:
    """One number per clip and per utterance: its file size in bytes."""
    return replace(config, video=replace(config.video, kind="file_size"), audio=replace(config.audio, kind="file_size"))


SYSTEMS = (
    System(
        name="lengths",
        summary="lengths of clip and utterance (trivial)",
        build=DensityModel,
        adapt=durations,
        grid=as_it_is,
        ignored=("video", "audio", "model", "memory", *OF_FMN, *OF_TRIPLETS, *OF_GRADIENTS),
    ),
    System(
        name="file_size",
        summary="sizes of the two files (trivial)",
        build=DensityModel,
        adapt=file_sizes,
        grid=as_it_is,
        ignored=("video", "audio", "model", "memory", *OF_FMN, *OF_TRIPLETS, *OF_GRADIENTS),
    ),
)
