"""Explore: every sample on the report's card, with the score and the ranks that the model gives its pair."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest
import soundfile
import torch
from playwright.sync_api import Browser, Page, expect

from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger, LedgerRow
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.evaluation.evaluate import all_scores
from fmn.features.media import Media
from fmn.search.search_results import GallerySource
from fmn.serve.errors_view import Errors
from fmn.serve.queries import Queries
from fmn.serve.samples_view import Samples
from fmn.serve.shown_items import ShownItems
from fmn.training.checkpoint import load_run

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")
CPU = torch.device("cpu")
REJECTED = "s05-d00_000101-000110"


@pytest.fixture
def queries(workspace: Path, run: Path, tmp_path: Path) -> Queries:
    """The run with both splits in the lists beside the manifests, files that play, and a clip that was rejected."""
    manifests = workspace / "manifests"
    rows = [row for name in ("train", "test") for row in read_rows(manifests / f"{name}.jsonl", SplitPairRow)]
    for listing, items in (
        ("clips", {row.clip.id: row.clip for row in rows}),
        ("utterances", {row.utterance.id: row.utterance for row in rows}),
    ):
        write_rows(manifests / f"{listing}.jsonl", [items[name] for name in sorted(items)])
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(60, 160, 10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8))))
        container.mux(stream.encode())
    soundfile.write(tmp_path / "voice.wav", 0.3 * np.sin(np.arange(16000) * 0.2), 16000)
    for path in [workspace / "clips" / f"{REJECTED}.mp4", *(workspace / "clips").iterdir()]:
        shutil.copyfile(tmp_path / "clip.mp4", path)
    for path in (workspace / "speech").iterdir():
        shutil.copyfile(tmp_path / "voice.wav", path)
    with Ledger(workspace / "ledger.jsonl") as ledger:
        reason = SampleError("An annotator rejected the clip: hands hidden").as_dict()
        ledger.record(LedgerRow(id=f"interval/{REJECTED}#9", status="skipped", stage="plan", reason=reason))
    return Queries(
        load_run(run, CPU), ShownItems(GallerySource(manifests / "test.jsonl")), tmp_path, device=CPU, jobs=1
    )


@pytest.fixture
def expected(workspace: Path, run: Path) -> dict[str, tuple[float, int, int]]:
    """Of each clip of the manifest: the score of its pair, the rank of the clip and the rank of its utterance."""
    items, loaded = load_items(workspace / "manifests" / "test.jsonl"), load_run(run, CPU)
    scores = all_scores(loaded, load_features(items, loaded.config, device=CPU))  # clips × utterances
    place = {row.clip: number for number, row in enumerate(items.utterances)}
    found = {}
    for number, clip in enumerate(items.clips):
        own = scores[number, place[clip.id]]
        better = (scores[:, place[clip.id]] > own).sum(), (scores[number] > own).sum()
        found[clip.id] = (float(own), 1 + int(better[0]), 1 + int(better[1]))
    return found


def test_cards_have_the_score_and_the_ranks_of_their_pair(
    queries: Queries, expected: dict[str, tuple[float, int, int]], workspace: Path
) -> None:
    (first, clip), (other, _), *_ = queries.items.clips.items()
    # No file in the fixture has the content of its row; of one clip, the row is adapted to the file.
    queries.items.clips[first] = msgspec.structs.replace(clip, sha256=sha256_of(workspace / clip.path))
    samples = Samples(queries.items, Errors(queries))
    assert samples.file(f"clips/{REJECTED}.mp4") is None  # no card has named it yet
    cards = {card["id"]: card for card in samples.cards()["cards"]}
    assert len(cards) == 4 * 8 + 1
    for name, (score, clip_rank, utterance_rank) in expected.items():
        (spoken,) = cards[name]["utterances"]
        assert spoken["score"] == pytest.approx(score, abs=1e-5)
        assert (spoken["rank"], cards[name]["rank"], cards[name]["split"]) == (clip_rank, utterance_rank, "test")
    of_training = [card for name, card in cards.items() if name not in expected]
    assert not any("rank" in one for card in of_training for one in (card, *card.get("utterances", ())))
    assert cards[f"{REJECTED}#9"]["clip"] == {"src": f"files/clips/{REJECTED}.mp4"}
    assert samples.file(f"clips/{REJECTED}.mp4") == workspace / "clips" / f"{REJECTED}.mp4"
    assert samples.file("manifests/test.jsonl") is None
    assert samples.file(clip.path) == workspace / clip.path
    assert samples.file(queries.items.clips[other].path) is None, "it was replaced"


@pytest.fixture
def explore(
    queries: Queries,
    serving_here: Callable[[Queries], AbstractContextManager[str]],
    chromium: Callable[..., AbstractContextManager[Browser]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str], Page]]:
    """Opens the page, as the server gives it, at a view; what goes wrong in it fails the test."""
    monkeypatch.setattr(Media, "require_content", lambda media: None)  # the files that play are none of the rows'
    with serving_here(queries) as address, chromium() as browser:
        page = browser.new_page()
        page.on("pageerror", lambda error: pytest.fail(str(error)))

        def open_at(view: str) -> Page:
            page.goto(address + view)
            return page

        yield open_at


def test_explore_sorts_by_the_model_plays_marks_and_keeps_the_view(
    explore: Callable[[str], Page], expected: dict[str, tuple[float, int, int]]
) -> None:
    page = explore("#explore?split=test&sort=-model+score")
    cards = page.locator("article.sample")
    expect(cards).to_have_count(12)
    shown = cards.evaluate_all("all => all.map(one => one.dataset.id)")
    scores = [expected[name][0] for name in shown]
    assert scores == sorted(scores, reverse=True)
    page.get_by_label("from", exact=True).fill(str(scores[2]))
    page.keyboard.press("Tab")
    expect(cards).to_have_count(3)
    page.locator("h1").click()  # away from the filters
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(cards.first.locator("audio")).to_have_js_property("paused", False)
    page.keyboard.press("f")
    expect(cards.first).to_have_class(re.compile("marked"))
    view = page.url
    page.keyboard.press("c")
    expect(page).to_have_url(re.compile(rf"#search\?id={shown[0]}$"))
    page.go_back()
    expect(cards).to_have_count(3)
    assert page.url == view
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    explore("#explore?status=skipped")
    expect(cards).to_have_count(1)
    expect(cards).to_contain_text("An annotator rejected the clip: hands hidden")
    expect(cards.locator("video")).to_have_js_property("videoWidth", 64)


def test_ids_that_clips_and_utterances_share_are_refused(workspace: Path) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    rows = list(read_rows(manifest, SplitPairRow))
    replaced = msgspec.structs.replace
    write_rows(manifest, [replaced(row, utterance=replaced(row.utterance, id=row.utterance.clip)) for row in rows])
    with pytest.raises(InputError, match="12 clips have the id of an utterance, such as s"):
        ShownItems(GallerySource(manifest))
