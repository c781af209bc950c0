"""Two independent classifiers: the product of the class posteriors of a clip and an utterance.

Not in the paper, but a strong baseline: the classes are known in training, so a system that only classifies each side
may use them, too. P(match) = Σ over the classes c of P(c | clip) · P(c | utterance). The clip classifier has one hidden
layer on the same features, the utterance classifier is FMN's Bi-LSTM and a linear layer, trained end to end, each with
a cross-entropy. It cannot distinguish items within a class: the class-knowledge ceiling is its limit. With step
attention (``model.step_attention``), every window and every state of the Bi-LSTM has its own class posterior, and these
are pooled as FMN pools the shares of slots.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fmn.config import Config
from fmn.data.batches import Batch, Indices, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.baselines.parts.class_vectors import class_count
from fmn.models.baselines.parts.classifiers import ClipClassifier, UtteranceClassifier
from fmn.models.retrieval_model import Embeddings, RetrievalModel
from fmn.models.step_attention import StepPooling, pooled_log_shares
from fmn.models.system_interface import OF_FMN, OF_TRIPLETS, Changes, System, of_both_sides


class TwoClassifiers(RetrievalModel):
    """A classifier of clips and one of utterances."""

    def __init__(self, config: Config, video_dim: int, audio_dim: int) -> None:
        super().__init__()
        attention = config.model.step_attention
        self.attention: StepPooling | None = None if attention == "off" else attention
        self.clips = ClipClassifier(config, video_dim)
        self.utterances = UtteranceClassifier(config, audio_dim)

    def encode_clips(self, video: Tensor) -> Embeddings:
        """[N, Dv] → ``log_posterior`` [N, C]."""
        return self.encode_windows(video, None)

    def encode_windows(self, video: Tensor, windows: Sequences | None) -> Embeddings:
        """The same; with step attention, from the posteriors of the windows."""
        if windows is None or self.attention is None:
            return self._posterior(Sequences.of_vectors(self.clips(video)))
        return self._posterior(windows._replace(frames=self.clips(windows.frames)))

    def encode_utterances(self, audio: Sequences) -> Embeddings:
        """M sequences → ``log_posterior`` [M, C]."""
        steps = self.utterances.steps(audio) if self.attention else Sequences.of_vectors(self.utterances(audio))
        return self._posterior(steps)

    def _posterior(self, logits: Sequences) -> Embeddings:
        """Class logits of steps [N, T, C] → ``log_posterior`` [N, C]."""
        of_steps = logits.frames.float().log_softmax(dim=2)
        if self.attention is None:
            return {"log_posterior": of_steps.squeeze(1)}
        return {"log_posterior": pooled_log_shares(logits._replace(frames=of_steps), self.attention)}

    def scores(self, clips: Embeddings, utterances: Embeddings) -> Tensor:
        """[N, M]: log probability that both are of the same class."""
        both = clips["log_posterior"][:, None] + utterances["log_posterior"][None]
        return both.logsumexp(dim=2)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of each side."""
        clips, utterances = self.encode_windows(batch.video, batch.windows), self.encode_utterances(batch.audio)
        return {
            "clip_class": functional.nll_loss(clips["log_posterior"], batch.clip_classes),
            "utterance_class": functional.nll_loss(utterances["log_posterior"], batch.utterance_classes),
        }

    def prepare(self, data: ItemTensors, clips: Indices, utterances: Indices) -> None:
        self.clips.standardized.fit(data.video[data.on_device(clips)])
        self.clips.head.open(class_count(data))
        self.utterances.head.open(class_count(data))


def grid(config: Config) -> tuple[Changes, ...]:
    """Learning rates and dropout."""
    rate = config.training.learning_rate
    return ({}, {"training.learning_rate": rate / 3}, {"model.dropout": 0.5}, {"training.learning_rate": rate / 10})


SYSTEM = System(
    name="two_classifiers",
    summary="product of the class posteriors of two separate classifiers",
    build=TwoClassifiers,
    grid=grid,
    class_cross_entropy=of_both_sides,
    ignored=(*OF_FMN, *OF_TRIPLETS, "memory.temperature", "model.embed_dim"),
)
