"""Sentence of each clip: a written one if there is one, else from the grammar."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from dataset_tools.classes.triplets import ActionClass, ClassFile
from dataset_tools.clips.interval_selection import BOUNDARY_FRAMES
from dataset_tools.core.seeds import seed_of
from dataset_tools.corpora.mpii.tacos import SentenceSpans
from dataset_tools.manifests import ClipRow
from dataset_tools.speech.grammar import load_grammar
from dataset_tools.speech.sentences import check_words, every_sentence

_POOL = 200


class Text(NamedTuple):
    """A sentence, and where it comes from: ``review``, ``annotations``, ``tacos`` or ``grammar``."""

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
    """A sentence for every clip, no sentence twice in a class while there are others.

    What a person wrote for a clip, or agreed to when it was shown with it, goes before everything else, if it is in
    the language.

    A sentence of a person counts if it is in the language and stands in a list of intervals beside just this one
    (``annotations``); or if it is English, its span covers the clip and it names the class's subject ("He goes on" does
    not tell what to retrieve; ``tacos``). Each clip's first choice depends on its id and the seed alone, so that
    another clip in the class changes few of the others'.

    Args:
        clips: all clips of the data set, in any order.
        classes: the class file that they are from.
        language: ``en`` or ``zh``.
        seed: another seed, other choices.
        sentences: that people wrote, if there are any.
        agreed: sentences from a review, by clip id, and whether a person wrote them.

    Returns:
        The sentence by clip id.

    Raises:
        InputError: the language has no grammar, or the class file none of its words.
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
        every = every_sentence(action_class, classes, language=language, seed=seed)
        pool = every[: max(_POOL, 2 * len(members))]
        fixed = {clip.id: agreed[clip.id] for clip in members if clip.id in agreed}
        fixed = {clip_id: said for clip_id, said in fixed.items() if _language(said[0]) == language}
        for clip_id, (sentence, is_written) in fixed.items():
            shown_as = human.get(clip_id, {}).get(sentence, "grammar")
            assigned[clip_id] = Text(sentence, "review" if is_written else shown_as)
        used = {sentence for sentence, _ in fixed.values()}
        for clip in members:
            if clip.id in fixed:
                continue
            written = human.get(clip.id, {})
            text = _unused(list(written), used, seed, clip)
            source = "grammar" if text is None else written[text]
            if text is None:
                start = seed_of(seed, "text", clip.id) % len(pool)
                text = _unused(pool, used, seed, clip) or pool[start]
            used.add(text)
            assigned[clip.id] = Text(text, source)
    return assigned


def _language(text: str) -> str:
    """``zh`` of a sentence with Chinese characters in it, else ``en``."""
    return "zh" if re.search("[\u3400-\u9fff]", text) else "en"


def _unused(choices: Sequence[str], used: set[str], seed: int, clip: ClipRow) -> str | None:
    """The first choice that is not used, beginning at a place that the clip's id decides."""
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
    """The sentences of people that fit each clip, with their source, by clip id."""
    if sentences is None:
        return {}
    word = classes.things[action_class.subject]
    names = {word.name, word.plural or word.name, *load_grammar().english.names.get(action_class.subject, ())}
    subject = re.compile(r"\b(" + "|".join(re.escape(name) for name in sorted(names)) + r")\b", re.IGNORECASE)
    fitting: dict[str, dict[str, str]] = {}
    for clip in clips:
        start_frame, end_frame = clip.trim or (clip.start_frame, clip.end_frame)
        covering = sentences.covering(clip.video, start_frame, end_frame)
        if sentences.is_list(clip.video):
            # A clip may have lost the frame that it shared with the clip before it.
            first = clip.start_frame - BOUNDARY_FRAMES
            own = {text for start, end, text in covering if first <= start and end == clip.end_frame}
            fitting[clip.id] = dict.fromkeys(sorted(text for text in own if _language(text) == language), "annotations")
        elif language == "en":
            fitting[clip.id] = dict.fromkeys(sorted({text for *_, text in covering if subject.search(text)}), "tacos")
    return fitting
