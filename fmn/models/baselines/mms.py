"""Masked margin softmax (AVLnet): two towers, as published and with class positives.

Described: gated projections of video and audio features, dot products, softmax over the batch in both directions with a
margin of .001 taken from the positive, items of the same video masked (Rouditchenko et al. 2021, after Ilharco et al.
2019). Our choices: FMN's features, its Bi-LSTM trained end to end in place of AVLnet's audio network, FMN's sizes,
batch and augmentation, so that the loss and the memory are what differs. A margin this small does next to nothing.
As published every other pair of the batch is a negative, those of the same class included; only pairs with the very
same clip or utterance are masked. In ``mms_classes`` every item of one class is a positive of the others and none a
negative, which is what the task asks for and what FMN is told, too. ``mms_classes_ce`` is that with an auxiliary
cross-entropy of the class on either side, as FMN has one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from fmn.config import Config
from fmn.config_sections import NotNegative, section_from
from fmn.models.baselines.parts.margin_softmax import MarginTowers
from fmn.models.baselines.parts.towers import class_weight_of, with_class_cross_entropy
from fmn.models.system_interface import Changes, System


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of two towers with the masked margin softmax of AVLnet.

    Attributes:
        margin: taken from the similarity of positives.
        class_weight: of an auxiliary cross-entropy of the class.
    """

    margin: NotNegative = 0.001
    class_weight: NotNegative = 0.0


def build(config: Config, video_dim: int, audio_dim: int, *, class_positives: bool = False) -> MarginTowers:
    """The untrained towers."""
    options = section_from(Options, config.options, expected="margin, class_weight", path="options.")
    return MarginTowers(
        config,
        video_dim,
        audio_dim,
        kind="fixed",
        amount=options.margin,
        class_positives=class_positives,
        class_weight=options.class_weight,
    )


def grid(config: Config) -> tuple[Changes, ...]:
    """Learning rates and margins."""
    rate = config.training.learning_rate
    return ({}, {"training.learning_rate": rate / 3}, {"options.margin": 0.1}, {"training.learning_rate": rate / 10})


PUBLISHED = System(
    name="mms",
    summary="two towers, masked margin softmax (AVLnet), as published",
    build=build,
    options=Options,
    grid=grid,
    class_cross_entropy=class_weight_of,
)
CLASS_POSITIVES = replace(
    PUBLISHED,
    name="mms_classes",
    summary="two towers, masked margin softmax (AVLnet), with class positives",
    build=partial(build, class_positives=True),
)
SYSTEMS = (PUBLISHED, CLASS_POSITIVES, with_class_cross_entropy(CLASS_POSITIVES))
