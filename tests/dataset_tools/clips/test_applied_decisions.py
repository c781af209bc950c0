"""What the next build makes of people's decisions, on sources whose frames carry their number."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from dataset_tools.build.building import build_dataset
from dataset_tools.build.verify import verify_dataset
from dataset_tools.build_record import BuildOptions, read_build
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.mpii.mpii_corpus import Corpus
from dataset_tools.decisions.journal import (
    LabelStudioIds,
    ReviewRow,
    Shown,
    append_reviews,
    read_reviews,
    reviews_path,
)
from dataset_tools.decisions.majority_rule import decide, still_refers
from dataset_tools.decisions.verdicts import standing
from dataset_tools.label_studio.context_videos import shown_videos
from dataset_tools.label_studio.review_status import status
from dataset_tools.manifests import ClipRow, SplitPairRow, UtteranceRow, read_rows
from dataset_tools.pairs.dealing import PairOptions
from dataset_tools.pairs.pairing import make_pairs
from dataset_tools.speech.dataset_speech import SpeechOptions, import_dataset, synthesize_dataset

CLASSES = load_classes()
CUT, STIR = "cut_carrot_knife", "stir_onion_spatula"
OPTIONS = BuildOptions(per_class=4, short_side=64)
SENTENCE = "She halves the carrot with a big knife."


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("footage")
    return {name: write_video(folder / f"{name}.avi", 330, g=50) for name in ("s07-d20", "s08-d21")}


@pytest.fixture
def corpus(footage: dict[str, Path], make_interval: Callable, make_corpus: Callable, tmp_path: Path) -> Corpus:
    """Two videos, in each four intervals of cutting and four of stirring: one more than places on both sides."""
    (tmp_path / "videos").mkdir()
    videos = {
        f"{name}-cam-002": Path(shutil.copy(path, tmp_path / "videos" / path.name)) for name, path in footage.items()
    }
    intervals = []
    for name in footage:
        for place in range(4):
            intervals.append(make_interval(name, 80 * place + 1, 80 * place + 40))
            intervals.append(make_interval(name, 80 * place + 41, 80 * place + 79, "stir", "onion spatula"))
    return make_corpus(intervals, videos)


def clips_of(place: Workspace) -> dict[str, ClipRow]:
    return {row.id: row for row in read_rows(place.manifests / "clips.jsonl", ClipRow)}


def utterances_of(place: Workspace) -> dict[str | None, UtteranceRow]:
    return {row.clip: row for row in read_rows(place.manifests / "utterances.jsonl", UtteranceRow)}


def contents(place: Workspace) -> dict[str, bytes]:
    return {
        str(path.relative_to(place.root)): path.read_bytes()
        for path in sorted(place.root.rglob("*"))
        if path.is_file() and "cache" not in path.relative_to(place.root).parts
    }


def review(
    place: Workspace,
    clip: ClipRow,
    verdict: str,
    *,
    minute: int = 0,
    speech: str | None = None,
    source_sha256: str | None = None,
    **said: Any,
) -> None:
    """Somebody decided on a clip, and perhaps on its speech, as it is in the manifest now."""
    utterance = utterances_of(place)[clip.id]
    common: dict[str, Any] = {
        "annotator": "ann@example.com",
        "time": f"2026-11-22T08:{minute:02d}:00.000000Z",
        "shown": Shown(
            class_id=clip.class_id,
            sentence=utterance.text,
            first_frame=clip.start_frame,
            frames=clip.frames,
            source_sha256=source_sha256,
        ),
        "label_studio": LabelStudioIds(
            server=None,
            project=1,
            task=minute,
            annotation=hash((clip.id, minute)) % 10**6,
            created=f"2026-11-22T08:{minute:02d}:00.000000Z",
        ),
    }
    content = clip.sha256 if clip.decided_sha256 is msgspec.UNSET else clip.decided_sha256
    row = ReviewRow(id=clip.id, item="clip", content_sha256=content, verdict=verdict, **said, **common)
    heard = ReviewRow(
        id=utterance.id, item="utterance", content_sha256=utterance.sha256, verdict=speech or None, **common
    )
    append_reviews(reviews_path(place), [row, heard])


@pytest.fixture
def built(corpus: Corpus, tmp_path: Path) -> Workspace:
    place = Workspace(tmp_path / "set")
    build_dataset(place, corpus, CLASSES, OPTIONS, jobs=2)
    return place


def test_the_next_build_follows_what_people_decided(
    built: Workspace, corpus: Corpus, tmp_path: Path, read_numbers: Callable[[Path], list[int]]
) -> None:
    before, spoken = clips_of(built), utterances_of(built)
    cutting = [row for row in before.values() if row.class_id == CUT]
    stirring = [row for row in before.values() if row.class_id == STIR]
    trimmed, rejected, moved, worded = cutting
    dropped, accepted, *_ = stirring
    range_kept = (trimmed.start_frame + 5, trimmed.start_frame + 24)
    review(built, trimmed, "trim", trim=range_kept)
    review(built, rejected, "reject", minute=1, reasons=("cannot be seen",))
    review(built, moved, "accept", minute=2, corrected_class=STIR)
    review(built, worded, "accept", minute=3, sentence=SENTENCE)
    review(built, dropped, "accept", minute=4, corrected_class="other")
    review(built, accepted, "accept", minute=5)
    files = {row.id: (built.root / row.path).stat().st_mtime_ns for row in before.values()}
    said = {row.id: (built.root / row.path).stat().st_mtime_ns for row in spoken.values()}

    summary = build_dataset(built, corpus, CLASSES, OPTIONS, jobs=2)
    after, heard = clips_of(built), utterances_of(built)
    assert summary.per_class[CUT] == summary.per_class[STIR] == 4
    assert summary.reviewed == {"accept": 4, "reject": 1, "trim": 1}
    assert summary.refused["An annotator rejected the clip"] == 1
    assert {rejected.id, dropped.id}.isdisjoint(after)
    assert {rejected.id, dropped.id}.isdisjoint({row.clip for row in heard.values()})

    cut = after[trimmed.id]
    assert (cut.trim, cut.frames, cut.review) == (range_kept, 20, "trim")
    assert (cut.start_frame, cut.end_frame) == (trimmed.start_frame, trimmed.end_frame)
    assert read_numbers(built.root / cut.path) == list(range(range_kept[0], range_kept[1] + 1))
    assert cut.decided_sha256 == trimmed.sha256 != cut.sha256
    stayed = set(before) & set(after) - {trimmed.id}
    assert all((built.root / after[name].path).stat().st_mtime_ns == files[name] for name in stayed)

    assert after[moved.id].class_id == heard[moved.id].class_id == STIR
    assert "onion" in heard[moved.id].text
    assert (built.root / heard[moved.id].path).stat().st_mtime_ns != said[spoken[moved.id].id]
    assert (heard[worded.id].text, heard[worded.id].text_source) == (SENTENCE, "review")
    assert heard[worded.id].sha256 != spoken[worded.id].sha256
    for name in (accepted.id, trimmed.id):
        assert heard[name].sha256 == spoken[name].sha256
        assert (built.root / heard[name].path).stat().st_mtime_ns == said[spoken[name].id]
    verdicts = {name: row.review for name, row in after.items() if row.review is not None}
    assert verdicts == {trimmed.id: "trim", moved.id: "accept", worded.id: "accept", accepted.id: "accept"}
    assert verify_dataset(built).problems == ()

    decisions = decide(read_reviews(reviews_path(built)), "clip")
    kept = (trimmed.id, moved.id, worded.id, accepted.id)
    assert all(still_refers(decisions[name], after[name], heard[name]) for name in kept)
    pairs = make_pairs(built, CLASSES, PairOptions(reviewed=True, test_share=0.5))
    assert (pairs.clips, pairs.utterances, pairs.pairs) == (4, 4, 8)
    rows = [*read_rows(built.manifests / "train.jsonl", SplitPairRow)]
    rows += [*read_rows(built.manifests / "test.jsonl", SplitPairRow)]
    assert {row.clip.id for row in rows} <= set(kept)

    for name in ("pairs.jsonl", "train.jsonl", "test.jsonl", "split.json"):
        (built.manifests / name).unlink()
    first = contents(built)
    build_dataset(built, corpus, CLASSES, OPTIONS, jobs=1)
    assert contents(built) == first

    anew = Workspace(tmp_path / "anew")  # with the decisions from the start, as after a loss of all that was made
    shutil.copytree(built.annotations, anew.annotations)
    build_dataset(anew, corpus, CLASSES, OPTIONS, jobs=2)
    made = contents(anew)
    assert {name: made[name] for name in made if "manifests" in name or name == "ledger.jsonl"} == {
        name: first[name] for name in first if "manifests" in name or name == "ledger.jsonl"
    }


def test_a_decision_on_footage_that_changed_is_not_applied(
    built: Workspace, corpus: Corpus, write_video: Callable[..., Path]
) -> None:
    before = clips_of(built)
    trimmed, rejected = (row for row in before.values() if row.class_id == CUT and row.person == "s07")
    other = next(row for row in before.values() if row.class_id == CUT and row.person == "s08")
    review(built, trimmed, "trim", trim=(trimmed.start_frame, trimmed.start_frame + 19))
    review(built, rejected, "reject", minute=1)
    review(built, other, "trim", minute=2, trim=(other.start_frame, other.start_frame + 19))
    build_dataset(built, corpus, CLASSES, OPTIONS, jobs=2)
    assert {trimmed.id: 20, other.id: 20}.items() <= {row.id: row.frames for row in clips_of(built).values()}.items()

    write_video(corpus.videos["s07-d20-cam-002"], 330, g=50, size=(192, 120))
    build_dataset(built, corpus, CLASSES, OPTIONS, jobs=2)
    after = clips_of(built)
    assert set(after) == set(before)
    assert (after[trimmed.id].trim, after[trimmed.id].frames, after[trimmed.id].review) == (None, 40, None)
    assert after[other.id].trim == (other.start_frame, other.start_frame + 19)
    decisions = decide(read_reviews(reviews_path(built)), "clip")
    heard = utterances_of(built)
    refers = {name: still_refers(one, after[name], heard[name]) for name, one in decisions.items()}
    assert refers == {trimmed.id: False, rejected.id: False, other.id: True}


def test_clips_encoded_anew_from_the_same_video_keep_what_was_decided(
    built: Workspace, corpus: Corpus, read_numbers: Callable[[Path], list[int]]
) -> None:
    before = clips_of(built)
    trimmed, rejected, accepted, unknown = (row for row in before.values() if row.class_id == CUT)
    range_kept = (trimmed.start_frame + 5, trimmed.start_frame + 24)

    def source(clip: ClipRow) -> dict[str, str]:
        return {"source_sha256": sha256_of(corpus.videos[clip.video])}

    review(built, trimmed, "trim", trim=range_kept, **source(trimmed))
    review(built, rejected, "reject", minute=1, **source(rejected))
    review(built, accepted, "accept", minute=2, **source(accepted))
    review(built, unknown, "accept", minute=3)  # the file is all that is known of what was decided on
    larger = replace(OPTIONS, short_side=96)
    build_dataset(built, corpus, CLASSES, larger, jobs=2)

    after, decisions = clips_of(built), decide(read_reviews(reviews_path(built)), "clip")
    assert rejected.id not in after
    assert read_numbers(built.root / after[trimmed.id].path) == list(range(range_kept[0], range_kept[1] + 1))
    assert (after[trimmed.id].height, after[accepted.id].height) == (96, 96)
    assert {name: after[name].review for name in (trimmed.id, accepted.id, unknown.id)} == {
        trimmed.id: "trim",
        accepted.id: "accept",
        unknown.id: None,
    }
    assert after[accepted.id].sha256 != accepted.sha256 == after[accepted.id].decided_sha256
    refers = {name: still_refers(decisions[name], after[name], None) for name in decisions if name in after}
    assert refers == {trimmed.id: True, accepted.id: True, unknown.id: False}

    first = contents(built)
    build_dataset(built, corpus, CLASSES, larger, jobs=1)
    assert contents(built) == first


def test_a_decision_that_comes_back_after_its_clip_was_encoded_anew_counts(built: Workspace, corpus: Corpus) -> None:
    seen = clips_of(built)
    known, unknown = (row for row in seen.values() if row.class_id == CUT and row.person == "s07")
    build_dataset(built, corpus, CLASSES, replace(OPTIONS, short_side=96), jobs=2)
    review(built, known, "accept", source_sha256=sha256_of(corpus.videos[known.video]))
    review(built, unknown, "accept", minute=1)
    counted = {row.class_id: (row.accepted, row.to_do) for row in status(built).classes}
    assert counted[CUT] == (1, 3)
    build_dataset(built, corpus, CLASSES, replace(OPTIONS, short_side=96), jobs=2)
    assert {row.id for row in clips_of(built).values() if row.review == "accept"} == {known.id}


def test_speech_that_was_judged_bad_is_spoken_anew_and_heard_before_it_counts(built: Workspace, corpus: Corpus) -> None:
    before, spoken = clips_of(built), utterances_of(built)
    bad, good = (row for row in before.values() if row.class_id == CUT and row.person == "s07")
    review(built, bad, "accept", speech="reject")
    review(built, good, "accept", minute=1, speech="accept")
    build_dataset(built, corpus, CLASSES, OPTIONS, jobs=2)
    heard = utterances_of(built)
    assert heard[bad.id].voice != spoken[bad.id].voice
    assert heard[bad.id].text == spoken[bad.id].text
    assert (heard[bad.id].review, heard[good.id].review) == (None, "accept")
    assert {name: row.sha256 for name, row in heard.items() if name != bad.id} == {
        name: row.sha256 for name, row in spoken.items() if name != bad.id
    }
    reviews = read_reviews(reviews_path(built))
    assert set(standing(reviews, clips_of(built), heard)) == {good.id}  # the other one is to be shown again
    pairs = make_pairs(built, CLASSES, PairOptions(reviewed=True, test_share=0.5, split="pairs"))
    assert (pairs.clips, pairs.utterances) == (2, 1)

    first = contents(built)
    build_dataset(built, corpus, CLASSES, OPTIONS, jobs=1)
    assert contents(built) == first

    review(built, clips_of(built)[bad.id], "accept", minute=2)  # shown again: nothing is wrong with it
    build_dataset(built, corpus, CLASSES, OPTIONS, jobs=2)
    assert utterances_of(built)[bad.id] == msgspec.structs.replace(heard[bad.id], review="accept")
    assert set(standing(read_reviews(reviews_path(built)), clips_of(built), heard)) == {bad.id, good.id}


def test_one_decision_takes_no_other_clip_out_of_the_set(corpus: Corpus, tmp_path: Path) -> None:
    options = replace(OPTIONS, per_class=2, speech=True)
    place = Workspace(tmp_path / "set")
    build_dataset(place, corpus, CLASSES, options, jobs=2)
    kept: set[str] = set()
    for minute in range(2):
        before = clips_of(place)
        victim = next(row for row in before.values() if row.class_id == CUT and row.id not in kept)
        kept |= set(before) - {victim.id}
        review(place, victim, "reject", minute=minute)
        build_dataset(place, corpus, CLASSES, options, jobs=2)
        after = clips_of(place)
        assert set(before) - {victim.id} < set(after)
        assert len(after) == len(before)


def test_recordings_stay_and_count_while_they_say_what_was_agreed_on(
    built: Workspace, corpus: Corpus, tmp_path: Path
) -> None:
    worded, moved, *_ = (row for row in clips_of(built).values() if row.class_id == CUT)

    def record(clip: ClipRow, text: str, tone_hz: float) -> None:
        folder = tmp_path / f"voice-{tone_hz:.0f}"
        folder.mkdir()
        tone = 0.3 * np.sin(2 * np.pi * tone_hz * np.arange(16000) / 16000) * (np.arange(16000) % 4000 < 3000)
        soundfile.write(folder / f"{clip.id}.wav", tone, 16000)
        (folder / f"{clip.id}.txt").write_text(text)
        assert import_dataset(built, folder, CLASSES).added == 1

    record(worded, "Cut the carrot.", 300)
    record(moved, "Cut that carrot.", 310)
    assert {utterances_of(built)[clip.id].source for clip in (worded, moved)} == {"recorded"}
    review(built, worded, "accept", sentence=SENTENCE)
    review(built, moved, "accept", minute=1, corrected_class=STIR)
    originals = {path: path.read_bytes() for path in built.recordings.iterdir()}

    build_dataset(built, corpus, CLASSES, OPTIONS, jobs=2)
    heard = utterances_of(built)
    assert (heard[worded.id].source, heard[worded.id].text) == ("synthesized", SENTENCE)
    assert (heard[moved.id].source, heard[moved.id].class_id) == ("synthesized", STIR)
    record(worded, SENTENCE.lower(), 320)
    assert utterances_of(built)[worded.id].source == "recorded"
    build_dataset(built, corpus, CLASSES, OPTIONS, jobs=2)
    assert utterances_of(built)[worded.id].source == "recorded"
    for path, content in originals.items():
        assert path.read_bytes() == content or path.name == "recordings.jsonl"

    synthesize_dataset(built, CLASSES, SpeechOptions(seed=5))  # other voices and sentences, the agreed ones stay
    assert utterances_of(built)[worded.id].review == "accept"


def test_people_are_shown_the_interval_with_a_margin_whatever_the_trim(
    built: Workspace, corpus: Corpus, read_numbers: Callable[[Path], list[int]]
) -> None:
    rows = list(clips_of(built).values())
    clip = next(row for row in rows if row.start_frame >= 41 and row.end_frame + 29 <= 330)
    videos = shown_videos(built, rows, jobs=2)
    shown = videos.by_clip[clip.id]
    assert videos.without_margin == 0
    assert (shown.first_frame, shown.frames) == (clip.start_frame - 10, 10 + clip.frames + 29)
    for row in rows:
        assert videos.by_clip[row.id].first_frame == max(1, row.start_frame - 10)
    luma = brightness(built.root / shown.path)
    assert luma[9] < 0.7 * luma[10]
    assert luma[10 + clip.frames] < 0.7 * luma[10 + clip.frames - 1]
    content = (built.root / shown.path).read_bytes()

    kept = (clip.start_frame + 5, clip.start_frame + 25)
    review(built, clip, "trim", trim=kept)
    build_dataset(built, corpus, CLASSES, OPTIONS, jobs=2)
    assert read_numbers(built.root / clips_of(built)[clip.id].path) == list(range(kept[0], kept[1] + 1))
    again = shown_videos(built, list(clips_of(built).values()), jobs=2)
    assert again.by_clip[clip.id] == shown
    assert (built.root / shown.path).read_bytes() == content
    corpus.videos["s07-d20-cam-002"].unlink()  # the footage goes: what was cut is still shown
    corpus.videos["s08-d21-cam-002"].unlink()
    assert shown_videos(built, list(clips_of(built).values())).by_clip == again.by_clip
    (built.root / shown.path).unlink()
    alone = shown_videos(built, list(clips_of(built).values()))
    assert (alone.without_margin, alone.by_clip[clip.id].path) == (1, clip.path)


def brightness(path: Path) -> list[float]:
    """Mean luma of every frame."""
    import av

    with av.open(str(path)) as container:
        return [float(frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]


def test_nothing_reviewed_gives_no_pairs(built: Workspace) -> None:
    assert read_build(built)["reviewed"] == {}
    with pytest.raises(InputError, match="no reviewed and accepted clips"):
        make_pairs(built, CLASSES, PairOptions(reviewed=True))
