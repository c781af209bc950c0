"""Attention of steps: each window and each Bi-LSTM state reads the slots (or classes) by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dataset_tools.core.errors import InputError
from fmn.config import Config, with_values
from fmn.data.batches import ItemTensors
from fmn.data.sequences import Sequences
from fmn.evaluation.evaluate import evaluate
from fmn.models import retrieval_model
from fmn.models.baselines.class_towers import ClassTowers
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import RetrievalModel, encode_all_clips, encode_all_utterances, score_matrix
from fmn.models.step_attention import StepPooling, pooled_log_shares
from fmn.models.utterance_encoder import UtteranceEncoder
from fmn.systems import find_system
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
VIDEO_DIM, AUDIO_DIM, CLASSES = 5, 4, 3
CPU = torch.device("cpu")
Rows = list[NDArray[np.float32]]


def rows(seed: int, count: int, dim: int, most: int) -> Rows:
    """Sequences of 1 to ``most`` rows."""
    random = np.random.default_rng(seed)
    return [random.normal(size=(1 + n * 5 % most, dim)).astype(np.float32) for n in range(count)]


def items(video: Rows, audio: Rows) -> ItemTensors:
    classes = np.arange(20) % CLASSES
    return ItemTensors(video, audio, classes[: len(video)], classes[: len(audio)], CPU)


def built(name: str, small: Config, **changes: Any) -> RetrievalModel:
    torch.manual_seed(0)
    values = {name.replace("__", "."): value for name, value in changes.items()}
    config = with_values(small, {"system": name, "training.seed": 0, **values})
    model = find_system(name).model(find_system(name).complete(config), VIDEO_DIM, AUDIO_DIM)
    data = items(rows(1, 9, VIDEO_DIM, 4), rows(2, 9, AUDIO_DIM, 12))
    model.prepare(data, np.arange(9), np.arange(9))
    model.fit_after_epoch(data, np.arange(9), np.arange(9), np.random.default_rng(0))
    return model.eval()


def network(small: Config, pooling: str = "mean", **changes: Any) -> FeatureMemoryNetwork:
    values = {"memory__score_threshold": 0.0, "model__step_attention": pooling, "model__frame_stack": 1, **changes}
    model = built("fmn", small, **values)
    assert isinstance(model, FeatureMemoryNetwork)
    return model


def all_scores(model: RetrievalModel, data: ItemTensors) -> NDArray[np.float32]:
    clips, utterances = np.arange(len(data.clip_classes)), np.arange(len(data.lengths))
    matrix: NDArray[np.float32] = score_matrix(
        model, encode_all_clips(model, data, clips), encode_all_utterances(model, data, utterances)
    ).numpy()
    return matrix


def by_hand(shares: NDArray[np.float64], pooling: str) -> NDArray[np.float64]:
    """[T, X] shares of the steps → [X]."""
    if pooling == "mean":
        return np.asarray(sum(shares) / len(shares))
    largest = np.array([max(column) for column in shares.T])
    return largest / largest.sum()


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(values) / np.exp(values).sum())


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_shares_of_steps_become_those_of_the_item(pooling: StepPooling) -> None:
    lengths = [3, 1, 5]
    logits = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    steps = logits.log_softmax(2)
    for row, length in enumerate(lengths):
        steps[row, length:] = float("nan")
    found = pooled_log_shares(Sequences(steps, torch.tensor(lengths)), pooling).exp().numpy()
    for row, length in enumerate(lengths):
        shares = np.array([softmax(logits[row, step].numpy()) for step in range(length)])
        np.testing.assert_allclose(found[row], by_hand(shares, pooling), rtol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1)


def test_steps_are_the_outputs_of_torchs_bidirectional_lstm_frame_by_frame() -> None:
    torch.manual_seed(1)
    encoder = UtteranceEncoder(6, 5)
    lstm = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
    values = dict(encoder.forwards.state_dict())
    lstm.load_state_dict(values | {f"{name}_reverse": value for name, value in encoder.backwards.state_dict().items()})
    frames, lengths = torch.randn(3, 7, 6), [7, 1, 4]
    found = encoder.steps(encoder.states(Sequences(frames, torch.tensor(lengths))))
    for row, length in enumerate(lengths):
        expected = lstm(frames[row : row + 1, :length])[0][0]
        torch.testing.assert_close(found.frames[row, :length], expected)


@pytest.mark.parametrize("space", ["mapped", "raw"])
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_each_step_reads_the_slots_by_itself(small: Config, pooling: str, space: str) -> None:
    model = network(small, pooling, memory__space=space, model__score="memory", memory__class_slots=False)
    slots, temperature = model.memory.size, small.memory.temperature
    assert slots >= 1
    state = model.memory.state_dict()
    for name in ("video_slots", "audio_slots"):  # slots with nothing in common
        state[name][:4] = torch.randn(4, state[name].shape[1], generator=torch.Generator().manual_seed(3))
    state["counts"][:4], state["slot_classes"][:4] = 1, -1
    model.memory.load_state_dict(state)
    slots = model.memory.size
    video, audio = rows(5, 3, VIDEO_DIM, 4), rows(6, 4, AUDIO_DIM, 9)

    def shares(step: Tensor, mapping: nn.Module, held: Tensor) -> NDArray[np.float64]:
        row = mapping(step) if space == "mapped" else step
        cosines = [float(torch.cosine_similarity(row, held[slot], dim=0)) for slot in range(slots)]
        return softmax(np.array(cosines) / temperature)

    with torch.no_grad():
        of_clips = [
            by_hand(np.array([shares(step, model.map_video, model.memory.video_slots) for step in steps]), pooling)
            for steps in ((torch.from_numpy(clip) - model.video_mean) / model.video_scale for clip in video)
        ]
        of_utterances = [
            by_hand(np.array([shares(step, model.map_audio, model.memory.audio_slots) for step in steps]), pooling)
            for steps in (
                model.encoder.steps(
                    model.encoder.states(Sequences(torch.from_numpy(frames)[None], torch.tensor([len(frames)])))
                ).frames[0]
                for frames in audio
            )
        ]
    agreement = np.array([[float(clip @ spoken) for spoken in of_utterances] for clip in of_clips])
    weight = float(nn.functional.softplus(model.scale.detach()))
    expected = weight * np.log(np.maximum(agreement, 1e-4)) + float(model.shift.detach())
    np.testing.assert_allclose(all_scores(model, items(video, audio)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["fmn", "class_towers", "two_classifiers"])
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_padding_order_and_tiles_change_no_score(
    name: str, pooling: str, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built(name, small, model__step_attention=pooling, memory__score_threshold=0.0)
    video, audio = rows(5, 7, VIDEO_DIM, 4), rows(6, 8, AUDIO_DIM, 12)
    together = all_scores(model, items(video, audio))
    assert together.std() > 1e-4
    for clip in range(7):
        for utterance in range(8):
            alone = all_scores(model, items([video[clip]], [audio[utterance]]))
            np.testing.assert_allclose(alone[0, 0], together[clip, utterance], rtol=1e-6, atol=1e-6)
    monkeypatch.setattr(retrieval_model, "TILE", 3)
    monkeypatch.setattr(retrieval_model, "FRAMES_AT_ONCE", 6)
    turned = all_scores(model, items(video[::-1], audio[::-1]))
    np.testing.assert_allclose(turned[::-1, ::-1], together, rtol=1e-6, atol=1e-6)


def test_windows_matter_and_a_clip_of_one_vector_is_one_step(small: Config) -> None:
    model = network(small)
    video, audio = rows(5, 3, VIDEO_DIM, 4), rows(6, 4, AUDIO_DIM, 9)
    windows, means = items(video, audio), [clip.mean(0) for clip in video]
    assert not np.allclose(all_scores(model, windows), all_scores(model, items(means, audio)), atol=1e-4)
    of_one = items([mean[None] for mean in means], audio)
    np.testing.assert_allclose(all_scores(model, of_one), all_scores(model, items(means, audio)), atol=1e-6)


@pytest.mark.parametrize("name", ["fmn", "two_classifiers", "cca", "vmnet"])
def test_without_attention_windows_are_their_mean_to_the_bit(name: str, small: Config) -> None:
    model = built(name, small)
    video, audio = rows(5, 6, VIDEO_DIM, 4), rows(6, 6, AUDIO_DIM, 9)
    means = [clip.mean(0, np.float64).astype(np.float32) for clip in video]
    found, expected = (all_scores(model, items(clips, audio)) for clips in (video, means))
    np.testing.assert_array_equal(found, expected)


def test_the_control_attends_over_its_class_vectors(small: Config) -> None:
    model = built("class_towers", small, model__step_attention="mean", model__score="memory", training__s1_weight=0.0)
    assert isinstance(model, ClassTowers)
    video = rows(5, 2, VIDEO_DIM, 4)
    with torch.no_grad():
        standardized = (torch.from_numpy(video[0]) - model.video_mean) / model.video_scale
        mapped = nn.functional.normalize(model.map_video(standardized), dim=1)
        cosines = mapped @ nn.functional.normalize(model.class_vectors.video, dim=1).T
        expected = (cosines / model.config.memory.temperature).softmax(dim=1).mean(dim=0)
    found = encode_all_clips(model, items(video, rows(6, 2, AUDIO_DIM, 9)), np.arange(2))["log_shares"][0].exp()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_while_the_memories_are_empty_all_agree(small: Config) -> None:
    model = network(small, model__score="s1*max")
    data = items(rows(5, 3, VIDEO_DIM, 4), rows(6, 4, AUDIO_DIM, 9))
    model.memory.clear()
    empty = all_scores(model, data)
    model.config = with_values(model.config, {"model.score": "s1"})
    s1 = torch.from_numpy(all_scores(model, data))
    np.testing.assert_allclose(empty, nn.functional.logsigmoid(s1).numpy(), atol=1e-6)


def test_the_slot_loss_is_of_the_pooled_shares(small: Config) -> None:
    model = network(small)
    assert model.memory.size == CLASSES
    data = items(rows(5, 6, VIDEO_DIM, 4), rows(6, 6, AUDIO_DIM, 9))
    batch = data.batch(np.array([[0, 0], [1, 4], [2, 2]]))
    losses = model.losses(batch)
    for side, embeddings, classes in (
        ("video", encode_all_clips(model, data, np.array([0, 1, 2])), batch.clip_classes),
        ("audio", encode_all_utterances(model, data, np.array([0, 2, 4])), batch.utterance_classes),
    ):
        places = [model.memory.slot_classes[:CLASSES].tolist().index(label) for label in classes.tolist()]
        own = [float(row[place].exp()) for row, place in zip(embeddings["log_shares"], places, strict=True)]
        np.testing.assert_allclose(losses[f"{side}_slots"].item(), np.mean(-np.log(own)), rtol=1e-5)
    sum(losses.values(), start=torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None)


def test_shares_stay_in_float32_under_autocast(small: Config) -> None:
    model = network(small)
    data = items(rows(5, 6, VIDEO_DIM, 4), rows(6, 6, AUDIO_DIM, 9))
    exact = all_scores(model, data)
    with torch.autocast("cpu", torch.bfloat16):
        embeddings = encode_all_utterances(model, data, np.arange(6))["log_shares"]
        rough = all_scores(model, data)
    assert embeddings.dtype == torch.float32
    np.testing.assert_allclose(rough, exact, atol=0.5)


def test_a_read_without_shares_is_refused_and_a_score_without_memory_has_no_steps(small: Config) -> None:
    for changes in ({"memory__read": "max"}, {"model__score": "distance"}):
        with pytest.raises(InputError, match="Step attention needs a softmax over slots"):
            network(small, **changes)
    assert network(small, model__score="cosine", memory__read="max").attention is None


def test_codes_of_other_slots_are_refused(small: Config) -> None:
    model = network(small)
    data = items(rows(5, 3, VIDEO_DIM, 4), rows(6, 4, AUDIO_DIM, 9))
    clips, utterances = encode_all_clips(model, data, np.arange(3)), encode_all_utterances(model, data, np.arange(4))
    state = model.memory.state_dict()
    state["counts"][CLASSES] = 1
    model.memory.load_state_dict(state)
    with pytest.raises(InputError, match="do not match"):
        model.scores(clips, utterances)


@pytest.mark.usefixtures("made_features")
@pytest.mark.parametrize("name", ["fmn", "two_classifiers"])
def test_training_with_steps_learns_and_goes_on_where_it_was_stopped(name: str, workspace: Path, small: Config) -> None:
    from fmn.training.checkpoint import load_run

    manifest = workspace / "manifests" / "train.jsonl"
    values = {"system": name, "model.step_attention": "mean", "training.epochs": 6, "training.pairs_per_epoch": 64}
    config = with_values(small, values)
    whole, in_parts = workspace / "runs" / "whole", workspace / "runs" / "parts"
    train(manifest, config, whole)
    train(manifest, with_values(config, {"training.epochs": 2}), in_parts)
    train(manifest, config, in_parts)
    one, other = (load_run(run, CPU).model.state_dict() for run in (whole, in_parts))
    assert all(torch.equal(one[key], other[key]) for key in one)
    metrics = evaluate(whole, workspace / "manifests" / "test.jsonl").metrics
    assert min(metrics[way]["class_map"] for way in metrics) > 60  # chance is about 37
