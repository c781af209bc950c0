"""Masked margin softmax (AVLnet) and adaptive mean margin (Spoken Moments): two towers, with two margins of one loss.

Described (``mms``): gated projections of video and audio features, dot products, softmax over the batch in both
directions with a margin of .001 subtracted from the positive, items of the same video masked (Rouditchenko et al. 2021,
after Ilharco et al. 2019). ``amm``: the same loss with an adaptive margin: a fraction α of the difference between the
similarity of the positive and the mean similarity of the negatives (Monfort et al. 2021).
Our choices: FMN's features, its Bi-LSTM trained end to end in place of AVLnet's audio network, FMN's sizes, batch and
augmentation, so that only the loss and the memory differ; α = .5. The margin of AVLnet is so small that it has almost
no effect. Unspecified by Monfort et al.: whether the gradient flows through the margin; here it does not.
As published, every other pair of the batch is a negative, including those of the same class; only pairs with the same
clip or utterance are masked. In ``mms_classes`` and ``amm_classes`` the items of a class are positives of each other
and never negatives, which is what the task requires and the supervision that FMN has, too. ``mms_classes_ce`` and
``amm_classes_ce`` add an auxiliary class cross-entropy on both modalities, as FMN has one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from fmn.config import Config
from fmn.config_sections import NotNegative, section_from
from fmn.models.baselines.parts.margin_softmax import Margin, MarginTowers
from fmn.models.baselines.parts.towers import class_weight_of, with_class_cross_entropy
from fmn.models.system_interface import OF_FMN, OF_TRIPLETS, Changes, System


@dataclass(frozen=True, kw_only=True)
class FixedMargin:
    """Options of two towers with the masked margin softmax of AVLnet.

    Attributes:
        margin: subtracted from the similarity of positives.
        class_weight: weight of an auxiliary class cross-entropy.
    """

    margin: NotNegative = 0.001
    class_weight: NotNegative = 0.0


@dataclass(frozen=True, kw_only=True)
class AdaptiveMargin:
    """Options of two towers with the adaptive mean margin of Spoken Moments.

    Attributes:
        share: α, fraction of the mean difference between a positive and the negatives.
        class_weight: weight of an auxiliary class cross-entropy.
    """

    share: NotNegative = 0.5
    class_weight: NotNegative = 0.0


def variants(
    name: str, loss: str, kind: Margin, options: type[FixedMargin | AdaptiveMargin], amount: str, other: float
) -> tuple[System, ...]:
    """The systems of one loss: as published, with class positives, and with class cross-entropy, too.

    Args:
        name: the name of the first.
        loss: the name of the loss.
        kind: the kind of its margin.
        options: their options.
        amount: the option that is the amount of the margin.
        other: another value of it, to tune.
    """

    def build(config: Config, video_dim: int, audio_dim: int, *, class_positives: bool) -> MarginTowers:
        found = section_from(options, config.options, expected=f"{amount}, class_weight", path="options.")
        return MarginTowers(
            config,
            video_dim,
            audio_dim,
            kind=kind,
            amount=getattr(found, amount),
            class_positives=class_positives,
            class_weight=found.class_weight,
        )

    def grid(config: Config) -> tuple[Changes, ...]:
        rate = config.training.learning_rate
        return (
            {},
            {"training.learning_rate": rate / 3},
            {f"options.{amount}": other},
            {"training.learning_rate": rate / 10},
        )

    published = System(
        name=name,
        summary=f"two towers, {loss}, as published",
        build=partial(build, class_positives=False),
        options=options,
        grid=grid,
        class_cross_entropy=class_weight_of,
        ignored=(*OF_FMN, *OF_TRIPLETS, "model.head_hidden_size", "model.step_attention"),
    )
    class_positives = replace(
        published,
        name=f"{name}_classes",
        summary=f"two towers, {loss}, with class positives",
        build=partial(build, class_positives=True),
    )
    return published, class_positives, with_class_cross_entropy(class_positives)


SYSTEMS = (
    *variants("mms", "masked margin softmax (AVLnet)", "fixed", FixedMargin, "margin", 0.1),
    *variants("amm", "adaptive mean margin (Spoken Moments)", "adaptive", AdaptiveMargin, "share", 0.2),
)
