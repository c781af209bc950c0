"""Search: it ranks as evaluation does; the whole data set; typed queries, spoken or by their words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from dataset_tools.classes.usable_intervals import MIN_FRAMES
from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.cli.main import app
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.evaluation import run_notes
from fmn.evaluation.evaluate import all_scores
from fmn.features.media import FeatureSet, Media
from fmn.search import gallery_search, query_files, query_preparation
from fmn.search.gallery_search import Gallery, search
from fmn.search.query_files import clip_doubts, finish_query
from fmn.search.search_results import gallery_rows
from fmn.search.text_query import main_language, search_words, speak_query
from fmn.training.checkpoint import load_run

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")
CPU = torch.device("cpu")


@pytest.fixture
def whole(workspace: Path) -> Path:
    """The workspace with clips.jsonl and utterances.jsonl of both splits; every utterance has words of its own."""
    rows = [row for name in ("train", "test") for row in read_rows(workspace / f"manifests/{name}.jsonl", SplitPairRow)]
    clips, utterances = {row.clip.id: row.clip for row in rows}, {row.utterance.id: row.utterance for row in rows}
    write_rows(workspace / "manifests" / "clips.jsonl", [clips[name] for name in sorted(clips)])
    write_rows(workspace / "manifests" / "utterances.jsonl", [utterances[name] for name in sorted(utterances)])
    return workspace


@pytest.mark.parametrize("kind", ["speech", "clip"])
def test_search_ranks_as_evaluation_does(
    workspace: Path, run: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    items = load_items(manifest)
    loaded = load_run(run, CPU)
    scores = all_scores(loaded, load_features(items, loaded.config, device=CPU))
    asked = items.utterances[5] if kind == "speech" else items.clips[5]
    gallery = items.clips if kind == "speech" else items.utterances
    column = scores[:, 5] if kind == "speech" else scores[5]
    best = np.argsort(-column, kind="stable")[:4]
    unsaid = gallery[best[1]].id  # a clip that nothing is said of
    said = [
        msgspec.structs.replace(row, clip=clip.id, text=f"of {clip.id}")
        for row, clip in zip(items.utterances, items.clips, strict=True)
        if clip.id != unsaid
    ]
    write_rows(manifest.with_name("utterances.jsonl"), said)
    # The made-up features go by content hash, and the files here are empty.
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    result = search(run, workspace / asked.path, kind, manifest, top=4)  # type: ignore[arg-type]
    assert [hit.id for hit in result.hits] == [gallery[index].id for index in best]
    assert [hit.rank for hit in result.hits] == [1, 2, 3, 4]
    np.testing.assert_allclose([hit.score for hit in result.hits], column[best], atol=1e-5)
    assert result.gallery == 12
    if kind == "speech":
        expected = [
            (clip.person, f"of {clip.id}" if clip.id != unsaid else None) for clip in map(gallery.__getitem__, best)
        ]
        assert len({person for person, _ in expected}) > 1
    else:
        expected = [(gallery[index].voice, gallery[index].text) for index in best]
    assert [(hit.person, hit.text) for hit in result.hits] == expected
    assert result.hits[0].path == gallery[best[0]].path


def test_search_for_a_file_that_is_not_there(workspace: Path, run: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        search(run, workspace / "none.wav", "speech", workspace / "manifests" / "test.jsonl")


def test_everything_of_the_data_set_can_be_searched(whole: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = whole / "manifests" / "test.jsonl"
    asked = load_items(whole / "manifests" / "train.jsonl").utterances[0]
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    result = search(run, whole / asked.path, "speech", manifest, top=50, everything=True)
    assert result.gallery == len(result.hits) == 4 * 8
    assert result.manifest == str(manifest.with_name("clips.jsonl"))
    assert result.hits[0].class_id == asked.class_id
    assert any("were trained on" in note for note in result.notes)
    assert search(run, whole / asked.path, "speech", manifest, top=50).gallery == 4 * 3


@pytest.mark.parametrize("everything", [False, True])
def test_a_search_says_nothing_of_a_training_manifest_that_has_moved(
    whole: Path, run: Path, monkeypatch: pytest.MonkeyPatch, *, everything: bool
) -> None:
    manifest = whole / "manifests" / "test.jsonl"
    asked = load_items(manifest).utterances[0]
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    manifest.with_name("train.jsonl").unlink()
    notes = search(run, whole / asked.path, "speech", manifest, everything=everything).notes
    assert [note for note in notes if "training manifest" in note] == []
    assert any("were trained on" in note for note in notes) == everything  # by their ids


def test_a_search_of_the_test_manifest_reads_no_training_manifest(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    asked = load_items(manifest).utterances[0]
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    monkeypatch.setattr(run_notes, "unchanged_manifest", lambda *_: pytest.fail("it was read"))
    search(run, workspace / asked.path, "speech", manifest)


@pytest.mark.parametrize("kind", ["speech", "clip"])
def test_a_gallery_is_encoded_once_for_all_its_queries(
    workspace: Path, run: Path, kind: gallery_search.QueryKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    items = load_items(manifest)
    asked = (items.utterances if kind == "speech" else items.clips)[:3]
    encoded = {"gallery": 0}
    for name in ("encode_all_clips", "encode_all_utterances"):
        encode = getattr(gallery_search, name)

        def counted(model, data, indices, encode=encode):  # type: ignore[no-untyped-def]
            encoded["gallery"] += len(indices) > 1
            return encode(model, data, indices)

        monkeypatch.setattr(gallery_search, name, counted)
    gallery = Gallery(load_run(run, CPU), gallery_rows(manifest, kind), kind, manifest, device=CPU)
    for row in asked:
        monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path, row=row: row.sha256)
        alone = search(run, workspace / row.path, kind, manifest, top=12)
        encoded["gallery"] -= 1
        assert gallery.search(workspace / row.path, top=12) == alone
    assert encoded["gallery"] == 1


def test_a_gallery_is_encoded_in_parts(workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    asked = load_items(manifest).clips[0]
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    whole = search(run, workspace / asked.path, "clip", manifest, top=12)
    monkeypatch.setattr(gallery_search, "ROWS_AT_ONCE", 5)  # of 12 utterances: 5, 5 and 2
    parts = search(run, workspace / asked.path, "clip", manifest, top=12)
    assert [hit.id for hit in parts.hits] == [hit.id for hit in whole.hits]
    np.testing.assert_allclose([hit.score for hit in parts.hits], [hit.score for hit in whole.hits], atol=1e-5)


def test_words_find_the_clips_whose_sentences_have_them(whole: Path) -> None:
    manifest = whole / "manifests" / "test.jsonl"
    result = search_words("THING 2!", manifest, top=50)
    # All 12 sentences have "thing", three have "2": those come first, alike and in order of their ids.
    assert [hit.class_id for hit in result.hits[:3]] == [load_items(manifest).classes[2].id] * 3
    assert result.hits[0].score == pytest.approx(result.hits[2].score)
    assert result.hits[2].score > result.hits[3].score + 0.01
    assert [hit.id for hit in result.hits[:3]] == sorted(hit.id for hit in result.hits[:3])
    assert result.gallery == len(result.hits) == 12
    whole_result = search_words("thing 2", manifest, top=50, everything=True)
    assert (whole_result.gallery, whole_result.manifest) == (32, str(manifest.with_name("clips.jsonl")))
    assert (result.run, result.manifest) == (None, str(manifest))
    nothing = search_words("zebra", manifest)
    assert (nothing.hits, nothing.notes[-1]) == ((), "No sentence contains any of these words.")
    with pytest.raises(InputError, match="no words"):
        search_words("?!", manifest)


def test_a_typed_query_is_spoken_in_its_language(tmp_path: Path) -> None:
    for text, voice in (("he cuts the carrot", "en"), ("他在切萝卜", "cmn")):
        wav, said = speak_query(text, tmp_path)
        sound = decode(wav, longest_s=30)
        assert sound.sample_rate_hz == 16_000
        assert 0.4 < len(sound.samples) / sound.sample_rate_hz < 5
        assert np.abs(sound.samples).max() > 0.05
        assert said == f"The text was synthesized by espeak's voice {voice}, and searched as speech."


@pytest.mark.parametrize(
    "text",
    [
        *("нарезать морковь", "ニンジンを切る", "肉を焼く", "당근을 썰어요", "يقطع الجزر"),
        *("cut the κρεμμύδι", "cut the я", "μ", "!!!", "12", ""),
    ],
)
def test_a_text_that_no_voice_can_speak_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        speak_query(text, tmp_path)
    error = refused.value
    assert error.found == "There is no word" or all(letter in text for letter in error.found.partition("letters ")[2])
    assert error.expected == "a sentence in English, or in Chinese (Mandarin)"
    for way_out in ("--speech", "microphone", "--by-words"):
        assert way_out in str(error.next_step)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["Don’t cut the jalapeños.", "ｃｕｔ ｔｈｅ ｂｒｅａｄ", "peel 2 café crêpes"])
def test_letters_of_the_alphabet_are_spoken_however_they_are_written(text: str, tmp_path: Path) -> None:
    assert "voice en," in speak_query(text, tmp_path)[1]


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("add 5 µm of salt", "en"),
        ("measure 3 Ω at the stove", "en"),
        ("add β-carotene", "en"),
        ("他加 5 µm 盐", "cmn"),
        ("他们天天々切萝卜", "cmn"),
    ],
)
def test_units_and_iteration_marks_are_spoken(text: str, voice: str, tmp_path: Path) -> None:
    assert f"voice {voice}," in speak_query(text, tmp_path)[1]


@pytest.mark.parametrize(
    ("text", "language", "voice"),
    [
        ("Er schneidet die Möhre.", "de", "de"),
        ("Он режет морковь.", "ru", "ru"),
        ("他切胡萝卜。", "de", "cmn"),
        ("He cuts the carrot.", "zh", "en"),
        ("He cuts the carrot.", "und", "en"),
    ],
)
def test_a_typed_query_is_spoken_in_the_language_of_the_data_set(
    text: str, language: str, voice: str, tmp_path: Path
) -> None:
    assert f"voice {voice}," in speak_query(text, tmp_path, language)[1]
    with pytest.raises(InputError, match="no word"):
        speak_query("12!", tmp_path, language)


def test_a_search_uses_the_language_of_most_utterances(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    assert main_language(manifest) == "en"
    pairs = list(read_rows(manifest, SplitPairRow))
    chosen = sorted({pair.utterance.id for pair in pairs})[:6]  # half of them
    for number, language in ((6, "de"), (5, "en")):
        german = [
            msgspec.structs.replace(pair, utterance=msgspec.structs.replace(pair.utterance, language="de"))
            if pair.utterance.id in chosen[:number]
            else pair
            for pair in pairs
        ]
        write_rows(manifest, german)
        assert main_language(manifest) == language
    write_rows(manifest, [pair for pair in german if pair.utterance.language == "de"])
    spoken: list[str] = []

    def speak(text: str, folder: Path, language: str, **_: object) -> None:
        spoken.append(language)
        raise InputError("Nothing is searched here")

    monkeypatch.setattr(query_preparation, "speak_query", speak)
    with pytest.raises(InputError, match="Nothing is searched"):
        search(run, "Er schneidet die rote Möhre.", "speech", manifest)
    assert spoken == ["de"]


def test_what_is_no_utterance_is_refused_or_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too short") as refused:
        speak_query("cut", tmp_path)
    assert "--by-words" in str(refused.value)
    with pytest.raises(InputError, match="too short"):
        speak_query("I", tmp_path)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    with pytest.raises(SampleError, match="silent"):
        finish_query(tmp_path / "silent.wav", tmp_path)
    sound, (doubt,) = finish_query(tmp_path / "silent.wav", tmp_path, refuse=False)
    assert sound == tmp_path / "silent.wav"
    assert "silent" in doubt
    wav, _ = speak_query("he cuts the carrot", tmp_path)
    assert finish_query(wav, tmp_path / "..")[1] == ()


def test_a_clip_of_few_frames_is_doubted(
    tmp_path: Path, write_moving_bar: Callable[[Path, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert query_files.LEAST_FRAMES == MIN_FRAMES
    clip = tmp_path / "clip.mp4"
    write_moving_bar(clip, 90)
    assert clip_doubts(clip) == ("A data set would reject this query: 10 frames, of at least 15.",)
    monkeypatch.setattr(query_files, "LEAST_FRAMES", 10)
    assert clip_doubts(clip) == ()
    assert clip_doubts(tmp_path / "none.mp4") == ()


@pytest.mark.parametrize("kind", ["speech", "clip"])
def test_items_without_a_file_or_features_are_listed(
    workspace: Path, run: Path, kind: gallery_search.QueryKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    rows = gallery_rows(manifest, kind)
    gone, damaged, *others = rows
    (workspace / gone.path).unlink()
    asked = load_items(manifest).utterances[5] if kind == "speech" else load_items(manifest).clips[5]
    name = "extract_video" if kind == "speech" else "extract_audio"
    extract = getattr(gallery_search, name)

    def failing(media: list[Media], *arguments: Any, **options: Any) -> FeatureSet:
        found = extract(media, *arguments, **options)
        values = {sha256: value for sha256, value in found.values.items() if sha256 != damaged.sha256}
        failed = {damaged.sha256: SampleError("It is damaged")} if len(values) < len(found.values) else {}
        return replace(found, values=values, failures=failed)

    monkeypatch.setattr(gallery_search, name, failing)
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    result = search(run, workspace / asked.path, kind, manifest, top=12)
    assert result.failures == {gone.id: f"The file {gone.path!r} is missing", damaged.id: "It is damaged"}
    assert {hit.id for hit in result.hits} == {row.id for row in others}
    assert (result.gallery, result.run, result.manifest) == (10, str(run), str(manifest))

    told = CliRunner().invoke(app, ["search", str(run), f"--{kind}", str(workspace / asked.path), "--json"])
    assert told.exit_code == 1, told.output
    assert json.loads(told.stdout)["failures"] == result.failures
    assert (json.loads(told.stdout)["run"], json.loads(told.stdout)["manifest"]) == (str(run), str(manifest))
    assert "2 files have no features, left out:" in told.stderr
    assert f"in {manifest} by {run}" in " ".join(told.stderr.split())
    for row in others:
        (workspace / row.path).unlink()
    with pytest.raises(InputError, match=f"no item of the manifest has features; the first, {gone.id}: The file "):
        Gallery(load_run(run, CPU), [gone, *others], kind, manifest, device=CPU)


@pytest.mark.parametrize("name", ["silent.wav", "kept.wav"])
def test_what_is_doubtful_about_a_recording_is_told(
    whole: Path, run: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent one is searched as it is, with a warning; so is one of the data set, without."""
    manifest = whole / "manifests" / "test.jsonl"
    known = load_items(whole / "manifests" / "train.jsonl").utterances[0]
    of_data_set, silent = known.sha256, load_items(manifest).utterances[0].sha256
    hashes = {"silent.wav": "0" * 64, "kept.wav": of_data_set}
    searched: list[str] = []

    def hashed(path: Path) -> str:
        searched.append(path.name)
        return hashes[path.name] if len(searched) == 1 else silent

    for module in ("query_preparation", "gallery_search"):
        monkeypatch.setattr(f"fmn.search.{module}.sha256_of", hashed)
    soundfile.write(tmp_path / name, np.zeros(16_000), 16_000)
    told = CliRunner().invoke(app, ["search", str(run), "--speech", str(tmp_path / name)])
    assert told.exit_code == 0, told.output
    assert ("would reject this query" in " ".join(told.output.split())) == (name == "silent.wav")
    assert searched == [name, name]


def test_the_typed_text_is_shown_as_it_is_and_only_files_are_searched(
    whole: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ["search", str(run), "--manifest", str(whole / "manifests" / "test.jsonl")]
    words = CliRunner().invoke(app, [*common, "--text", "salt/../thing 2", "--by-words"])
    assert "clips for “salt/../thing 2”, best" in words.output
    (whole / "pipe").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        search(run, whole / "pipe", "speech", whole / "manifests" / "test.jsonl")
    nowhere = CliRunner().invoke(app, [*common, "--text", "thing 2", "--by-words", "--workspace", str(whole / "none")])
    assert nowhere.exit_code == 2
    assert "There is no such workspace" in nowhere.output


def test_the_command_takes_one_query(whole: Path, run: Path) -> None:
    test = str(whole / "manifests" / "test.jsonl")
    common = ["search", str(run), "--manifest", test]
    words = CliRunner().invoke(app, [*common, "--text", "thing 2", "--by-words", "--all"])
    assert words.exit_code == 0
    assert "of 32" in words.output
    for empty in ("", " \n"):
        for options in ([], ["--by-words"]):
            refused = CliRunner().invoke(app, [*common, "--text", empty, *options])
            assert refused.exit_code == 2
            assert "The query is empty" in refused.output
            assert "--text" in refused.output.partition("where:")[2].splitlines()[0]
    for wrong in ([], ["--by-words"], ["--text", "a", "--speech", test], ["--by-words", "--speech", test]):
        assert CliRunner().invoke(app, [*common, *wrong]).exit_code == 2
