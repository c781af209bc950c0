from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch

from dataset_tools.core.errors import InputError
from fmn.models.memory import FeatureMemory

pytestmark = pytest.mark.usefixtures("one_thread")

RULES = {"min": min, "max": max, "mean": lambda video, audio: (video + audio) / 2}


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    norm = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / norm) if norm > 0 else 0.0


class PlainMemory:
    """The rules of the docstring, one sample at a time, in float64."""

    def __init__(self, capacity, update, threshold, novelty="min", when_full="nearest") -> None:
        self.capacity, self.update, self.threshold = capacity, update, threshold
        self.rule, self.when_full = RULES[novelty], when_full
        self.slots: list[tuple[np.ndarray, np.ndarray]] = []
        self.counts: list[int] = []

    def write(self, video, audio, score, score_threshold) -> None:
        for v, a, s in zip(video, audio, score, strict=True):
            if not s > score_threshold:
                continue
            near = [self.rule(cosine(v, sv), cosine(a, sa)) for sv, sa in self.slots]
            new = not near or max(near) < self.threshold
            if new and len(self.slots) < self.capacity:
                self.slots.append((v, a))
                self.counts.append(1)
            elif not new or self.when_full == "nearest":
                x = near.index(max(near))
                share = 1 / (self.counts[x] + 1) if self.update == "mean" else self.update
                self.slots[x] = tuple((1 - share) * s + share * r for s, r in zip(self.slots[x], (v, a), strict=True))
                self.counts[x] += 1


def samples(seed: int, rows: int, video_dim: int = 7, audio_dim: int = 5) -> tuple[np.ndarray, ...]:
    """Rows around a few centers, so that some are near to slots and some are new; scores on both sides of .5."""
    random = np.random.default_rng(seed)
    center = random.integers(0, 6, rows)
    video = random.normal(size=(6, video_dim))[center] + 0.4 * random.normal(size=(rows, video_dim))
    audio = random.normal(size=(6, audio_dim))[center] + 0.4 * random.normal(size=(rows, audio_dim))
    return video, audio, random.random(rows)


@pytest.mark.parametrize("novelty", ["min", "max", "mean"])
@pytest.mark.parametrize("update", ["mean", 0.3, 1.0])
@pytest.mark.parametrize("when_full", ["nearest", "drop"])
@pytest.mark.parametrize(("capacity", "threshold"), [(50, 0.7), (4, 0.7), (3, 0.99), (50, -1.0)])
def test_a_batch_is_written_as_one_sample_at_a_time(novelty, update, when_full, capacity, threshold) -> None:
    memory = FeatureMemory(
        capacity, 7, 5, update=update, novelty_threshold=threshold, novelty=novelty, when_full=when_full
    )
    plain = PlainMemory(capacity, update, threshold, novelty, when_full)
    for seed in range(3):
        video, audio, score = samples(seed, 40)
        memory.write(*(torch.from_numpy(part).float() for part in (video, audio, score)), score_threshold=0.5)
        plain.write(video, audio, score, 0.5)
    assert memory.size == len(plain.slots)
    assert memory.counts[: memory.size].tolist() == plain.counts
    for slots, part in ((memory.video_slots, 0), (memory.audio_slots, 1)):
        expected = np.stack([slot[part] for slot in plain.slots])
        np.testing.assert_allclose(slots[: memory.size].numpy(), expected, atol=1e-5)
        assert (slots[memory.size :] == 0).all()


def test_more_rows_than_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    video, audio, score = samples(5, 90)
    whole, parts = (FeatureMemory(20, 7, 5, novelty_threshold=0.8) for _ in range(2))
    rows = [torch.from_numpy(part).float() for part in (video, audio, score)]
    whole.write(*rows, score_threshold=0.2)
    monkeypatch.setattr("fmn.models.memory.ROWS_AT_ONCE", 7)
    parts.write(*rows, score_threshold=0.2)
    assert torch.allclose(whole.video_slots, parts.video_slots, atol=1e-5)
    assert torch.equal(whole.counts, parts.counts)


def test_the_thresholds_are_strict_as_the_paper_says() -> None:
    memory = FeatureMemory(5, 2, 2, novelty_threshold=0.0)
    axes = torch.eye(2)
    memory.write(axes[:1], axes[:1], torch.tensor([0.5]), score_threshold=0.5)
    assert memory.size == 0, "S1 must be above T1"
    memory.write(axes, axes, torch.tensor([0.6, 0.6]), score_threshold=0.5)
    assert memory.size == 1, "m2 = T2 is not new"


def test_of_equal_slots_the_first_is_updated() -> None:
    memory = FeatureMemory(2, 2, 2, novelty_threshold=0.9, update=0.5)
    axes = torch.eye(2)
    memory.write(axes, axes, torch.ones(2), score_threshold=0.5)
    between = torch.ones(1, 2)
    memory.write(between, between, torch.ones(1), score_threshold=0.5)  # full and new, as near to both
    assert memory.counts.tolist() == [2, 1]


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_reads_are_those_of_direct_loops(temperature: float) -> None:
    memory = FeatureMemory(6, 7, 5, novelty_threshold=0.9)
    video, audio, _ = samples(1, 30)
    rows = [torch.from_numpy(part).float() for part in (video, audio)]
    memory.write(*rows, torch.ones(30), score_threshold=0.5)
    assert memory.size == 6
    queries, others = samples(2, 4)[0], samples(3, 3)[1]
    largest = memory.read(torch.from_numpy(queries).float(), torch.from_numpy(others).float())
    softly = memory.read(
        torch.from_numpy(queries).float(), torch.from_numpy(others).float(), reduce="softmax", temperature=temperature
    )
    for n, m in itertools.product(range(4), range(3)):
        of_video = np.array([cosine(queries[n], slot) for slot in memory.video_slots.double().numpy()])
        of_audio = np.array([cosine(others[m], slot) for slot in memory.audio_slots.double().numpy()])
        assert largest[n, m] == pytest.approx(
            max(max(v, 0) * max(a, 0) for v, a in zip(of_video, of_audio, strict=True)), abs=1e-5
        )
        chosen = [
            np.exp(cosines / temperature) / np.exp(cosines / temperature).sum() for cosines in (of_video, of_audio)
        ]
        assert softly[n, m] == pytest.approx(chosen[0] @ chosen[1], abs=1e-5)


def test_two_negative_cosines_are_no_agreement() -> None:
    memory = FeatureMemory(2, 2, 2)
    memory.write(torch.tensor([[1.0, 0]]), torch.tensor([[1.0, 0]]), torch.ones(1), score_threshold=0)
    opposite = torch.tensor([[-1.0, 0]])
    assert memory.read(opposite, opposite).item() == 0


def test_an_empty_memory_agrees_with_everything() -> None:
    memory = FeatureMemory(2, 3, 4)
    for reduce in ("max", "softmax", "distance"):
        assert torch.equal(memory.read(torch.rand(2, 3), torch.rand(5, 4), reduce=reduce), torch.ones(2, 5))


def test_zero_vectors_do_no_harm() -> None:
    memory = FeatureMemory(3, 2, 2, novelty_threshold=0.5)
    memory.write(torch.zeros(2, 2), torch.zeros(2, 2), torch.ones(2), score_threshold=0)
    assert memory.size == 2
    assert torch.equal(memory.read(torch.zeros(1, 2), torch.ones(1, 2)), torch.zeros(1, 1))


def test_reads_in_tiles_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = FeatureMemory(6, 7, 5, novelty_threshold=0.9)
    video, audio, _ = (torch.from_numpy(part).float() for part in samples(1, 30))
    memory.write(video, audio, torch.ones(30), score_threshold=0.5)
    whole = memory.read(video, audio)
    monkeypatch.setattr("fmn.models.memory.TILE_PAIRS", 70)
    assert torch.equal(memory.read(video, audio), whole)


@pytest.mark.parametrize("reduce", ["max", "softmax", "distance"])
def test_reads_pass_gradients_to_both_sides(reduce: str) -> None:
    memory = FeatureMemory(4, 3, 3, novelty_threshold=0.9).double()
    memory.write(torch.rand(4, 3), torch.rand(4, 3), torch.ones(4), score_threshold=0)
    torch.autograd.gradcheck(
        lambda video, audio: memory.read(video, audio, reduce=reduce),
        (
            torch.rand(2, 3, dtype=torch.float64, requires_grad=True),
            torch.rand(3, 3, dtype=torch.float64, requires_grad=True),
        ),
    )


def test_the_state_travels_with_a_checkpoint() -> None:
    memory, other = (FeatureMemory(6, 7, 5, novelty_threshold=0.9) for _ in range(2))
    video, audio, _ = (torch.from_numpy(part).float() for part in samples(1, 30))
    memory.write(video, audio, torch.ones(30), score_threshold=0.5)
    other.load_state_dict(memory.state_dict())
    assert other.size == memory.size
    assert torch.equal(other.read(video, audio), memory.read(video, audio))
    other.clear()
    assert other.size == 0
    assert torch.equal(other.video_slots, torch.zeros(6, 7))


def test_a_network_that_is_loaded_or_copied_knows_its_slots() -> None:
    network, other = (torch.nn.ModuleDict({"memory": FeatureMemory(6, 2, 2, novelty_threshold=0.9)}) for _ in range(2))
    network["memory"].write(torch.eye(2), torch.eye(2), torch.ones(2))
    other.load_state_dict(network.state_dict())
    assert [part["memory"].size for part in (network, other, copy.deepcopy(network))] == [2, 2, 2]
    kept = ["memory.audio_slots", "memory.counts", "memory.slot_classes", "memory.video_slots"]
    assert sorted(network.state_dict()) == kept


def test_rewriting_forgets_what_was_there() -> None:
    video, audio, score = (torch.from_numpy(part).float() for part in samples(4, 30))
    once, again = (FeatureMemory(6, 7, 5, novelty_threshold=0.8) for _ in range(2))
    again.write(audio @ torch.ones(5, 7), audio, score, score_threshold=0.0)
    slots = once.write(video, audio, score, score_threshold=0.3)
    assert torch.equal(again.rewrite(video, audio, score, score_threshold=0.3), slots)
    assert torch.equal(once.video_slots, again.video_slots)
    assert torch.equal(once.counts, again.counts)


def test_writing_says_where_each_pair_went() -> None:
    memory = FeatureMemory(2, 3, 3, novelty_threshold=0.9, when_full="drop")
    rows = torch.eye(3)[[0, 1, 2, 1, 0]]
    slots = memory.write(rows, rows, torch.tensor([1, 1, 1, 0, 1.0]))
    assert slots.tolist() == [0, 1, -1, -1, 0]
    assert memory.counts.tolist() == [2, 1]


@pytest.mark.parametrize("update", ["mean", 0.5])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 2**-0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_equal_candidates_do_not_depend_on_how_the_rows_are_cut(update, threshold: float, seed: int) -> None:
    # Axes and their sums: cosines that are equal, or equal T2, in exact arithmetic, and differ in the last digits.
    random = np.random.default_rng(seed)
    rows = torch.from_numpy(random.integers(0, 2, (60, 6))).float() * 0.1
    whole, single = (FeatureMemory(5, 6, 6, update=update, novelty_threshold=threshold) for _ in range(2))
    slots = whole.write(rows, rows.roll(1, dims=1), torch.ones(60))
    for row in range(60):
        one = rows[row : row + 1]
        assert single.write(one, one.roll(1, dims=1), torch.ones(1)).item() == slots[row], row
    assert torch.equal(whole.counts, single.counts)
    assert torch.allclose(whole.video_slots, single.video_slots, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_equal_means_equal_up_to_how_it_was_summed(seed: int) -> None:
    random = np.random.default_rng(seed)
    one = random.normal(size=300)
    shuffled = torch.from_numpy(np.stack([random.permutation(one) for _ in range(9)]))
    memory = FeatureMemory(9, 300, 300, novelty_threshold=1.1).double()
    memory.write(shuffled, shuffled, torch.ones(9))
    level = torch.ones(5, 300)  # as near to every shuffled vector as to the others
    assert memory.write(level, level, torch.ones(5)).tolist()[0] == 0

    same = FeatureMemory(9, 300, 300, novelty_threshold=1.0).double()
    assert set(same.write(shuffled[[3] * 9], shuffled[[3] * 9], torch.ones(9)).tolist()) == {0}, "m2 = T2 is not new"


def test_writing_leaves_no_gradient_behind() -> None:
    memory = FeatureMemory(3, 2, 2)
    rows = torch.rand(4, 2, requires_grad=True)
    memory.write(rows, rows, torch.ones(4, requires_grad=True))
    assert not memory.video_slots.requires_grad
    assert memory.size > 0


def test_the_distance_reading_is_that_of_a_direct_loop() -> None:
    memory = FeatureMemory(6, 7, 5, novelty_threshold=0.9)
    memory.write(*(torch.from_numpy(part).float() for part in samples(1, 30)[:2]), torch.ones(30))
    queries, others = samples(2, 4)[0], samples(3, 3)[1]
    found = memory.read(torch.from_numpy(queries), torch.from_numpy(others), reduce="distance")
    for n, m in itertools.product(range(4), range(3)):
        products = [
            (1 - cosine(queries[n], video)) * (1 - cosine(others[m], audio))
            for video, audio in zip(
                memory.video_slots.double().numpy(), memory.audio_slots.double().numpy(), strict=True
            )
        ]
        assert found[n, m] == pytest.approx(min(products), abs=1e-5)


def test_as_printed_two_negative_cosines_are_an_agreement() -> None:
    memory = FeatureMemory(2, 2, 2)
    memory.write(torch.tensor([[1.0, 0]]), torch.tensor([[1.0, 0]]), torch.ones(1))
    opposite = torch.tensor([[-1.0, 0]])
    assert memory.read(opposite, opposite, clamp=False).item() == 1
    assert memory.read(opposite, -opposite, clamp=False).item() == -1


@pytest.mark.parametrize("reduce", ["max", "softmax", "distance"])
def test_training_keeps_no_tensor_of_pairs_times_slots(reduce: str) -> None:
    memory = FeatureMemory(40, 8, 8, novelty_threshold=2.0)
    memory.write(torch.randn(40, 8), torch.randn(40, 8), torch.ones(40))
    kept: list[int] = []
    video, audio = torch.randn(50, 8, requires_grad=True), torch.randn(60, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda part: kept.append(part.numel()) or part, lambda part: part):
        found = memory.read(video, audio, reduce=reduce)
        found.sum().backward()
    with torch.no_grad():
        assert torch.allclose(found, memory.read(video, audio, reduce=reduce), atol=1e-6)
    assert 0 < max(kept) <= 50 * 60
    assert video.grad is not None
    assert audio.grad is not None


def test_autocast_does_not_coarsen_the_cosines() -> None:
    memory = FeatureMemory(6, 7, 5, novelty_threshold=0.9)
    video, audio, _ = (torch.from_numpy(part).float() for part in samples(1, 30))
    memory.write(video, audio, torch.ones(30))
    plain = memory.read(video, audio, reduce="softmax", temperature=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(memory.read(video, audio, reduce="softmax", temperature=0.05), plain)
    short = memory.read(video.bfloat16(), audio.bfloat16(), reduce="softmax", temperature=0.05)
    exact = memory.read(video.bfloat16().float(), audio.bfloat16().float(), reduce="softmax", temperature=0.05)
    assert torch.equal(short, exact)


@pytest.mark.parametrize(
    "arguments",
    [
        {"capacity": 0},
        {"video_dim": 0},
        {"update": 0.0},
        {"update": 1.5},
        {"update": "share"},
        {"space": "common"},
        {"novelty": "product"},
        {"when_full": "oldest"},
    ],
)
def test_impossible_memories_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InputError):
        FeatureMemory(**{"capacity": 3, "video_dim": 2, "audio_dim": 2, **arguments})


def test_what_does_not_fit_is_refused() -> None:
    memory = FeatureMemory(3, 2, 2)
    two = torch.rand(2, 2)
    with pytest.raises(InputError, match=r"\(2, 4\)") as caught:
        memory.write(torch.rand(2, 4), two, torch.rand(2))
    assert caught.value.expected == "(2, 2), (2, 2), (2,)"
    with pytest.raises(InputError, match=r"\(3, 2\)"):
        memory.write(two, torch.rand(3, 2), torch.rand(2))
    with pytest.raises(InputError, match=r"\(2, 1\)"):
        memory.write(two, two, torch.rand(2, 1))
    with pytest.raises(InputError, match=r"\(3,\)"):
        memory.write(two, two, torch.rand(2), classes=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match=r"\(2, 5\)"):
        memory.read(torch.rand(2, 5), two)
    with pytest.raises(InputError, match="softmin"):
        memory.read(two, two, reduce="softmin")
    with pytest.raises(InputError, match="temperature"):
        memory.read(two, two, reduce="softmax", temperature=0.0)


def test_a_diverged_model_does_not_poison_the_memory() -> None:
    memory = FeatureMemory(3, 2, 2)
    bad = torch.tensor([[float("nan"), 1.0]])
    with pytest.raises(InputError, match="not finite"):
        memory.write(bad, torch.ones(1, 2), torch.ones(1))
    assert memory.size == 0
    assert memory.write(bad, torch.ones(1, 2), torch.zeros(1)).tolist() == [-1], "it is not written, so it may be so"


def class_samples(seed: int, rows: int) -> tuple[np.ndarray, ...]:
    """Rows around a center for each of four classes; some classes are not known (−1)."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, 4, rows)
    video = np.eye(7)[kind] + 0.5 * random.normal(size=(rows, 7))
    audio = np.eye(5)[kind] + 0.5 * random.normal(size=(rows, 5))
    return video, audio, np.where(random.random(rows) < 0.2, -1, kind)


@pytest.mark.parametrize("capacity", [3, 6, 30])
@pytest.mark.parametrize("threshold", [-1.0, 0.5, 0.8])
@pytest.mark.parametrize("when_full", ["nearest", "drop"])
def test_pairs_of_a_class_keep_to_slots_of_their_class(capacity: int, threshold: float, when_full: str) -> None:
    memory = FeatureMemory(capacity, 7, 5, novelty_threshold=threshold, when_full=when_full)
    video, audio, classes = class_samples(0, 60)
    went = memory.write(
        *(torch.from_numpy(part).float() for part in (video, audio)), torch.ones(60), classes=torch.from_numpy(classes)
    )
    held: list[tuple[int, list[int]]] = []  # the class of a slot, and the rows that it is the mean of
    expected = []
    for row in range(60):
        near = []
        for _, rows in held:
            slots = video[rows].mean(0), audio[rows].mean(0)
            near.append(min(cosine(video[row], slots[0]), cosine(audio[row], slots[1])))
        allowed = [x for x, (name, _) in enumerate(held) if classes[row] in (-1, name)]
        best = max(allowed, key=lambda x: near[x], default=None)  # type: ignore[no-any-return]
        is_new = best is None or near[best] < threshold
        if is_new and len(held) < capacity:
            held.append((classes[row], []))
            best = len(held) - 1
        elif is_new and when_full == "drop":
            expected.append(-1)
            continue
        elif best is None:
            best = near.index(max(near))
        held[best][1].append(row)
        expected.append(best)
    assert went.tolist() == expected
    assert memory.slot_classes[: memory.size].tolist() == [name for name, _ in held]
    for slots, part in ((memory.video_slots, video), (memory.audio_slots, audio)):
        np.testing.assert_allclose(slots[: memory.size], [part[rows].mean(0) for _, rows in held], atol=1e-5)


@pytest.mark.parametrize("reduce", ["softmax", "max", "distance"])
def test_slots_of_a_class_are_read_as_one(reduce: str) -> None:
    memory = FeatureMemory(50, 7, 5, novelty_threshold=0.85)
    video, audio, classes = class_samples(1, 50)
    rows = [torch.from_numpy(part).float() for part in (video, audio)]
    memory.write(*rows, torch.ones(50), classes=torch.from_numpy(classes))
    names = memory.slot_classes[: memory.size].tolist()
    assert any(names.count(name) > 1 for name in range(4)), "a class has several slots"
    assert -1 in names, "and some slots have no class"
    groups = [[x for x in range(memory.size) if names[x] == name] for name in range(4)]
    groups += [[x] for x in range(memory.size) if names[x] < 0]
    found = memory.read(rows[0][:4], rows[1][:6], reduce=reduce, temperature=0.2)  # type: ignore[arg-type]
    for n, m in itertools.product(range(4), range(6)):
        v = np.array([cosine(video[n], slot) for slot in memory.video_slots[: memory.size].double().numpy()])
        a = np.array([cosine(audio[m], slot) for slot in memory.audio_slots[: memory.size].double().numpy()])
        if reduce == "softmax":
            share_v, share_a = (np.exp(cosines / 0.2) / np.exp(cosines / 0.2).sum() for cosines in (v, a))
            expected = sum(share_v[group].sum() * share_a[group].sum() for group in groups)
        elif reduce == "max":
            expected = max(max(v[group].max(), 0) * max(a[group].max(), 0) for group in groups)
        else:
            expected = min((1 - v[group]).min() * (1 - a[group]).min() for group in groups)
        assert float(found[n, m]) == pytest.approx(expected, abs=1e-5)


def test_the_share_of_a_class_is_that_of_its_slots() -> None:
    memory = FeatureMemory(30, 7, 5, novelty_threshold=0.6)
    video, audio, classes = class_samples(2, 50)
    rows = [torch.from_numpy(part).float() for part in (video, audio)]
    classes = np.where(classes == 3, 2, classes)  # class 3 gets no slot
    assert memory.log_class_shares("audio", rows[1], torch.zeros(50), temperature=0.3).tolist() == [0] * 50, "empty"
    memory.write(*rows, torch.ones(50), classes=torch.from_numpy(classes))
    names = memory.slot_classes[: memory.size].numpy()
    asked = torch.tensor([0, 1, 2, 3])
    for side, part, slots in (("video", video, memory.video_slots), ("audio", audio, memory.audio_slots)):
        rows_asked = torch.from_numpy(part[:4]).float().requires_grad_()
        found = memory.log_class_shares(side, rows_asked, asked, temperature=0.3)  # type: ignore[arg-type]
        for n in range(3):
            cosines = np.array([cosine(part[n], slot) for slot in slots[: memory.size].double().numpy()]) / 0.3
            expected = np.log(np.exp(cosines[names == n]).sum() / np.exp(cosines).sum())
            assert found[n].item() == pytest.approx(expected, abs=1e-5)
        assert found[3].item() == 0, "a class without a slot adds nothing"
        found.sum().backward()
        assert rows_asked.grad is not None
        assert rows_asked.grad[:3].abs().sum(1).min() > 0
        assert torch.equal(rows_asked.grad[3], torch.zeros(part.shape[1]))
