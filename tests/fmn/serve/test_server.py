"""What the page's server answers, and what it refuses."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from aiohttp.test_utils import TestClient, TestServer
from typer.testing import CliRunner

import fmn.serve
from dataset_tools.core.errors import InputError
from dataset_tools.core.web_server import Address
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.cli.main import app
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.evaluation.evaluate import all_scores, evaluate
from fmn.search.gallery_search import search
from fmn.search.search_results import GallerySource
from fmn.serve import server
from fmn.serve.errors_view import Errors
from fmn.serve.queries import Queries
from fmn.serve.server import make_app
from fmn.serve.shown_items import ShownItems
from fmn.training.checkpoint import load_run

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
TOKEN = "a-secret"


@pytest.fixture
def queries(trained: Path, tmp_path: Path) -> Queries:
    folder = tmp_path / "asked"
    folder.mkdir()
    items = ShownItems(GallerySource(trained.parent.parent / "manifests" / "test.jsonl"))
    return Queries(load_run(trained, CPU), items, folder, device=CPU, jobs=1)


def asked(queries: Queries, work: Callable[[TestClient[Any, Any]], Any]) -> Any:
    async def run() -> Any:
        async with TestClient(TestServer(make_app(queries, TOKEN))) as client:
            return await work(client)

    return asyncio.run(run())


def answered(queries: Queries, **query: str) -> dict[str, Any]:
    return queries.answer(queries.encoded(**query))


def wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV")
    return file.getvalue()


def test_nothing_is_served_without_the_secret_to_another_name_or_from_elsewhere(queries: Queries) -> None:
    clip = next(iter(queries.items.clips.values()))
    content = (queries.items.workspace / clip.path).read_bytes()
    (queries.items.workspace / "private.txt").write_text("private")

    async def work(client: TestClient[Any, Any]) -> None:
        for path in ("/", "/page.js", "/wrong/", "/wrong/api/state", f"/{TOKEN}x/", f"/wrong/media/{clip.id}"):
            assert (await client.get(path)).status == 404, path
        for host, status in (("evil.example", 421), ("evil.example:80", 421), ("localhost:1", 200), ("[::1]", 200)):
            assert (await client.get(f"/{TOKEN}/", headers={"Host": host})).status == status, host
        for name in ("", "page.js", "page.css", "icon.svg", "microphone.js", "api/state"):
            answer = await client.get(f"/{TOKEN}/{name}")
            assert answer.status == 200, name
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        for name in ("..%2Fprivate.txt", "%2Fetc%2Fpasswd", "x", f"{clip.id}.mp4"):
            for place in ("media", "queries"):
                assert (await client.get(f"/{TOKEN}/{place}/{name}")).status == 404, name
        part = await client.get(f"/{TOKEN}/media/{clip.id}", headers={"Range": "bytes=3-9"})
        assert part.status == 206
        assert await part.read() == content[3:10]

    asked(queries, work)


def test_what_cannot_be_asked_with_is_answered_plainly(queries: Queries) -> None:
    async def work(client: TestClient[Any, Any]) -> None:
        async def found(content: bytes) -> str:
            name = (await (await client.post(f"/{TOKEN}/api/queries", data=content)).json())["query"]
            answer = await client.get(f"/{TOKEN}/api/search", params={"query": name})
            assert answer.status == 409
            return str((await answer.json())["found"])

        assert "cannot be decoded" in await found(b"this is no sound")
        assert "silent" in await found(wav(np.zeros(16_000)))
        assert "too short" in await found(wav(np.sin(np.arange(1600) / 5)))
        for params in ({"id": "nobody"}, {"query": "0" * 64}):
            answer = await client.get(f"/{TOKEN}/api/search", params=params)
            assert answer.status == 409
            assert "There is no such" in (await answer.json())["found"]
        for wrong in ({}, {"id": "a", "text": "b"}):
            assert (await client.get(f"/{TOKEN}/api/search", params=wrong)).status == 400

    asked(queries, work)


def test_an_answer_ranks_as_evaluation_does_and_says_what_is_a_hit(queries: Queries, trained: Path) -> None:
    items = load_items(queries.items.manifest)
    loaded = load_run(trained, CPU)
    scores = all_scores(loaded, load_features(items, loaded.config, device=CPU, jobs=1))
    for kind, rows, gallery, column in (
        ("speech", items.utterances, items.clips, scores[:, 4]),
        ("clip", items.clips, items.utterances, scores[4]),
    ):
        answer = answered(queries, id=rows[4].id)
        assert (answer["kind"], answer["query"]["class"]) == (kind, rows[4].class_id)
        assert answer["embedding_ms"] is None  # it is part of a gallery
        found = {hit["id"]: hit for hit in answer["hits"]}
        assert set(found) == {row.id for row in gallery}  # fewer than the most that are shown
        for row, score in zip(gallery, column, strict=True):
            hit = found[row.id]
            assert hit["score"] == pytest.approx(float(score), abs=1e-4)
            assert hit["hit"] == (row.class_id == rows[4].class_id)
            of_pair = {kind: rows[4], "clip" if kind == "speech" else "speech": row}
            assert hit["partner"] == (of_pair["speech"].clip == of_pair["clip"].id)
        ranked = [hit["score"] for hit in answer["hits"]]
        assert ranked == sorted(ranked, reverse=True)


def test_why_names_the_slots_whose_shares_make_the_agreement(queries: Queries) -> None:
    """The products of all shares of the slots add up to what the memories say of a pair."""
    model = load_run(queries._loaded.path, CPU).model
    reader = queries._slots
    assert reader is not None
    clips, utterances = (one.embeddings_of(np.arange(len(one.rows))) for one in queries.galleries.values())
    both = reader.shares(clips) @ reader.shares(utterances).T
    space = dict.fromkeys(("mapped",), (clips["mapped"], utterances["mapped"]))["mapped"]
    read = model.memory.read(*space, reduce="softmax", temperature=model.config.memory.temperature)  # type: ignore[union-attr, operator]
    np.testing.assert_allclose(both, read.detach().numpy(), atol=1e-5)
    answer = answered(queries, id=queries.galleries["clip"].rows[0].id)  # type: ignore[attr-defined]
    first = answer["hits"][0]["why"][0]
    assert first["slots"] == answer["taken_for"]["classes"][0]["class"]
    assert first["query"] == pytest.approx(answer["taken_for"]["classes"][0]["share"])


def test_a_file_is_known_by_its_content_and_a_new_one_has_no_class(queries: Queries) -> None:
    row = queries.items.utterances[queries.galleries["clip"].rows[3].id]
    sound = (queries.items.workspace / row.path).read_bytes()
    known = answered(queries, query=queries.keep(sound))
    assert known["query"]["id"] == row.id
    samples, rate_hz = soundfile.read(queries.items.workspace / row.path)
    assert rate_hz == 16_000
    new = answered(queries, query=queries.keep(wav(0.5 * samples)))
    assert (new["query"]["id"], new["query"]["class"]) == (None, None)
    assert new["embedding_ms"] > 0
    assert {hit["hit"] for hit in new["hits"]} == {None}
    assert new["hits"][0]["class"] == known["hits"][0]["class"] == row.class_id
    assert max(new["query"]["waveform"]) == 1
    assert not list((queries.items.workspace / "cache" / "features").rglob(f"*{new['query']['media'][-64:]}*"))


def test_a_recording_is_searched_alike_by_the_page_and_the_command(
    queries: Queries, trained: Path, tmp_path: Path
) -> None:
    row = next(iter(queries.items.utterances.values()))
    samples, rate_hz = soundfile.read(queries.items.workspace / row.path)
    silence = np.zeros(3 * rate_hz // 2)
    for content in (wav(np.r_[silence, 0.05 * samples, silence]), (queries.items.workspace / row.path).read_bytes()):
        (tmp_path / "asked.wav").write_bytes(content)
        page = answered(queries, query=queries.keep(content))["hits"]
        hits = search(
            trained, tmp_path / "asked.wav", "speech", GallerySource(queries.items.manifest), top=12, jobs=1
        ).hits
        # Scores are of the order of 1, in float32: threads and sizes of batches may differ, and so do roundings.
        close = [(hit.id, pytest.approx(hit.score, abs=1e-6)) for hit in hits]
        assert close == [(hit["id"], hit["score"]) for hit in page]


def test_items_that_the_run_knows_are_counted(queries: Queries, trained: Path) -> None:
    train = ShownItems(GallerySource(queries.items.manifest.with_name("train.jsonl")))
    own = Queries(load_run(trained, CPU), train, queries._folder, device=CPU, jobs=1)
    told = [note.split(" were trained on")[0] for note in own.state()["notes"] if "were trained on" in note]
    counts = {name: len(own.galleries[kind].rows) for name, kind in (("clips", "speech"), ("utterances", "clip"))}
    assert told == [f"{count} of the {count} {name}" for name, count in counts.items()]


def test_items_without_a_file_are_told_and_the_others_are_searched(queries: Queries, trained: Path) -> None:
    assert queries.state()["failures"] == {}
    clip, utterance = (gallery.rows[0] for gallery in queries.galleries.values())
    moved = [queries.items.file(row) for row in (clip, utterance)]
    for path in moved:
        path.rename(path.with_suffix(".moved"))
    try:
        some = Queries(load_run(trained, CPU), queries.items, queries._folder, device=CPU, jobs=1)
    finally:
        for path in moved:
            path.with_suffix(".moved").rename(path)
    assert some.state()["failures"] == {row.id: f"The file {row.path!r} is missing" for row in (clip, utterance)}
    assert [len(gallery.rows) for gallery in some.galleries.values()] == [11, 11]
    assert len(Errors(some).of("speech")["queries"]) == 11


def test_there_are_no_errors_without_tested_items_of_both_kinds(trained: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(trained.parent.parent, tmp_path / "copy")
    manifests = workspace / "manifests"
    rows = list(read_rows(manifests / "test.jsonl", SplitPairRow))
    other = next(read_rows(manifests / "train.jsonl", SplitPairRow)).clip
    clips = {row.id: row for row in (other, *(row.clip for row in rows))}
    write_rows(manifests / "clips.jsonl", [clips[name] for name in sorted(clips)])
    utterances = {row.utterance.id: row.utterance for row in rows}
    write_rows(manifests / "utterances.jsonl", [utterances[name] for name in sorted(utterances)])
    for row in rows:
        (workspace / row.clip.path).unlink(missing_ok=True)
    items = ShownItems(GallerySource(manifests / "test.jsonl", everything=True))
    some = Queries(load_run(trained, CPU), items, tmp_path, device=CPU, jobs=1)
    assert [row.id for row in some.galleries["speech"].rows] == [other.id]
    assert some.state()["searched"] == "the whole data set"
    for kind in ("speech", "clip"):
        with pytest.raises(InputError, match="no clip or no utterance has features"):
            Errors(some).of(kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["speech", "clip"])
def test_errors_are_those_of_the_evaluation(queries: Queries, trained: Path, kind: str) -> None:
    found = Errors(queries).of(kind)  # type: ignore[arg-type]
    manifest = queries.items.manifest
    block = evaluate(trained, manifest, jobs=1).metrics["audio_to_video" if kind == "speech" else "video_to_audio"]
    for name, of_class in block["by_class"].items():
        assert found["by_class"][name]["queries"] == of_class["queries"]
        for k in ("1", "10"):
            assert found["by_class"][name]["hits"][k] == pytest.approx(of_class["class_hit"][k])
            assert found["by_class"][name]["recalls"][k] == pytest.approx(of_class["class_recall"][k])
    items, loaded = load_items(manifest), load_run(trained, CPU)
    scores = all_scores(loaded, load_features(items, loaded.config, device=CPU, jobs=1))
    matrix = scores.T if kind == "speech" else scores
    rows, gallery = (items.utterances, items.clips) if kind == "speech" else (items.clips, items.utterances)
    names = [label.id for label in items.classes]
    counted = np.zeros((4, 4), dtype=int)
    for query, column, outcome in zip(rows, matrix, found["queries"], strict=True):
        first = gallery[int(column.argmax())]
        counted[names.index(query.class_id), names.index(first.class_id)] += 1
        assert (outcome["id"], outcome["top"]["id"]) == (query.id, first.id)
        own = [score for score, row in zip(column, gallery, strict=True) if row.class_id == query.class_id]
        others = [score for score, row in zip(column, gallery, strict=True) if row.class_id != query.class_id]
        assert outcome["rank"] == 1 + sum(score > max(own) for score in others)
        assert outcome["surprise"] == pytest.approx(float(max(others) - max(own)), abs=1e-4)
    assert found["confusion"] == counted.tolist()


def test_a_wrong_label_is_doubted_and_right_ones_are_not(queries: Queries, trained: Path, tmp_path: Path) -> None:
    """The network tells all of these classes apart, so that a label is doubted where it is wrong."""
    for right in (Errors(queries).of("speech"), Errors(queries).of("clip")):
        assert all(one["doubt"] <= 0.5 for one in right["queries"])
    rows = list(read_rows(queries.items.manifest, SplitPairRow))
    wrong, other = rows[0], next(row.label for row in rows if row.label != rows[0].label)
    changed = []
    for row in rows:
        if (row.clip.id, row.utterance.id) == (wrong.clip.id, wrong.utterance.id):
            clip, utterance = (msgspec.structs.replace(part, class_id=other.id) for part in (row.clip, row.utterance))
            changed.append(msgspec.structs.replace(row, label=other, clip=clip, utterance=utterance))
        elif row.clip.id != wrong.clip.id and row.utterance.id != wrong.utterance.id:
            changed.append(row)
    assert wrong.utterance.clip == wrong.clip.id
    write_rows(tmp_path / "test.jsonl", changed)
    items = ShownItems(GallerySource(tmp_path / "test.jsonl", root=queries.items.workspace))
    found = Errors(Queries(load_run(trained, CPU), items, tmp_path, device=CPU, jobs=1)).of("speech")["queries"]
    doubted = {one["id"]: one["other"] for one in found if one["doubt"] > 0.5}
    assert doubted[wrong.utterance.id] == wrong.label.id
    assert not {one["id"] for one in found if one["class"] not in (wrong.label.id, other.id)} & set(doubted)


def test_labels_are_doubted_only_by_neighbors_that_can_be_compared(
    queries: Queries, trained: Path, tmp_path: Path
) -> None:
    """With one pair of a class there is no other item of it; with two, one neighbor votes."""
    rows = list(read_rows(queries.items.manifest, SplitPairRow))
    of_classes: dict[str, list[str]] = {}
    for row in rows:
        of_classes.setdefault(row.label.id, [])
        if row.utterance.clip == row.clip.id:
            of_classes[row.label.id].append(row.clip.id)
    for count in (1, 2):
        kept = {clip for clips in of_classes.values() for clip in sorted(clips)[:count]}
        path = tmp_path / f"{count}.jsonl"
        write_rows(path, [row for row in rows if row.clip.id in kept and row.utterance.clip in kept])
        items = ShownItems(GallerySource(path, root=queries.items.workspace))
        some = Queries(load_run(trained, CPU), items, tmp_path, device=CPU, jobs=1)
        for kind in ("speech", "clip"):
            found = Errors(some).of(kind)["queries"]  # type: ignore[arg-type]
            assert len(found) == 4 * count
            assert [one["id"] for one in found if one["doubt"]] == []
            assert {one["neighbors"] for one in found} == {count - 1}


def test_without_slots_the_best_hits_vote_on_the_class(queries: Queries, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many hits as a class has items: all 12 items of the gallery would be of all four classes alike."""
    monkeypatch.setattr(queries, "_slots", None)
    for row in [*queries.items.clips.values(), *queries.items.utterances.values()]:
        predicted = answered(queries, id=row.id)["taken_for"]
        assert predicted["how"] == "the classes of the best 3 hits"
        assert predicted["classes"][0] == {"class": row.class_id, "share": 1}


def test_an_address_or_engine_that_cannot_be_used_is_refused_before_anything_is_encoded(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = trained.parent.parent / "manifests" / "test.jsonl"
    monkeypatch.setattr(server, "Queries", None)  # it would encode
    options: dict[str, Any] = {"announce": None, "device": "cpu", "jobs": 1}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(port=taken.getsockname()[1])
        with pytest.raises(InputError, match="address cannot be used"):
            server.serve(trained, GallerySource(manifest), address, **options)
    with pytest.raises(InputError, match="no speech engine 'none'"):
        server.serve(trained, GallerySource(manifest), Address(), voices="none", **options)


def test_the_command_tells_its_address_and_what_is_left_out(
    queries: Queries, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries.failures["a clip"] = "It is damaged"
    monkeypatch.setattr(server, "Queries", lambda *_, **__: queries)

    def served(make: Callable[[str], Any], _: Address, __: Path, announce: Callable[[str], None]) -> None:
        make(TOKEN)
        announce("http://127.0.0.1:1/secret/")

    monkeypatch.setattr(server, "serve_application", served)
    told = CliRunner().invoke(app, ["serve", str(trained), "--json"])
    assert told.exit_code == 1
    assert "1 file has no features, left out:\n  a clip: It is damaged" in told.stderr
    found = json.loads(told.stdout)
    assert (found["address"], found["failures"]) == ("http://127.0.0.1:1/secret/", {"a clip": "It is damaged"})


def test_the_page_shows_all_parts_of_an_error() -> None:
    script = (Path(fmn.serve.__file__).parent / "page.js").read_text("utf-8")
    function = re.search(r"\nfunction errorText\(.*?\n}\n", script, re.DOTALL)
    assert function is not None
    error = InputError("found", where="where", expected="expected", next_step="next")
    assert set(re.findall(r"\breply\.(\w+)", function[0])) == set(error.as_dict()) - {"where"}
