"""Sentence of each clip: a human-written one if available, else one from the grammar."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from dataset_tools.classes.triplets import ActionClass, ClassFile
from dataset_tools.clips.interval_selection import BOUNDARY_FRAMES
from dataset_tools.core.count_of import count_of
from dataset_tools.core.languages import may_be_in
from dataset_tools.core.seeds import seed_of
from dataset_tools.corpora.sentence_files import SentenceSpans, Span
from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.speech.sentences.generation import LANGUAGES, check_words, every_sentence
from dataset_tools.speech.sentences.grammar import load_grammar

_POOL = 200


class Text(NamedTuple):
    """A sentence and its source: ``annotations``, ``tacos``, ``grammar``, or ``review`` for others of a review."""

    text: str
    source: str


def assign_texts(
    clips: Sequence[ClipRow],
    classes: ClassFile,
    *,
    language: str,
    seed: int,
    sentences: SentenceSpans | None = None,
    agreed: Mapping[str, tuple[str, bool]] = MappingProxyType({}),
) -> dict[str, Text]:
    """Assigns a sentence to every clip; no sentence is used twice in a class while others are left.

    A sentence that an annotator wrote for a clip in a review, or agreed with, has priority if it is in the language.

    Next come human-written sentences: those in the language that an interval list has for exactly this interval
    (``annotations``), or English ones whose span covers the clip and that name the subject of the class ("He goes on"
    does not describe what to retrieve; ``tacos``). The first choice of each clip depends only on its id and the seed,
    so that adding a clip to the class changes few sentences of the others.

    Args:
        clips: all clips of the data set, in any order.
        classes: their class file.
        language: its code; sentences are generated in English and Chinese only.
        seed: random seed of the choices.
        sentences: human-written sentences, if there are any.
        agreed: sentences from a review, by clip id, and whether an annotator wrote them.

    Returns:
        The sentence by clip id, without clips for which there is none: in a language without grammar, those without a
        human-written sentence.

    Raises:
        InputError: the class file lacks words in the language.
    """
    check_words(classes, language)
    by_class: dict[str, list[ClipRow]] = {}
    for clip in sorted(clips, key=lambda clip: clip.id):
        by_class.setdefault(clip.class_id, []).append(clip)
    assigned: dict[str, Text] = {}
    for action_class in classes.classes:
        members = by_class.get(action_class.id, [])
        if not members:
            continue
        human = _human(action_class, members, classes, sentences, language)
        every = every_sentence(action_class, classes, language=language, seed=seed) if language in LANGUAGES else []
        generated = set(every)
        pool = every[: max(_POOL, 2 * len(members))]
        fixed = {clip.id: agreed[clip.id] for clip in members if clip.id in agreed}
        fixed = {clip_id: agreement for clip_id, agreement in fixed.items() if may_be_in(agreement[0], language)}
        for clip_id, (sentence, is_written) in fixed.items():
            # Others were recorded, in the sentence files of an earlier build, or in its class file's words.
            shown_as = human.get(clip_id, {}).get(sentence, "grammar" if sentence in generated else "review")
            assigned[clip_id] = Text(sentence, "review" if is_written else shown_as)
        used = {sentence for sentence, _ in fixed.values()}
        for clip in members:
            if clip.id in fixed:
                continue
            written = human.get(clip.id, {})
            choices = ((list(written), used), (pool, used), (pool, ()), (list(written), ()))
            texts = (_unused(sentences, others, seed, clip) for sentences, others in choices)
            text = next((text for text in texts if text is not None), None)
            if text is not None:
                used.add(text)
                assigned[clip.id] = Text(text, written.get(text, "grammar"))
    return assigned


def may_describe_a_clip(sentences: SentenceSpans, agreed: Mapping[str, tuple[str, bool]], language: str) -> bool:
    """Whether a sentence of a list or a review is in the language, for clips that are not cut yet."""
    listed = (text for video in sentences.listed for *_, text in sentences.spans[video])
    return any(may_be_in(text, language) for text in (*listed, *(text for text, _ in agreed.values())))


def notes_on_sentences(
    sentences: SentenceSpans, agreed: Mapping[str, tuple[str, bool]], language: str
) -> tuple[str, ...]:
    """Returns warnings of spans with invalid times, and of sentences of a list or a review in another language."""
    notes = []
    if sentences.invalid:
        number = count_of(sentences.invalid, "sentence is", "sentences are")
        found = f"{number} not used: the start is negative, or the end not after it, or after the last frame"
        notes.append(f"{found}; correct the frames in the sentence files if these sentences are needed")
    others: dict[tuple[str, int, int], list[str]] = {}
    for video in sorted(sentences.listed):
        for start, end, text in sentences.spans[video]:
            others.setdefault((video, start, end), []).append(text)
    unused = [texts[0] for texts in others.values() if not any(may_be_in(text, language) for text in texts)]
    if unused:
        number = count_of(len(unused), "interval has sentences", "intervals have sentences")
        found = f"{number}, but none in {language!r} (such as {unused[0]!r})"
        notes.append(f"{found}: state their language with --language")
    unused = [text for _, (text, is_written) in sorted(agreed.items()) if is_written and not may_be_in(text, language)]
    if unused:
        number = count_of(len(unused), "sentence that an annotator wrote is", "sentences that annotators wrote are")
        notes.append(f"{number} not in {language!r} (such as {unused[0]!r}), and not used: see --language")
    return tuple(notes)


def note_on_repeated(
    clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], sentences: SentenceSpans, language: str
) -> tuple[str, ...]:
    """Returns a warning if clips have sentences in an interval list, but generated ones are spoken for them."""
    spoken = {(row.class_id, row.text) for row in utterances}
    generated = {row.clip for row in utterances if row.text_source == "grammar"}
    repeated: list[str] = []
    for clip in clips:
        if clip.id in generated and sentences.is_list(clip.video):
            own = _of_interval(clip, sentences, language)
            repeated += own[:1] if all((clip.class_id, text) in spoken for text in own) else []
    if not repeated:
        return ()
    number = count_of(len(repeated), "clip has a sentence", "clips have sentences")
    return (
        f"{number} that another clip of the class has too (such as {repeated[0]!r}): a generated sentence is spoken"
        " instead, so that no sentence is used twice in a class; word them differently, or record their speech",
    )


def _unused(choices: Sequence[str], used: Collection[str], seed: int, clip: ClipRow) -> str | None:
    """Returns the first unused choice, starting at a position derived from the id of the clip."""
    if not choices:
        return None
    start = seed_of(seed, "text", clip.id) % len(choices)
    return next((text for text in [*choices[start:], *choices[:start]] if text not in used), None)


def _human(
    action_class: ActionClass,
    clips: Sequence[ClipRow],
    classes: ClassFile,
    sentences: SentenceSpans | None,
    language: str,
) -> dict[str, dict[str, str]]:
    """Human-written sentences that fit each clip, with their source, by clip id."""
    if sentences is None:
        return {}
    word = classes.things[action_class.subject]
    names = {word.name, word.plural or word.name, *load_grammar().english.names.get(action_class.subject, ())}
    subject = re.compile(r"\b(" + "|".join(re.escape(name) for name in sorted(names)) + r")\b", re.IGNORECASE)
    fitting: dict[str, dict[str, str]] = {}
    for clip in clips:
        if sentences.is_list(clip.video):
            fitting[clip.id] = dict.fromkeys(_of_interval(clip, sentences, language), "annotations")
        elif language == "en":  # as TACoS is
            covering = _covering(clip, sentences)
            fitting[clip.id] = dict.fromkeys(sorted({text for *_, text in covering if subject.search(text)}), "tacos")
    return fitting


def _of_interval(clip: ClipRow, sentences: SentenceSpans, language: str) -> list[str]:
    """Sentences in the language that an interval list has for the interval of a clip, sorted."""
    first = clip.start_frame - BOUNDARY_FRAMES  # the frame that a clip shared with the previous clip may be removed
    covering = _covering(clip, sentences)
    own = {text for start, end, text in covering if first <= start and end == clip.end_frame}
    return sorted(text for text in own if may_be_in(text, language))


def _covering(clip: ClipRow, sentences: SentenceSpans) -> list[Span]:
    return sentences.covering(clip.video, *(clip.trim or (clip.start_frame, clip.end_frame)))
