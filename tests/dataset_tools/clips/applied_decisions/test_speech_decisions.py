"""Decisions on speech: what was judged bad is spoken anew, recordings stay while they say what was agreed on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import soundfile

from dataset_tools.build.dataset_synthesis import synthesize_dataset
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.verdicts import final_decisions
from dataset_tools.manifests import ClipRow
from dataset_tools.pairs.pair_assignment import PairOptions
from dataset_tools.pairs.pairing import make_pairs
from dataset_tools.speech.dataset_speech import import_dataset
from dataset_tools.speech.synthesis import SpeechOptions

CLASSES = load_classes()
CUT, STIR = "cut_carrot_knife", "stir_onion_spatula"
SENTENCE = "She halves the carrot with a big knife."


def test_speech_that_was_judged_bad_is_spoken_anew_and_heard_before_it_counts(
    built: Any, corpus: Corpus, contents: Callable[[Workspace], dict[str, bytes]]
) -> None:
    before, spoken = built.clip_rows(), built.utterance_rows()
    bad, good = (row for row in before.values() if row.class_id == CUT and row.person == "s07")
    built.review(bad, "accept", speech="reject")
    built.review(good, "accept", minute=1, speech="accept")
    built.build(corpus)
    heard = built.utterance_rows()
    assert heard[bad.id].voice != spoken[bad.id].voice
    assert heard[bad.id].text == spoken[bad.id].text
    assert (heard[bad.id].review, heard[good.id].review) == (None, "accept")
    assert {name: row.sha256 for name, row in heard.items() if name != bad.id} == {
        name: row.sha256 for name, row in spoken.items() if name != bad.id
    }
    reviews = read_reviews(reviews_path(built))
    assert set(final_decisions(reviews, built.clip_rows(), heard)) == {good.id}  # the other one is to be shown again
    pairs = make_pairs(built, CLASSES, PairOptions(reviewed=True, test_share=0.5, split="pairs"))
    assert (pairs.clips, pairs.utterances) == (2, 1)

    first = contents(built)
    built.build(corpus, jobs=1)
    assert contents(built) == first

    built.review(built.clip_rows()[bad.id], "accept", minute=2)  # shown again: nothing is wrong with it
    built.build(corpus)
    assert built.utterance_rows()[bad.id] == msgspec.structs.replace(heard[bad.id], review="accept")
    assert set(final_decisions(read_reviews(reviews_path(built)), built.clip_rows(), heard)) == {bad.id, good.id}


def test_recordings_stay_and_count_while_they_say_what_was_agreed_on(
    built: Any, corpus: Corpus, tmp_path: Path
) -> None:
    worded, moved, *_ = (row for row in built.clip_rows().values() if row.class_id == CUT)

    def record(clip: ClipRow, text: str, tone_hz: float) -> None:
        folder = tmp_path / f"voice-{tone_hz:.0f}"
        folder.mkdir()
        tone = 0.3 * np.sin(2 * np.pi * tone_hz * np.arange(16000) / 16000) * (np.arange(16000) % 4000 < 3000)
        soundfile.write(folder / f"{clip.id}.wav", tone, 16000)
        (folder / f"{clip.id}.txt").write_text(text)
        assert import_dataset(built, folder, CLASSES).added == 1

    record(worded, "Cut the carrot.", 300)
    record(moved, "Cut that carrot.", 310)
    assert {built.utterance_rows()[clip.id].source for clip in (worded, moved)} == {"recorded"}
    built.review(worded, "accept", sentence=SENTENCE)
    built.review(moved, "accept", minute=1, corrected_class=STIR)
    originals = {path: path.read_bytes() for path in built.recordings.iterdir()}

    built.build(corpus)
    heard = built.utterance_rows()
    assert (heard[worded.id].source, heard[worded.id].text) == ("synthesized", SENTENCE)
    assert (heard[moved.id].source, heard[moved.id].class_id) == ("synthesized", STIR)
    record(worded, SENTENCE.lower(), 320)
    assert built.utterance_rows()[worded.id].source == "recorded"
    built.build(corpus)
    assert built.utterance_rows()[worded.id].source == "recorded"
    for path, content in originals.items():
        assert path.read_bytes() == content or path.name == "recordings.jsonl"

    synthesize_dataset(built, CLASSES, SpeechOptions(seed=5))  # other voices and sentences, the agreed ones stay
    assert built.utterance_rows()[worded.id].review == "accept"
