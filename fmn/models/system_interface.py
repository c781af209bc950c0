"""The interface of a retrieval system: construction, changes to a preset, tuning grid.

A system encodes clips and utterances, each once, and gives a matrix of scores; one trainer, one evaluator and one
search serve all. `fmn.systems` is the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from dataset_tools.core.errors import InputError
from fmn.config import Config
from fmn.config_sections import section_from

if TYPE_CHECKING:
    from fmn.models.retrieval_model import RetrievalModel

ClassCrossEntropy = Literal["both sides", "speech", "no"]
"""Which sides are trained with a cross-entropy of the class."""
Changes = Mapping[str, Any]
"""Values of a configuration by dotted name, as `fmn.config.with_values` takes them."""


def unchanged(config: Config) -> Config:
    """``config`` as it is."""
    return config


def learning_rates(config: Config) -> Sequence[Changes]:
    """As it is, and with a third, the triple and a tenth of the learning rate."""
    rate = config.training.learning_rate
    return ({}, *({"training.learning_rate": rate * factor} for factor in (1 / 3, 3, 1 / 10)))


def as_it_is(config: Config) -> Sequence[Changes]:
    """The configuration as it is, and nothing else: there is nothing to tune."""
    return ({},)


def no_cross_entropy(config: Config) -> ClassCrossEntropy:
    """No side is trained to tell its class."""
    return "no"


def of_both_sides(config: Config) -> ClassCrossEntropy:
    """Either side is trained to tell its class, whatever the configuration."""
    return "both sides"


def no_footnote(config: Config) -> str:
    """Nothing has to be said."""
    return ""


@dataclass(frozen=True)
class NoOptions:
    """Options of a system that has none of its own."""


@dataclass(frozen=True)
class System:
    """A retrieval system.

    Attributes:
        name: what ``--model`` calls it.
        summary: one line on what it is.
        build: makes the untrained model from a configuration and the sizes of a clip's vector and an audio frame.
        adapt: changes what the system needs otherwise in a preset (its audio features, its epochs, …).
        options: a frozen dataclass of what the system has of its own; ``--set options.NAME=VALUE`` sets a field.
        grid: what `fmn compare` tries on fold 0, changes of the adapted configuration: first none, then the ones that
            are most likely to help. As many as the budget says are tried.
        class_cross_entropy: whether a configuration trains with a cross-entropy of the class.
        footnote: caveat of a configuration, shown with its results; empty if there is none.
        joint: whether it learns nothing, and compares the vectors of a joint encoder as they are. Where the features
            are of no such encoder, `fmn compare` leaves it out, unless it is named.
    """

    name: str
    summary: str
    build: Callable[[Config, int, int], RetrievalModel]
    adapt: Callable[[Config], Config] = unchanged
    options: type[Any] = NoOptions
    grid: Callable[[Config], Sequence[Changes]] = learning_rates
    class_cross_entropy: Callable[[Config], ClassCrossEntropy] = no_cross_entropy
    footnote: Callable[[Config], str] = no_footnote
    joint: bool = False

    def model(self, config: Config, video_dim: int, audio_dim: int, audio_layers: int = 1) -> RetrievalModel:
        """The untrained model, with weights over the layers in front of it where ``config.audio`` asks for that.

        Args:
            config: complete.
            video_dim: numbers of a clip's vector.
            audio_dim: of an audio frame, all its layers.
            audio_layers: how many layers an audio frame holds.
        """
        model = self.build(config, video_dim, audio_dim // audio_layers)
        if config.audio.learns_layers:
            from fmn.models.learned_layers import LearnedLayers

            model.layers = LearnedLayers(audio_layers)
        return model

    def complete(self, config: Config) -> Config:
        """``config`` with every option of the system, those left out at their defaults.

        Raises:
            InputError: an option is unknown or has a value that it cannot have; or the system needs a joint encoder,
                and none is named.
        """
        if self.joint and not may_be_joint(config):
            raise not_joint(config)
        names = ", ".join(field.name for field in fields(self.options)) or "none: the system has no options of its own"
        expected = f"options of the system {self.name!r} ({names})"
        found = section_from(self.options, config.options, expected=expected, path="options.")
        return replace(config, options=asdict(found))


def may_be_joint(config: Config) -> bool:
    """Whether both kinds of features can be of one joint encoder; only the encoders know whether they are."""
    return all(part.kind in ("encoder", "features") for part in (config.video, config.audio))


def not_joint(config: Config) -> InputError:
    """The refusal of features that are not of one joint encoder."""
    named = [part.encoder or part.features or part.kind for part in (config.video, config.audio)]
    named[0] += ", with video.pooling=max" if config.video.pooling == "max" else ""
    return InputError(
        f"There is no space that both the video features ({named[0]}) and the audio features ({named[1]}) lie in",
        where=f"the system {config.system}",
        expected="the two halves of one joint encoder, with the same weights, and video.pooling mean or none",
        next_step="name one with --video-encoder and --speech-encoder, such as pe_av:FOLDER; see docs/encoders.md",
    )
