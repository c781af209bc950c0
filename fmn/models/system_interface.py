"""The interface of a retrieval system: construction, changes to a preset, tuning grid.

A system encodes clips and utterances, each once, and computes a matrix of scores; all systems share one trainer, one
evaluator and one search. `fmn.systems` is the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from dataset_tools.core.errors import InputError
from fmn.config import PRESETS, Config, MemoryConfig, as_dict, flattened
from fmn.config_sections import section_from
from fmn.models.memory_capacity import default_capacity

if TYPE_CHECKING:
    from fmn.models.retrieval_model import RetrievalModel

ClassCrossEntropy = Literal["both sides", "speech", "no"]
"""Modalities that are trained with a class cross-entropy; ``both sides`` is the value in files of results."""
Changes = Mapping[str, Any]
"""Values of a configuration by dotted name, as `fmn.config.with_values` takes them."""
OF_SLOTS = tuple(f"memory.{field.name}" for field in fields(MemoryConfig) if field.name != "temperature")
"""Values of the memories, without the temperature, which class vectors have as well."""
OF_TRIPLETS = tuple(f"training.{name}" for name in ("triplet", "negatives", "margin", "triplet_temperature"))
"""Values of FMN's triplet loss."""
OF_FMN = (
    *OF_SLOTS,
    *("model.head", "model.score", "model.s1_exponent"),
    *(f"training.{name}_weight" for name in ("triplet", "s1", "score", "slot")),
)
"""Values that only FMN and its variants read."""
OF_UTTERANCE_ENCODER = ("model.hidden_size", "model.frame_stack", "model.pooling")
"""Values of FMN's Bi-LSTM."""
OF_GRADIENTS = tuple(
    f"training.{name}"
    for name in ("batch_size", "pairs_per_epoch", "learning_rate", "weight_decay", "max_grad_norm", "augment")
)
"""Values of the training by gradients."""


def unchanged(config: Config) -> Config:
    """Returns ``config`` unchanged."""
    return config


def learning_rates(config: Config) -> Sequence[Changes]:
    """No change, and a third, three times and a tenth of the learning rate."""
    rate = config.training.learning_rate
    return ({}, *({"training.learning_rate": rate * factor} for factor in (1 / 3, 3, 1 / 10)))


def as_it_is(config: Config) -> Sequence[Changes]:
    """Only the unchanged configuration: there is nothing to tune."""
    return ({},)


def no_cross_entropy(config: Config) -> ClassCrossEntropy:
    """Neither modality is trained with a class cross-entropy."""
    return "no"


def of_both_sides(config: Config) -> ClassCrossEntropy:
    """Both modalities are trained with a class cross-entropy, whatever the configuration."""
    return "both sides"


def accept_any(config: Config) -> None:
    """Refuses no configuration."""


def no_footnote(config: Config) -> str:
    """No footnote."""
    return ""


@dataclass(frozen=True)
class NoOptions:
    """Options of a system that has none of its own."""


@dataclass(frozen=True)
class System:
    """A retrieval system.

    Attributes:
        name: its name for ``--model``.
        summary: one-line description.
        build: builds the untrained model from a configuration and the sizes of a clip's vector and an audio frame.
        adapt: adapts a preset to the system (its audio features, its epochs, …).
        options: a frozen dataclass of the system's own options; ``--set options.NAME=VALUE`` sets a field.
        grid: tuning candidates of `fmn compare` on fold 0, as changes of the adapted configuration: first none, then
            the most promising ones. The budget limits how many are tried.
        class_cross_entropy: modalities that a configuration trains with a class cross-entropy.
        footnote: caveat of a configuration, shown with its results; empty if there is none.
        ignored: values and sections of the configuration that it does not read, by dotted name; a run that changes them
            gets a note.
        check: raises InputError for a configuration that it cannot be trained with; runs that have it can be loaded.
        joint: whether it learns nothing, and compares the vectors of a joint encoder directly. If the features are
            not from such an encoder, `fmn compare` omits it unless it is named.
    """

    name: str
    summary: str
    build: Callable[[Config, int, int], RetrievalModel]
    adapt: Callable[[Config], Config] = unchanged
    options: type[Any] = NoOptions
    grid: Callable[[Config], Sequence[Changes]] = learning_rates
    class_cross_entropy: Callable[[Config], ClassCrossEntropy] = no_cross_entropy
    footnote: Callable[[Config], str] = no_footnote
    ignored: tuple[str, ...] = ()
    check: Callable[[Config], None] = accept_any
    joint: bool = False

    def model(self, config: Config, video_dim: int, audio_dim: int, audio_layers: int = 1) -> RetrievalModel:
        """Builds the untrained model, preceded by learned layer weights if ``config.audio`` requests them.

        Args:
            config: a complete configuration.
            video_dim: size of a clip's vector.
            audio_dim: size of an audio frame, over all its layers.
            audio_layers: number of layers in an audio frame.
        """
        model = self.build(config, video_dim, audio_dim // audio_layers)
        if config.audio.learns_layers:
            from fmn.models.learned_layers import LearnedLayers

            model.layers = LearnedLayers(audio_layers)
        return model

    def ignores(self, name: str, config: Config) -> bool:
        """Whether the system does not read the value of ``config`` with this dotted name.

        Without class labels, ``memory.capacity`` limits the number of clusters that every system is trained on.
        """
        if name == "memory.capacity" and config.training.labels == "pairs":
            return False
        return any(name == each or name.startswith(f"{each}.") for each in self.ignored)

    def unread(self, config: Config, classes: int) -> dict[str, Any]:
        """Values of ``config`` that the system ignores and that no preset has, for a manifest with these classes."""
        slots = {"memory.capacity": default_capacity(config, classes)}
        usual = [flattened(as_dict(self.adapt(base))) | slots for base in PRESETS.values()]
        found = {name: value for name, value in flattened(as_dict(config)).items() if self.ignores(name, config)}
        return {name: value for name, value in found.items() if all(each.get(name) != value for each in usual)}

    def complete(self, config: Config) -> Config:
        """Returns ``config``, to train with, with all options of the system, missing ones at their defaults.

        Raises:
            InputError: an option is unknown or has an invalid value; the system cannot be trained with the
                configuration; or it needs a joint encoder, and none is named.
        """
        self.check(config)
        if self.joint and not may_be_joint(config):
            raise not_joint(config)
        names = ", ".join(field.name for field in fields(self.options)) or "none: the system has no options of its own"
        expected = f"options of the system {self.name!r} ({names})"
        found = section_from(self.options, config.options, expected=expected, path="options.")
        return replace(config, options=asdict(found))


def may_be_joint(config: Config) -> bool:
    """Whether both kinds of features could come from one joint encoder; only the encoders know whether they do."""
    return all(part.kind in ("encoder", "features") for part in (config.video, config.audio))


def not_joint(config: Config) -> InputError:
    """Returns the error for features that do not come from one joint encoder."""
    named = [part.encoder or part.features or part.kind for part in (config.video, config.audio)]
    named[0] += ", with video.pooling=max" if config.video.pooling == "max" else ""
    return InputError(
        f"The video features ({named[0]}) and the audio features ({named[1]}) do not share an embedding space",
        where=f"the system {config.system}",
        expected="the two halves of one joint encoder, with the same weights, and video.pooling mean or none",
        next_step="specify it with --video-encoder and --speech-encoder, such as pe_av:FOLDER; see docs/encoders.md",
    )
