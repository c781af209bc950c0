from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.corpora.sentence_files import SentenceSpans, read_sentences
from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.speech.sentences.clip_sentences import assign_texts, note_on_repeated, notes_on_sentences
from dataset_tools.speech.sentences.generation import every_sentence

CARROT = "cut_carrot_knife"


def test_no_sentence_twice_in_a_class(classes: ClassFile, make_clip: Callable[..., ClipRow]) -> None:
    clips = [
        make_clip(one.id, 7, dish, 100 * n + 1) for dish, one in enumerate(classes.classes[:3], 1) for n in range(50)
    ]
    texts = assign_texts(clips, classes, language="en", seed=0)
    assert len({text.text for text in texts.values()}) == 150
    assert {text.source for text in texts.values()} == {"grammar"}


def test_a_class_with_more_clips_than_sentences_says_some_twice(
    classes: ClassFile, make_clip: Callable[..., ClipRow]
) -> None:
    one = next(one for one in classes.classes if one.id == "stir_onion_spatula")
    there = len(every_sentence(one, classes, language="zh"))
    clips = [make_clip(one.id, 7, 1, 100 * n + 1) for n in range(there + 10)]
    texts = assign_texts(clips, classes, language="zh", seed=0)
    assert len({text.text for text in texts.values()}) == there


def test_another_clip_changes_few_of_the_others(classes: ClassFile, make_clip: Callable[..., ClipRow]) -> None:
    clips = [make_clip(CARROT, 7, 1, 100 * n + 1) for n in range(1, 51)]
    before = assign_texts(clips, classes, language="en", seed=0)
    after = assign_texts([make_clip(CARROT, 7, 1, 1), *reversed(clips)], classes, language="en", seed=0)
    assert sum(before[clip.id] != after[clip.id] for clip in clips) <= 5


def test_a_persons_sentence_comes_first_once(classes: ClassFile, make_clip: Callable[..., ClipRow]) -> None:
    first, second, elsewhere = (make_clip(CARROT, 7, dish, start) for dish, start in ((1, 101), (1, 121), (2, 101)))
    spans = SentenceSpans(
        {
            "s07-d01": [
                (90, 400, "He chops CARROTS finely."),
                (90, 400, "He goes on."),
                (160, 400, "A carrot is cut."),
            ],
        },
        invalid=0,
    )
    texts = assign_texts([first, second, elsewhere], classes, language="en", seed=0, sentences=spans)
    # Frames 101-150 and 121-170: only the first two spans have them, and only one of those names the carrot.
    assert texts[first.id] == ("He chops CARROTS finely.", "tacos")
    assert texts[second.id].source == "grammar"
    assert texts[elsewhere.id].source == "grammar"


def test_a_persons_english_sentence_is_not_spoken_in_chinese(
    classes: ClassFile, make_clip: Callable[..., ClipRow]
) -> None:
    spans = SentenceSpans({"s07-d01": [(1, 400, "He chops the carrot.")]}, invalid=0)
    clip = make_clip(CARROT, 7, 1, 101)
    texts = assign_texts([clip], classes, language="zh", seed=0, sentences=spans)
    assert texts[clip.id].source == "grammar"


def listed(sentences: list[str]) -> SentenceSpans:
    """Sentences of a list: each of one interval of fifty frames of a video."""
    spans = [(100 * n + 1, 100 * n + 50, text) for n, text in enumerate(sentences) if text]
    return SentenceSpans({"s07-d01": spans}, invalid=0, listed=frozenset({"s07-d01"}))


def test_in_a_language_without_grammar_only_peoples_sentences_are_used(
    classes: ClassFile, make_clip: Callable[..., ClipRow]
) -> None:
    clips = [make_clip(CARROT, 7, 1, 100 * n + 1) for n in range(4)]
    spans = listed(["Er schält die Möhre.", "Er schält die Möhre.", "", "他在切胡萝卜。"])
    texts = assign_texts(clips, classes, language="de", seed=0, sentences=spans)
    assert texts == {clip.id: ("Er schält die Möhre.", "annotations") for clip in clips[:2]}
    assert assign_texts(clips, classes, language="de", seed=0) == {}
    tacos = SentenceSpans({"s07-d01": [(1, 400, "He chops the carrot.")]}, invalid=0)  # which is English
    assert assign_texts(clips, classes, language="de", seed=0, sentences=tacos) == {}
    said = assign_texts(clips, classes, language="de", seed=0, agreed={clips[2].id: ("Möhre schneiden", True)})
    assert said == {clips[2].id: ("Möhre schneiden", "review")}


def test_a_sentence_in_another_script_is_not_spoken_in_english(
    classes: ClassFile, make_clip: Callable[..., ClipRow]
) -> None:
    clips = [make_clip(CARROT, 7, 1, 100 * n + 1) for n in range(3)]
    spans = listed(["Он режет морковь.", "Add 5 µl of δ-carotene.", "Коли?"])
    texts = assign_texts(clips, classes, language="en", seed=0, sentences=spans)
    assert [texts[clip.id].source for clip in clips] == ["grammar", "annotations", "grammar"]
    (note,) = notes_on_sentences(spans, {}, "en")
    assert note.startswith("2 intervals have sentences, but none in 'en' (such as 'Он режет морковь.'): state")
    (note,) = notes_on_sentences(spans, {}, "ru")
    assert note.startswith("1 interval has sentences, but none in 'ru' (such as 'Add 5 µl of δ-carotene.'): state")
    both = SentenceSpans({"a": [(1, 9, "他切。"), (1, 9, "He cuts.")]}, invalid=0, listed=frozenset({"a"}))
    assert notes_on_sentences(both, {}, "en") == notes_on_sentences(both, {}, "zh") == ()
    (note,) = notes_on_sentences(SentenceSpans({}, invalid=2), {}, "en")
    assert note.startswith("2 sentences are not used: the start is negative, or the end not after it")


def test_clips_whose_sentence_is_replaced_by_a_generated_one_are_counted(
    classes: ClassFile, make_clip: Callable[..., ClipRow], make_utterance: Callable[..., UtteranceRow]
) -> None:
    def spoken(language: str) -> list[UtteranceRow]:
        texts = assign_texts(clips, classes, language=language, seed=0, sentences=spans)
        rows = {clip_id: make_utterance(CARROT, clip_id, "anna") for clip_id in texts}
        return [replace(rows[clip_id], text=text, text_source=source) for clip_id, (text, source) in texts.items()]

    clips = [make_clip(CARROT, 7, 1, 100 * n + 1) for n in range(5)]
    spans = listed(["He peels it.", "He peels it.", "", "Now he cuts.", "He peels it."])
    assert [row.text_source for row in spoken("en")].count("annotations") == 2
    (note,) = note_on_repeated(clips, spoken("en"), spans, "en")
    assert note.startswith("2 clips have sentences that another clip of the class has too (such as 'He peels it.'): a")
    assert note_on_repeated(clips, spoken("de"), spans, "de") == ()  # none is generated
    assert note_on_repeated(clips[:1], spoken("en"), spans, "en") == ()


@pytest.mark.real_data
def test_real_sentences(classes: ClassFile, make_clip: Callable[..., ClipRow], real_data: Path) -> None:
    spans = read_sentences(real_data / "tacos")
    sequence, start, text = next(
        (sequence, start, text)
        for sequence, rows in spans.spans.items()
        for start, end, text in rows
        if "carrot" in text and end - start >= 60
    )
    clip = make_clip(CARROT, int(sequence[1:3]), int(sequence[5:7]), start + 1)
    assigned = assign_texts([clip], classes, language="en", seed=0, sentences=spans)[clip.id]
    assert assigned.source == "tacos"
    assert "carrot" in assigned.text.lower()
    assert text in [said for *_, said in spans.covering(sequence, clip.start_frame, clip.end_frame)]


def test_an_agreed_sentence_is_called_by_its_source(classes: ClassFile, make_clip: Callable[..., ClipRow]) -> None:
    """One is of the grammar, one was read by a speaker whose recording is gone; the annotators changed neither."""
    clips = [make_clip(CARROT, 7, dish, 101) for dish in (1, 2)]
    one = next(one for one in classes.classes if one.id == CARROT)
    generated = every_sentence(one, classes, seed=3)[-1]
    agreed = {clips[0].id: (generated, False), clips[1].id: ("Here goes Anna's carrot.", False)}
    texts = assign_texts(clips, classes, language="en", seed=0, agreed=agreed)
    assert texts == {clips[0].id: (generated, "grammar"), clips[1].id: ("Here goes Anna's carrot.", "review")}
