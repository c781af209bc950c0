from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fmn.config import Config, with_values
from fmn.data.batches import Batch, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import Embeddings
from fmn.models.score_heads import HiddenHead, LinearHead

N, M, VIDEO_DIM, AUDIO_DIM = 5, 7, 12, 8


def network(config: Config, seed: int = 0, **changes: object) -> FeatureMemoryNetwork:
    torch.manual_seed(seed)
    values = {name.replace("__", "."): value for name, value in changes.items()}
    return FeatureMemoryNetwork(with_values(config, values), VIDEO_DIM, AUDIO_DIM).eval()


def features(seed: int = 1) -> tuple[Tensor, Sequences]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 10, (M,), generator=generator)
    return torch.randn(N, VIDEO_DIM, generator=generator), Sequences(
        torch.randn(M, 9, AUDIO_DIM, generator=generator), lengths
    )


def codes_of(model: FeatureMemoryNetwork) -> tuple[Embeddings, Embeddings]:
    video, audio = features()
    with torch.no_grad():
        return model.encode_clips(video), model.encode_utterances(audio)


def batch_of(seed: int = 1) -> Batch:
    video, audio = features(seed)
    clip_classes, utterance_classes = torch.arange(N) % 3, torch.arange(M) % 3
    return Batch(
        video=video,
        audio=audio,
        match=clip_classes[:, None] == utterance_classes[None],
        pairs=torch.tensor([[0, 0], [1, 4], [2, 2]]),
        clip_classes=clip_classes,
        utterance_classes=utterance_classes,
    )


def fill(model: FeatureMemoryNetwork, slots: int = 4) -> None:
    """Gives the memories slots that have nothing to do with each other."""
    generator = torch.Generator().manual_seed(9)
    state = model.memory.state_dict()
    for name in ("video_slots", "audio_slots"):
        state[name][:slots] = torch.randn(slots, state[name].shape[1], generator=generator)
    state["counts"][:slots] = 1
    state["slot_classes"][:] = -1
    model.memory.load_state_dict(state)


def test_the_hidden_head_is_a_hidden_layer_on_the_two_vectors_side_by_side() -> None:
    torch.manual_seed(0)
    head = HiddenHead(6, 4, 0.5).eval()
    video, audio = torch.randn(N, 6), torch.randn(M, 6)
    weight = torch.cat([head.video.weight, head.audio.weight], dim=1)
    logits = head(video[:, None], audio[None])
    for i in range(N):
        for j in range(M):
            hidden = torch.relu(weight @ torch.cat([video[i], audio[j]]) + head.video.bias)
            torch.testing.assert_close(logits[i, j], (head.output.weight @ hidden + head.output.bias)[0])
    torch.testing.assert_close(head(video, audio[:N]), logits[range(N), range(N)])


def test_the_linear_head_is_a_softmax_layer_and_cannot_match() -> None:
    torch.manual_seed(0)
    head = LinearHead(6)
    video, audio = torch.randn(N, 6), torch.randn(M, 6)
    logits = head(video[:, None], audio[None])
    weight = torch.cat([head.video.weight, head.audio.weight], dim=1)
    for i in range(N):
        for j in range(M):
            both = torch.softmax(weight @ torch.cat([video[i], audio[j]]) + head.video.bias, 0)
            torch.testing.assert_close(torch.sigmoid(logits[i, j]), both[0])
    # Note 2 on the paper: whatever the query, the order of the gallery is the same.
    assert len({tuple(row.argsort().tolist()) for row in logits}) == 1
    assert len({tuple(row.argsort().tolist()) for row in HiddenHead(6, 8, 0.0)(video[:, None], audio[None])}) > 1


def test_mapped_vectors_have_length_1_and_raw_ones_are_kept_where_the_memory_wants_them(small: Config) -> None:
    for codes in codes_of(network(small)):
        assert set(codes) == {"mapped"}
        torch.testing.assert_close(codes["mapped"].norm(dim=1), torch.ones(len(codes["mapped"])))
    raw = network(small, memory__space="raw")
    clips, utterances = codes_of(raw)
    video, audio = features()
    torch.testing.assert_close(clips["raw"], video)
    torch.testing.assert_close(utterances["raw"], raw.encoder(audio))
    assert raw.memory.video_slots.shape == (10, VIDEO_DIM)
    assert raw.memory.audio_slots.shape == (10, 16)


def probabilities(model: FeatureMemoryNetwork) -> tuple[Tensor, Tensor, Tensor]:
    """S1 and Max by loops over pairs and slots, and the scores of the model."""
    clips, utterances = codes_of(model)
    space, used = model.config.memory.space, model.memory.size
    s1, largest = torch.empty(N, M), torch.empty(N, M)
    with torch.no_grad():
        for i in range(N):
            for j in range(M):
                s1[i, j] = torch.sigmoid(model.s1(clips["mapped"][i], utterances["mapped"][j]))
                products = [
                    max(0.0, float(torch.cosine_similarity(clips[space][i], model.memory.video_slots[x], dim=0)))
                    * max(0.0, float(torch.cosine_similarity(utterances[space][j], model.memory.audio_slots[x], dim=0)))
                    for x in range(used)
                ]
                largest[i, j] = max(products)
        return s1, largest.clamp(min=1e-4), model.scores(clips, utterances)


@pytest.mark.parametrize("space", ["mapped", "raw"])
def test_equation_3_as_printed_and_its_inverse(small: Config, space: str) -> None:
    for score in ("s1/max", "s1*max"):
        model = network(small, model__score=score, memory__space=space, memory__read="max")
        fill(model)
        s1, largest, found = probabilities(model)
        expected = s1 / largest if score == "s1/max" else s1 * largest
        torch.testing.assert_close(found.exp(), expected, rtol=1e-4, atol=1e-6)
    assert (s1 / largest > 1).any()  # as printed, S is no probability


def test_the_combined_score_is_s1_with_a_power_times_the_agreement_with_a_power(small: Config) -> None:
    model = network(small, model__score="combined", model__s1_exponent=0.3, memory__read="max")
    fill(model)
    with torch.no_grad():
        model.scale.fill_(0.7)
        model.shift.fill_(-0.2)
    s1, largest, found = probabilities(model)
    odds = (s1 / (1 - s1)) ** 0.3 * largest ** math.log1p(math.exp(0.7)) * math.exp(-0.2)
    torch.testing.assert_close(found.exp(), odds, rtol=1e-4, atol=1e-6)


def test_the_distance_reading_is_a_small_product_of_distances(small: Config) -> None:
    model = network(small, model__score="distance")
    fill(model)
    clips, utterances = codes_of(model)
    with torch.no_grad():
        scores = model.scores(clips, utterances)
        s1 = torch.sigmoid(model.s1_matrix(clips, utterances))
    products = torch.empty(N, M)
    for i in range(N):
        for j in range(M):
            of_slots = [
                (1 - torch.cosine_similarity(clips["mapped"][i], model.memory.video_slots[x], dim=0))
                * (1 - torch.cosine_similarity(utterances["mapped"][j], model.memory.audio_slots[x], dim=0))
                for x in range(model.memory.size)
            ]
            products[i, j] = (1 - s1[i, j]) * min(of_slots)
    torch.testing.assert_close(scores, -math.log(2) * products.log(), rtol=1e-4, atol=1e-5)  # softplus(0) = log 2


def test_the_memory_is_built_and_read_by_the_configuration(small: Config) -> None:
    model = network(small, memory__novelty="max", memory__when_full="drop")
    assert (model.memory.rules.novelty, model.memory.rules.when_full) == ("max", "drop")
    options = {"memory__read": "max", "model__score": "memory", "memory__class_slots": False}
    clamped, printed = network(small, **options), network(small, memory__clamp=False, **options)
    for model in (clamped, printed):
        fill(model)
    clips, utterances = codes_of(clamped)
    clips, utterances = {"mapped": torch.cat([clips["mapped"], -clips["mapped"]])}, {"mapped": -utterances["mapped"]}
    with torch.no_grad():
        of_clip, of_utterance = (
            torch.stack([torch.cosine_similarity(rows["mapped"], slot[None], dim=1) for slot in slots[:4]], dim=1)
            for rows, slots in ((clips, clamped.memory.video_slots), (utterances, clamped.memory.audio_slots))
        )
        products = of_clip[:, None] * of_utterance[None]
        torch.testing.assert_close(printed.agreement(clips, utterances), products.amax(2))
        both = (of_clip.clamp(min=0)[:, None] * of_utterance.clamp(min=0)[None]).amax(2)
        torch.testing.assert_close(clamped.agreement(clips, utterances), both)
        assert not torch.allclose(both, products.amax(2))


def test_agreement_alone_and_cosine_alone(small: Config) -> None:
    memory = network(small, model__score="memory", memory__read="max")
    fill(memory)
    _, largest, found = probabilities(memory)
    assert torch.equal(found.flatten().argsort(), largest.flatten().argsort()) or torch.allclose(
        largest.flatten()[found.flatten().argsort()].diff().clamp(max=0), torch.zeros(1), atol=1e-6
    )
    cosine = network(small, model__score="cosine")
    clips, utterances = codes_of(cosine)
    expected = torch.cosine_similarity(clips["mapped"][:, None], utterances["mapped"][None], dim=2)
    with torch.no_grad():
        scores = cosine.scores(clips, utterances)
    assert torch.corrcoef(torch.stack([scores.flatten(), expected.flatten()]))[0, 1] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("score", ["s1", "combined", "s1/max", "s1*max", "distance"])
def test_with_empty_memories_the_order_is_that_of_s1(small: Config, score: str) -> None:
    model = network(small, model__score=score)
    clips, utterances = codes_of(model)
    with torch.no_grad():
        s1, scores = model.s1_matrix(clips, utterances), model.scores(clips, utterances)
    assert torch.equal(scores.argsort(dim=1), s1.argsort(dim=1))
    if score in ("s1/max", "s1*max"):
        torch.testing.assert_close(scores.exp(), torch.sigmoid(s1))


def test_the_losses_are_those_that_are_asked_for(small: Config) -> None:
    batch = batch_of()
    assert set(network(small).losses(batch)) == {"s1", "score", "triplet", "video_slots", "audio_slots"}
    no_slots = {"training__slot_weight": 0}
    assert set(network(small, training__triplet="off", **no_slots).losses(batch)) == {"s1", "score"}
    only_score = {"training__s1_weight": 0, "training__triplet_weight": 0}
    assert set(network(small, **only_score, **no_slots).losses(batch)) == {"score"}
    assert set(network(small, model__score="s1").losses(batch)) == {"score", "triplet"}
    once, twice = (network(small, training__score_weight=weight).losses(batch) for weight in (1, 2))
    torch.testing.assert_close(twice["score"], 2 * once["score"])
    torch.testing.assert_close(twice["s1"], once["s1"])


def test_the_slot_losses_are_minus_the_log_share_of_the_own_class(small: Config) -> None:
    one_slot = {"memory__novelty_threshold": -1.0, "memory__score_threshold": 0.0}
    batch, model = batch_of(), network(small, training__slot_weight=3, **one_slot)
    data = items()
    model.fit_after_epoch(data, np.arange(8), np.arange(8), np.random.default_rng(0))
    clips, utterances = codes_of(model)
    found = model.losses(batch)
    for side, codes, slots, classes in (
        ("video", clips, model.memory.video_slots, batch.clip_classes),
        ("audio", utterances, model.memory.audio_slots, batch.utterance_classes),
    ):
        used = model.memory.size
        own = model.memory.slot_classes[:used] == classes[:, None]
        assert (own.sum(1) == 1).all(), "with T2 = -1 a class has one slot"
        cosines = torch.cosine_similarity(codes["mapped"][:, None], slots[None, :used], dim=2)
        expected = torch.nn.functional.cross_entropy(cosines / small.memory.temperature, own.int().argmax(1))
        torch.testing.assert_close(found[f"{side}_slots"], 3 * expected)


def test_the_soft_triplet_loss_is_a_softmax_against_all_negatives(small: Config) -> None:
    batch, model = batch_of(), network(small, training__triplet="softmax", training__triplet_temperature=0.2)
    clips, utterances = codes_of(model)
    similarity = (clips["mapped"] @ utterances["mapped"].T / 0.2).double().exp().numpy()
    match, terms = batch.match.numpy(), []
    for values, positive in ((similarity, match), (similarity.T, match.T)):
        for row, matches in zip(values, positive, strict=True):
            if not matches.all():
                terms += [-math.log(value / (value + row[~matches].sum())) for value in row[matches]]
    assert model.losses(batch)["triplet"].item() == pytest.approx(sum(terms) / len(terms), rel=1e-4)


def test_gradients_reach_everything_but_the_slots(small: Config) -> None:
    model = network(small).train()
    fill(model)
    slots = model.memory.video_slots.clone()
    torch.stack(list(model.losses(batch_of()).values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert torch.equal(model.memory.video_slots, slots)
    assert not model.memory.video_slots.requires_grad


def test_the_printed_form_writes_the_pairs_of_each_batch_that_pass_t1(small: Config) -> None:
    options = {"memory__space": "raw", "memory__write": "step", "memory__novelty_threshold": 1.0}
    model = network(small, memory__score_threshold=0.0, **options)
    model.losses(batch_of())
    video, audio = features()
    raw = model.encoder(audio)
    assert model.memory.size == 3  # the three pairs that were drawn, not all combinations
    torch.testing.assert_close(model.memory.video_slots[:3], video[[0, 1, 2]])
    torch.testing.assert_close(model.memory.audio_slots[:3], raw[[0, 4, 2]])
    strict = network(small, memory__score_threshold=0.999, **options)
    strict.losses(batch_of())
    assert strict.memory.size == 0


def items(count: int = 9) -> ItemTensors:
    random = np.random.default_rng(3)
    video = [random.normal(size=VIDEO_DIM).astype(np.float32) for _ in range(count)]
    audio = [random.normal(size=(4 + n, AUDIO_DIM)).astype(np.float32) for n in range(count)]
    return ItemTensors(video, audio, np.arange(count) % 3, np.arange(count) % 3, torch.device("cpu"))


def test_settling_rewrites_the_memories_with_the_mapping_of_the_moment(small: Config) -> None:
    # T2 = -1: nothing is new but the first pair, so the only slot is the mean of all that is written.
    options = {"memory__novelty_threshold": -1.0, "memory__score_threshold": 0.0, "memory__class_slots": False}
    model = network(small, **options).train()
    data = items()
    chosen = np.array([0, 1, 2, 4, 5, 6])
    fill(model)
    for _ in range(2):  # the second time with another mapping
        model.fit_after_epoch(data, chosen, chosen, np.random.default_rng(0))
        assert model.training
        model.eval()
        with torch.no_grad():
            clips = model.encode_clips(data.video[chosen])["mapped"]
            utterances = model.encode_utterances(data.utterances(chosen))["mapped"]
        model.train()
        assert model.memory.size == 1
        assert int(model.memory.counts[0]) == len(chosen)
        torch.testing.assert_close(model.memory.video_slots[0], clips.mean(0))
        torch.testing.assert_close(model.memory.audio_slots[0], utterances.mean(0))
        with torch.no_grad():
            model.map_video.weight.mul_(-1.5)


def test_settling_shows_pairs_of_one_class_that_pass_t1(small: Config) -> None:
    data = items()
    everything = np.arange(9)
    model = network(small, memory__novelty_threshold=1.0, memory__score_threshold=0.0)
    model.fit_after_epoch(data, everything, everything, np.random.default_rng(0))
    clips = model.encode_clips(data.video)["mapped"].detach()
    utterances = model.encode_utterances(data.utterances(everything))["mapped"].detach()
    for slot in range(model.memory.size):
        clip = int((clips - model.memory.video_slots[slot]).norm(dim=1).argmin())
        utterance = int((utterances - model.memory.audio_slots[slot]).norm(dim=1).argmin())
        assert clip % 3 == utterance % 3
    assert model.memory.size == 9
    s1 = [float(torch.sigmoid(model.s1(clips[i], utterances[j])).detach()) for i in range(9) for j in range(9)]
    strict = network(small, memory__score_threshold=max(s1))
    strict.fit_after_epoch(data, everything, everything, np.random.default_rng(0))
    assert strict.memory.size == 0


def test_step_writing_is_left_alone_when_an_epoch_ends(small: Config) -> None:
    model = network(small, memory__write="step")
    fill(model)
    before = model.memory.video_slots.clone()
    model.fit_after_epoch(items(), np.arange(9), np.arange(9), np.random.default_rng(0))
    assert torch.equal(model.memory.video_slots, before)


def test_clips_enter_normalized_by_the_fitted_ones(small: Config) -> None:
    model = network(small)
    data = items()
    data.video[:, 3] = 5.0  # a number that never changes
    chosen = np.arange(2, 9)
    model.prepare(data, chosen, chosen)
    entered = (data.video[chosen] - model.video_mean) / model.video_scale
    torch.testing.assert_close(entered.mean(0), torch.zeros(VIDEO_DIM), atol=1e-5, rtol=0)
    spread = entered.std(0, correction=0)
    assert spread[3] == 0
    torch.testing.assert_close(spread[torch.arange(VIDEO_DIM) != 3], torch.ones(VIDEO_DIM - 1))
    raw = network(small, memory__space="raw")
    raw.prepare(data, chosen, chosen)
    torch.testing.assert_close(raw.encode_clips(data.video[chosen])["raw"], entered)


def test_dropout_acts_in_training_only(small: Config) -> None:
    model = network(small, model__dropout=0.5)
    video, _ = features()
    assert torch.equal(model.encode_clips(video)["mapped"], model.encode_clips(video)["mapped"])
    model.train()
    assert not torch.equal(model.encode_clips(video)["mapped"], model.encode_clips(video)["mapped"])
