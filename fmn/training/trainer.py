"""The training loop: one epoch over the training pairs, and one validation pass on fold 0."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from dataset_tools.core.errors import ToolkitError
from dataset_tools.core.seeds import training_generator, training_seed
from fmn.config import Config, TrainingConfig
from fmn.data.batches import Indices, ItemTensors, epoch_batches
from fmn.data.items import TrainValSplit
from fmn.data.spec_augment import augmented
from fmn.metrics.directions import by_direction
from fmn.metrics.retrieval_metrics import mean_average_precision, recall_at_k
from fmn.models.retrieval_model import RetrievalModel, encode_all, fit_generator, score_matrix
from fmn.optimizers import Adam
from fmn.training.distributed import ALONE, Processes


class TrainingLoop:
    """Trains ``model`` on the training part of ``data``.

    Epochs are numbered from 1. All random numbers of an epoch are seeded by the run's seed and the epoch number, so
    that an epoch depends only on its initial weights, not on anything that happened before.

    Args:
        config: the configuration; ``config.training`` is used.
        model: the model to train, on the device of ``data``.
        data: the features of all items.
        parts: training and validation items.
        processes: the training processes; a batch has ``batch_size`` pairs for each of them.
    """

    def __init__(
        self,
        config: Config,
        model: RetrievalModel,
        data: ItemTensors,
        parts: TrainValSplit,
        processes: Processes = ALONE,
    ) -> None:
        self.config = config
        self.processes = processes
        self.model = model
        self.data = data
        self.parts = parts
        training = config.training
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = _optimizer(parameters, training, fused=data.device.type == "cuda")
        self.parameters = sum(parameter.numel() for parameter in parameters)
        self.epochs = training.epochs if self.optimizer else 1  # a closed form is computed once
        self.pairs_per_epoch = training.pairs_per_epoch or len(parts.train_pairs)
        processes.divide(model)

    def run_epoch(self, number: int, report: Callable[[int], None]) -> dict[str, float]:
        """Trains epoch ``number``, then calls `fit_after_epoch` unless nothing uses its result.

        Args:
            number: epoch number, from 1.
            report: called with the number of pairs processed during the epoch.

        Returns:
            The mean of each term of the loss, ``loss`` (their sum) and ``pairs_per_s``.

        Raises:
            ToolkitError: the loss is no longer finite.
        """
        seed = self.config.training.seed
        torch.manual_seed(training_seed(seed, "epoch", number))
        started = time.perf_counter()
        sums = self._run_batches(number, report) if self.optimizer else {}
        figures = {name: float(value) for name, value in sums.items()}  # the only device synchronization in an epoch
        if not all(torch.isfinite(torch.tensor(value)) for value in figures.values()):
            raise ToolkitError(
                f"The loss is NaN or infinite: {figures}",
                where=f"epoch {number}",
                expected="finite losses",
                next_step="lower training.learning_rate or training.max_grad_norm (--set), or leave out bf16; "
                "the epochs before this one are kept",
            )
        seconds = time.perf_counter() - started
        if self.model.losses_use_fit or self.validates(number) or not self.parts.validates:
            self.model.fit_after_epoch(
                self.data,
                self.parts.train_clips,
                self.parts.train_utterances,
                fit_generator(seed, number),
            )
        self.processes.copy_first(self.model)
        return figures | {"loss": sum(figures.values()), "pairs_per_s": self.pairs_per_epoch / seconds}

    def _run_batches(self, number: int, report: Callable[[int], None]) -> dict[str, Tensor]:
        """Trains all batches of an epoch, without synchronizing with the device."""
        assert self.optimizer is not None
        training = self.config.training
        batches = epoch_batches(
            self.parts.train_pairs,
            self.data.lengths,
            batch_size=training.batch_size * self.processes.count,
            count=training.pairs_per_epoch,
            generator=training_generator(training.seed, "batches", number),
        )
        self.model.train()
        sums: dict[str, Tensor] = {}
        done = 0
        for pairs in batches:
            batch = self.data.batch(pairs)
            audio = augmented(self.model.mix_layers(batch.audio), training.augment, self.data.audio_band)
            use_bf16 = training.amp == "bf16" and self.data.device.type == "cuda"
            with torch.autocast(self.data.device.type, torch.bfloat16, enabled=use_bf16):
                losses = self.model.losses(replace(batch, audio=audio))
            self.optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
            self.processes.average_gradients(self.model)
            nn.utils.clip_grad_norm_(self.model.parameters(), training.max_grad_norm)
            self.optimizer.step()
            self.model.after_step()
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach() * (len(pairs) / self.pairs_per_epoch)
            done += len(pairs)
            report(done)
        return sums

    def validates(self, number: int) -> bool:
        """Whether fold 0 is evaluated after epoch ``number``; the checkpoint is one of them, if there are any."""
        every = self.config.training.validate_every
        return self.parts.validates and (number == self.epochs or number % every == 0)

    def validate(self) -> dict[str, float]:
        """Class hit@1 and the mean average precision (``map``) on fold 0, percent, by direction."""
        clips, utterances = self.parts.validation_clips, self.parts.validation_utterances
        scores = score_matrix(self.model, *encode_all(self.model, self.data, clips, utterances)).numpy()
        clip_classes, utterance_classes = self._classes(clips, utterances)
        match = clip_classes[:, None] == utterance_classes[None]
        found: dict[str, float] = {}
        for direction, (matrix, relevant) in by_direction(scores, match):
            has_relevant = relevant.any(axis=1)  # a query without relevant items has no metrics
            found[f"{direction}_hit@1"] = recall_at_k(matrix[has_relevant], relevant[has_relevant], ks=(1,))[1]
            found[f"{direction}_map"] = mean_average_precision(matrix[has_relevant], relevant[has_relevant])
        return found

    def _classes(self, clips: Indices, utterances: Indices) -> tuple[Indices, Indices]:
        return self.data.clip_classes.cpu().numpy()[clips], self.data.utterance_classes.cpu().numpy()[utterances]


def _optimizer(parameters: list[nn.Parameter], training: TrainingConfig, *, fused: bool) -> torch.optim.Adam | None:
    """Adam at a constant learning rate, without a schedule; None if there are no parameters.

    The training of the video backbone has a schedule (`fmn.features.backbone_training.learning_rate_schedule`).
    """
    if not parameters:
        return None
    return Adam(parameters, lr=training.learning_rate, weight_decay=training.weight_decay, fused=fused)
