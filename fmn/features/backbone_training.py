"""Training of a stream of the video backbone on labeled clips (paper, section 3.1: softmax loss on both streams).

The paper fine-tunes a Kinetics network on its footage; here a stream starts from any weights, including random ones.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.files import written_whole
from dataset_tools.core.progress import Progress, silent
from fmn.config_sections import Count, NotNegative, Proportion, check
from fmn.features.backbone import load_networks, scaling
from fmn.features.config import VideoFeatureConfig
from fmn.features.i3d import I3D
from fmn.features.media import Media
from fmn.features.random_windows import mirrored, random_window
from fmn.features.sample_store import SampleStore
from fmn.features.windows import center_crop, windows_of
from fmn.features.workers import overlapped
from fmn.optimizers import AdamW
from fmn.random_state import isolated_random_state


@dataclass(frozen=True)
class LabeledClip:
    """A clip and its class label."""

    media: Media
    label: str


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """Hyperparameters of training a stream.

    Attributes:
        epochs: passes over the clips; each uses one random window and crop of a clip.
        batch: clips per step.
        learning_rate: of AdamW, reached after ``warmup`` of all steps, followed by cosine decay to zero.
        warmup: share of the steps.
        weight_decay: of AdamW, on convolutions only.
        label_smoothing: share of the target that is spread over all labels.
        action_weight: of a second loss, on the action alone: the part of a label before its first ``_``. A network
            learns motion before it learns which object moves.
        dropout: before the classifier.
        flip: whether half of the windows are mirrored (Carreira and Zisserman, 2017, section 4).
        jitter: brightness, contrast and color balance vary by up to this share (RGB only).
        batch_norm_momentum: 0.1 tracks a fast-changing network; the published networks use 0.01.
        seed: of windows, crops, order, dropout and the classifier.
    """

    epochs: Count = 12
    batch: Count = 16
    learning_rate: NotNegative = 3e-3
    warmup: Proportion = 0.05
    weight_decay: NotNegative = 0.02
    label_smoothing: Proportion = 0.05
    action_weight: NotNegative = 1.0
    dropout: Proportion = 0.2
    flip: bool = True
    jitter: Proportion = 0.2
    batch_norm_momentum: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class TrainedStream:
    """A trained stream.

    Attributes:
        state: parameters by their published names, classifier included.
        losses: mean training loss of every epoch.
        accuracy: final top-1 accuracy on the validation clips in percent; None if there are none.
    """

    state: dict[str, Tensor]
    losses: tuple[float, ...]
    accuracy: float | None


def train_stream(
    stream: str,
    clips: Sequence[LabeledClip],
    validation: Sequence[LabeledClip],
    config: VideoFeatureConfig,
    recipe: TrainingRecipe,
    *,
    store: SampleStore,
    checkpoint: Path | None = None,
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress = silent,
) -> TrainedStream:
    """Trains one stream.

    The same clips, recipe and device yield the same weights; with a ``checkpoint`` also if training is interrupted
    after any epoch and resumed. The caller's random state is restored.

    Args:
        stream: ``rgb`` or ``flow``.
        clips: training clips; their labels are the classes of the classifier.
        validation: evaluated after training, never used for selection.
        config: backbone, size of windows, and the weights to start from.
        recipe: hyperparameters.
        store: holds the samples of all clips.
        checkpoint: file for the state needed to resume; removed at the end.
        device: a torch device.
        jobs: threads that read windows.
        progress: progress callback, called after every epoch.

    Raises:
        InputError: there are fewer than two labels, the backbone is not I3D, or flow is requested for single frames.
        StoppedError: the loss is not finite.
    """
    labels = sorted({clip.label for clip in clips})
    _check_trainable(stream, labels, config)
    with isolated_random_state(torch.device(device), deterministic=False):
        network = _with_head(stream, len(labels), config, recipe)
        network.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        optimizer = AdamW(_groups(network, recipe), lr=recipe.learning_rate)
        steps = math.ceil(len(clips) / recipe.batch)
        scale = scaling(config)[stream]
        actions = actions_of(labels).to(device)
        losses = [] if checkpoint is None else _load(checkpoint, network, optimizer)

        def loss_of(pixels: NDArray[Any], targets: Tensor) -> Tensor:
            x = scale(torch.from_numpy(pixels).to(device))
            if stream == "rgb" and recipe.jitter:
                x = _jittered(x, recipe.jitter)
            return label_loss(network(x), targets.to(device), actions, recipe)

        for epoch in range(len(losses), recipe.epochs):
            torch.manual_seed(_seed(recipe, stream, "dropout", epoch))
            batches = _batches(stream, clips, labels, config, recipe, store, epoch, jobs)
            rates = [learning_rate_schedule(epoch * steps + n, recipe.epochs * steps, recipe) for n in range(steps)]
            losses.append(_train_epoch(network, optimizer, batches, rates, loss_of))
            if not math.isfinite(losses[-1]):
                raise StoppedError(
                    f"The loss of the {stream} stream became {losses[-1]} in epoch {epoch + 1}",
                    next_step="lower the learning rate",
                )
            if checkpoint is not None:
                _save(checkpoint, network, optimizer, losses)
            progress(f"training the {stream} stream", epoch + 1, recipe.epochs, f"loss {losses[-1]:.3f}")
        accuracy = evaluate(network, stream, validation, labels, config, store, device) if validation else None
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
        state = {
            name: value.detach().cpu()
            for name, value in network.state_dict().items()
            if "num_batches_tracked" not in name
        }
        return TrainedStream(state, tuple(losses), accuracy)


def _check_trainable(stream: str, labels: Sequence[str], config: VideoFeatureConfig) -> None:
    """Checks that the stream can be trained to tell the labels apart.

    Raises:
        InputError: it cannot.
    """
    if config.backbone != "i3d" or len(labels) < 2:
        raise InputError(
            f"A stream of {config.backbone} cannot be trained on {count_of(len(labels), 'label')}",
            expected="backbone i3d, and clips of at least two labels",
        )
    if stream == "flow" and config.frames == "middle":
        raise InputError("A single frame has no flow to train on", expected="flow='none' with frames='middle'")


def _train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[tuple[NDArray[Any], Tensor]],
    rates: Iterable[float],
    loss_of: Callable[[NDArray[Any], Tensor], Tensor],
) -> float:
    """Takes a step on each batch, with its learning rate; returns the mean loss of their clips."""
    network.train()
    count = 0
    total = torch.zeros((), device=next(network.parameters()).device)
    for (pixels, targets), rate in zip(batches, rates, strict=False):  # there may be one batch fewer, see `_batches`
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = loss_of(pixels, targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.detach() * len(targets)
        count += len(targets)
    return float(total) / max(1, count)  # a single clip is no batch


def actions_of(labels: Sequence[str]) -> Tensor:
    """[L] the index of each label's action, which is the part before its first ``_``."""
    actions = [label.split("_")[0] for label in labels]
    return torch.tensor([sorted(set(actions)).index(action) for action in actions])


def label_loss(logits: Tensor, targets: Tensor, actions: Tensor, recipe: TrainingRecipe) -> Tensor:
    """Cross-entropy of the labels plus that of their actions; an action has the total probability of its labels.

    Args:
        logits: [B, L].
        targets: [B] label indices.
        actions: [L] action index of each label. If every label has its own action, the second loss is omitted.
        recipe: weights and smoothing.
    """
    loss = cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
    count = int(actions.max()) + 1
    if recipe.action_weight and count < len(actions):
        by_action = torch.stack([logits[:, actions == action].logsumexp(1) for action in range(count)], dim=1)
        of_action = cross_entropy(by_action, actions[targets], label_smoothing=recipe.label_smoothing)
        loss = loss + recipe.action_weight * of_action
    return loss


@torch.inference_mode()
def evaluate(
    network: I3D,
    stream: str,
    clips: Sequence[LabeledClip],
    labels: Sequence[str],
    config: VideoFeatureConfig,
    store: SampleStore,
    device: str,
) -> float:
    """Returns the top-1 accuracy in percent, on the windows used in feature extraction."""
    network.eval()
    scale = scaling(config)[stream]
    correct = 0
    for clip in clips:
        samples = store.samples(clip.media.sha256, stream)
        placed = windows_of(len(samples), config)
        pixels = torch.from_numpy(center_crop(samples, config.crop_px)[placed])
        logits = network(scale(pixels.to(device))).mean(dim=0)
        correct += labels[int(logits.argmax())] == clip.label
    return 100 * correct / len(clips)


def _batches(
    stream: str,
    clips: Sequence[LabeledClip],
    labels: Sequence[str],
    config: VideoFeatureConfig,
    recipe: TrainingRecipe,
    store: SampleStore,
    epoch: int,
    jobs: int,
) -> Iterator[tuple[NDArray[Any], Tensor]]:
    """Yields one epoch: windows [B, T, H, W, C] and labels [B]. A last batch of one clip is dropped for batch norm."""
    order = np.random.default_rng(_seed(recipe, "order", epoch)).permutation(len(clips))
    starts = range(0, len(clips), recipe.batch)
    parts = [order[start : start + recipe.batch] for start in starts if len(order[start:]) > 1]

    def read(part: NDArray[np.intp]) -> NDArray[Any]:
        windows = []
        for number in part:
            sha256 = clips[number].media.sha256
            rng = np.random.default_rng(_seed(recipe, "window", epoch, sha256))  # the same for both streams
            window = random_window(store.samples(sha256, stream), config, rng)
            windows.append(mirrored(window) if recipe.flip and rng.random() < 0.5 else window)
        return np.stack(windows)

    for part, pixels in overlapped(read, parts, jobs):
        yield pixels, torch.tensor([labels.index(clips[number].label) for number in part])


def _with_head(stream: str, labels: int, config: VideoFeatureConfig, recipe: TrainingRecipe) -> I3D:
    """Builds a stream of a configuration with its weights and a newly initialized classifier."""
    body = load_networks(config)[stream]
    torch.manual_seed(_seed(recipe, stream, "classifier"))
    network = I3D(3 if stream == "rgb" else 2, classes=labels, width=config.width, dropout=recipe.dropout)
    network.load_state_dict(body.state_dict(), strict=False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = recipe.batch_norm_momentum
    return network


def _groups(network: nn.Module, recipe: TrainingRecipe) -> list[dict[str, object]]:
    """Parameter groups: weight decay for convolutions, none for biases and batch norm."""
    decayed = [value for value in network.parameters() if value.dim() > 1]
    others = [value for value in network.parameters() if value.dim() == 1]
    return [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]


def learning_rate_schedule(step: int, steps: int, recipe: TrainingRecipe) -> float:
    """Returns the learning rate at a step: linear warmup, then cosine decay to zero."""
    warmup = max(1, round(steps * recipe.warmup))
    if step < warmup:
        return recipe.learning_rate * ((step + 1) / warmup)
    return recipe.learning_rate * ((1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2)


def _jittered(x: Tensor, share: float) -> Tensor:
    """Color jitter of [B, 3, T, H, W]: contrast, color balance and brightness, drawn once per clip."""

    def draw(*shape: int) -> Tensor:
        return (torch.rand(shape) * 2 - 1).mul(share).to(x.device)

    batch = len(x)
    return x * (1 + draw(batch, 1, 1, 1, 1)) * (1 + draw(batch, 3, 1, 1, 1) / 2) + draw(batch, 1, 1, 1, 1)


def _seed(recipe: TrainingRecipe, *names: str | int) -> int:
    text = " ".join(map(str, (recipe.seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def _load(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> list[float]:
    """Restores the state after the last epoch, if there is one; returns the losses of the epochs so far."""
    if not path.is_file():
        return []
    # Both move what belongs on the device; numbers of steps on a GPU would be read from there in every step.
    saved = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(saved["network"])
    optimizer.load_state_dict(saved["optimizer"])
    losses: list[float] = saved["losses"]
    return losses


def _save(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, losses: list[float]) -> None:
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
    with written_whole(path) as partial:
        torch.save(state, partial)
