"""The index of a large gallery: what exhaustive scoring finds, brought up to date without being made anew."""

from __future__ import annotations

import copy
import threading
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from torch.nn import functional

from dataset_tools.core.errors import StoppedError
from fmn.config import Config, with_values
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import Embeddings, score_matrix
from fmn.search import gallery_index, gallery_search
from fmn.search.gallery_search import Gallery
from fmn.search.search_results import GallerySource
from fmn.training.checkpoint import load_config, load_run, save_config

pytest.importorskip("faiss", reason="needs the extra index")
CLASSES, DIM, ITEMS = 6, 16, 3000


@pytest.fixture(scope="module")
def model() -> FeatureMemoryNetwork:
    """FMN with made-up weights and a slot for each of six classes."""
    from dataclasses import replace

    torch.manual_seed(0)
    config = Config()
    sizes = replace(config.model, embed_dim=DIM, hidden_size=8, head_hidden_size=32, s1_exponent=0.1)
    found = FeatureMemoryNetwork(replace(config, model=sizes), 12, 8).eval()
    slots = functional.normalize(torch.randn(2, CLASSES, DIM), dim=-1)
    found.memory.write(slots[0], slots[1], torch.ones(CLASSES), classes=torch.arange(CLASSES))
    return found


def codes_near_slots(model: FeatureMemoryNetwork, side: str, count: int, seed: int) -> Embeddings:
    draws = torch.Generator().manual_seed(seed)
    slots = getattr(model.memory, f"{side}_slots")[:CLASSES]
    noise = torch.randn(count, DIM, generator=draws) / DIM**0.5
    rows = slots[torch.randint(CLASSES, (count,), generator=draws)] + 0.6 * noise
    return model.for_search(side, {"mapped": functional.normalize(rows, dim=1)})  # type: ignore[arg-type]


def opened(folder: Path, model: FeatureMemoryNetwork, embeddings: Embeddings, names: list[int], **options: object):  # type: ignore[no-untyped-def]
    """An index of the items with these numbers, and how many of them were encoded for it."""
    encoded: list[int] = []

    def encode(places):  # type: ignore[no-untyped-def]
        encoded.extend(names[place] for place in places)
        return {name: part[[names[place] for place in places]] for name, part in embeddings.items()}

    items = [(f"clip{name}", f"hash{name}") for name in names]
    index = gallery_index.GalleryIndex.open(folder, model, "video", str(options.get("made_from", "")), items, encode)
    return index, encoded


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many lists, batches and candidates that a gallery of some thousand uses each as one of a million does."""
    for name, value in {
        "CANDIDATES": 100,
        "BATCH": 1100,
        "ITEMS_A_LIST": 100,
        "PROBED": 1 / 4,
        "ROWS_AT_ONCE": 300,
    }.items():
        monkeypatch.setattr(gallery_index, name, value)


@pytest.mark.usefixtures("small_parts")
def test_candidates_hold_the_best_and_the_index_is_updated_in_place(
    tmp_path: Path, model: FeatureMemoryNetwork
) -> None:
    embeddings = codes_near_slots(model, "video", ITEMS, seed=1)
    queries = codes_near_slots(model, "audio", 20, seed=2)
    scores = score_matrix(model, embeddings, queries).numpy()

    def agreement(index, names: list[int]) -> float:  # type: ignore[no-untyped-def]
        """Of the best 10 items by their scores, the share among the candidates, which `embeddings_of` gives."""
        shares = []
        for number in range(20):
            places = index.candidates({name: part[number : number + 1] for name, part in queries.items()})
            assert len(places) == 100 < len(names) / 10
            for name, part in index.embeddings_of(places).items():
                torch.testing.assert_close(part, embeddings[name][np.array(names)[places]])
            best = np.argsort(-scores[names, number])[:10]
            shares.append(np.isin(best, places).mean())
        return float(np.mean(shares))

    first = list(range(2, 2000))
    index, encoded = opened(tmp_path, model, embeddings, first)
    assert sorted(encoded) == first
    assert agreement(index, first) >= 0.99
    again, encoded = opened(tmp_path, model, embeddings, first[::-1])
    assert not encoded
    assert agreement(again, first[::-1]) >= 0.99
    changed = [0, *range(500, ITEMS)]
    size = (tmp_path / "half.f32").stat().st_size
    index, encoded = opened(tmp_path, model, embeddings, changed)
    assert sorted(encoded) == [0, *range(2000, ITEMS)]
    assert agreement(index, changed) >= 0.99
    assert (tmp_path / "half.f32").stat().st_size == size / 1998 * (1500 + 1001)  # the rows of what went are taken
    _, encoded = opened(tmp_path, model, embeddings, changed, made_from="another checkpoint")
    assert sorted(encoded) == changed
    state = next(path for path in tmp_path.iterdir() if gallery_index.FORMAT in path.read_text(errors="ignore"))
    state.write_text(state.read_text().replace(gallery_index.FORMAT, "fmn.gallery_index/1"))  # other vectors
    _, encoded = opened(tmp_path, model, embeddings, changed, made_from="another checkpoint")
    assert sorted(encoded) == changed


@pytest.mark.usefixtures("small_parts")
def test_candidates_hold_the_best_where_new_classes_are_known(tmp_path: Path, model: FeatureMemoryNetwork) -> None:
    def with_new_shares(embeddings: Embeddings, seed: int) -> Embeddings:
        draws = torch.rand(len(embeddings["mapped"]), 2, generator=torch.Generator().manual_seed(seed))
        return embeddings | {"new_shares": draws.pow(2) / 2}

    model = copy.deepcopy(model)
    model.config = with_values(model.config, {"model.s1_exponent": 1.0})  # so that what S1 says matters
    embeddings = with_new_shares(codes_near_slots(model, "video", ITEMS, seed=1), 3)
    queries = with_new_shares(codes_near_slots(model, "audio", 40, seed=2), 4)
    scores = score_matrix(model, embeddings, queries).numpy()
    index, _ = opened(tmp_path, model, embeddings, list(range(ITEMS)))
    shares = []
    for number in range(40):
        places = index.candidates({name: part[number : number + 1] for name, part in queries.items()})
        shares.append(np.isin(np.argsort(-scores[:, number])[:10], places).mean())
    assert np.mean(shares) >= 0.99  # .97 where S1 counts in full


@pytest.mark.usefixtures("small_parts")
def test_nothing_stays_of_what_was_removed(tmp_path: Path, model: FeatureMemoryNetwork) -> None:
    embeddings = codes_near_slots(model, "video", 400, seed=3)
    opened(tmp_path, model, embeddings, list(range(400)))
    opened(tmp_path, model, embeddings, list(range(100, 400)))
    for name, part in embeddings.items():
        held = np.fromfile(tmp_path / f"{name}.f32", np.float32).reshape(400, -1)
        assert (held == 0).all(1).sum() == 100
        kept = held[(held != 0).any(1)]
        np.testing.assert_array_equal(np.unique(kept, axis=0), np.unique(part[100:].numpy(), axis=0))
    assert len(list(tmp_path.glob("lists-*"))) == 1


@pytest.mark.usefixtures("small_parts")
def test_a_build_that_was_stopped_resumes(tmp_path: Path, model: FeatureMemoryNetwork) -> None:
    embeddings = codes_near_slots(model, "video", ITEMS, seed=4)
    names, left = list(range(ITEMS)), [1500]

    def stops(places):  # type: ignore[no-untyped-def]
        left[0] -= len(places)
        if left[0] < 0:
            raise KeyboardInterrupt
        return {name: part[list(places)] for name, part in embeddings.items()}

    items = [(f"clip{name}", f"hash{name}") for name in names]
    with pytest.raises(KeyboardInterrupt):
        gallery_index.GalleryIndex.open(tmp_path, model, "video", "", items, stops)
    index, encoded = opened(tmp_path, model, embeddings, names)
    assert len(encoded) == ITEMS - 1100  # the first batch is there
    for name, part in index.embeddings_of(np.arange(ITEMS)).items():
        torch.testing.assert_close(part, embeddings[name])


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        *(("index.json", part) for part in (0.0, 0.5)),
        *((pattern, part) for pattern in ("keys-*", "axes-*", "lists-*", "half.f32") for part in (None, 0.0, 0.5)),
    ],
)
@pytest.mark.usefixtures("small_parts")
def test_a_damaged_index_is_made_anew(
    tmp_path: Path, model: FeatureMemoryNetwork, pattern: str, kept: float | None
) -> None:
    embeddings, names = codes_near_slots(model, "video", 400, seed=5), list(range(400))
    opened(tmp_path, model, embeddings, names)
    (damaged,) = tmp_path.glob(pattern)
    content = damaged.read_bytes()
    damaged.unlink() if kept is None else damaged.write_bytes(content[: int(len(content) * kept)])
    index, encoded = opened(tmp_path, model, embeddings, names)
    assert sorted(encoded) == names
    for name, part in index.embeddings_of(np.arange(400)).items():
        torch.testing.assert_close(part, embeddings[name])


@pytest.mark.usefixtures("small_parts")
def test_one_that_was_opened_before_a_change_gives_no_codes_of_other_items(
    tmp_path: Path, model: FeatureMemoryNetwork
) -> None:
    embeddings = codes_near_slots(model, "video", 400, seed=6)
    before, _ = opened(tmp_path, model, embeddings, list(range(300)))
    opened(tmp_path, model, embeddings, list(range(100, 400)))  # rows of the first hundred are now of the last hundred
    with pytest.raises(StoppedError, match="Another command has added or removed items"):
        before.embeddings_of(np.arange(100))


def test_an_index_waits_for_another_search_that_opens_it(
    tmp_path: Path, model: FeatureMemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings = codes_near_slots(model, "video", 50, seed=7)
    opened(tmp_path, model, embeddings, list(range(50)))
    lock = filelock.FileLock(tmp_path / ".lock", thread_local=False)
    lock.acquire()
    threading.Timer(0.5, lock.release).start()
    assert opened(tmp_path, model, embeddings, list(range(50)))[1] == []
    monkeypatch.setattr(gallery_index, "LOCK_WAIT_S", 0)
    with lock, pytest.raises(StoppedError, match="Another command is changing the index"):
        opened(tmp_path, model, embeddings, list(range(50)))


@pytest.mark.usefixtures("made_features", "one_thread")
@pytest.mark.parametrize("kind", ["speech", "clip"])
def test_a_gallery_with_an_index_finds_what_one_without_finds(
    workspace: Path, run: Path, kind: gallery_search.QueryKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, cpu = workspace / "manifests" / "test.jsonl", torch.device("cpu")
    rows = GallerySource(manifest).rows(kind)
    asked = GallerySource(manifest).rows("clip" if kind == "speech" else "speech")[3]
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    loaded = load_run(run, cpu)
    whole = Gallery(loaded, rows, kind, GallerySource(manifest), device=cpu)
    monkeypatch.setattr(gallery_search, "INDEXED_FROM", len(rows))
    indexed = Gallery(loaded, rows, kind, GallerySource(manifest), device=cpu)
    assert (workspace / "cache" / "index").is_dir()
    expected, found = (gallery.search(workspace / asked.path, top=5) for gallery in (whole, indexed))
    assert found.hits == expected.hits
    assert [note for note in found.notes if note not in expected.notes] == [indexed._index_note(5)]
    everything = indexed.search(workspace / asked.path, top=gallery_index.CANDIDATES)  # scores every item
    assert not any("index" in note for note in everything.notes)
    embeddings, _ = indexed.encode(workspace / asked.path)
    np.testing.assert_allclose(indexed.scores(embeddings), whole.scores(embeddings), rtol=1e-6)


@pytest.mark.usefixtures("made_features", "one_thread")
def test_an_index_does_not_outlive_another_temperature(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embeddings hold the shares of slots, which depend on the configuration that a run is read with."""
    source, cpu = GallerySource(workspace / "manifests" / "test.jsonl"), torch.device("cpu")
    rows = source.rows("speech")
    monkeypatch.setattr(gallery_search, "INDEXED_FROM", len(rows))
    Gallery(load_run(run, cpu), rows, "speech", source, device=cpu)
    save_config(run, with_values(load_config(run), {"memory.temperature": 0.7}))
    loaded = load_run(run, cpu)
    indexed = Gallery(loaded, rows, "speech", source, device=cpu)
    monkeypatch.setattr(gallery_search, "INDEXED_FROM", len(rows) + 1)
    whole = Gallery(loaded, rows, "speech", source, device=cpu)
    every = np.arange(len(rows))
    torch.testing.assert_close(indexed.embeddings_of(every)["log_shares"], whole.embeddings_of(every)["log_shares"])

    (run / "checkpoint.safetensors").touch()
    monkeypatch.setattr(gallery_search, "INDEXED_FROM", len(rows))
    with pytest.raises(StoppedError, match="was trained further"):  # its name would be that of the new weights
        Gallery(loaded, rows, "speech", source, device=cpu)
