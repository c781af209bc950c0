"""Conversion of a Label Studio annotation to rows of reviews.jsonl: one for the clip, one for the utterance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from dataset_tools.core.path_parts import in_words
from dataset_tools.decisions.journal import MOST_CHARACTERS, LabelStudioIds, ReviewRow, Shown, utc
from dataset_tools.label_studio.labeled_tasks import Annotation, ControlValues, LabeledTask, TaskData
from dataset_tools.label_studio.labeling_config import NO_OBJECT, OTHER


def rows_of(task: Mapping[str, Any], *, server: str | None, names: Mapping[int, str]) -> Iterator[ReviewRow]:
    """Yields the rows of all annotations of a task.

    An unusable annotation yields a row with its ``problem``, so that the others are still read.

    Args:
        task: as Label Studio lists and exports it, with ``data`` and ``annotations``.
        server: address of the server, or None for an export file.
        names: e-mail addresses of the annotators, by id.

    Raises:
        ValueError: the task or an annotation lacks a field, or has one of the wrong type; the message locates it.
    """
    try:
        read = msgspec.convert(task, LabeledTask)
    except msgspec.ValidationError as error:
        raise ValueError(in_words(error)) from error
    for annotation in read.annotations or []:
        yield from _rows_of_annotation(read, annotation, server, names)


def _rows_of_annotation(
    task: LabeledTask, annotation: Annotation, server: str | None, names: Mapping[int, str]
) -> Iterator[ReviewRow]:
    data = task.data
    sentence = data.sentence or ""
    project = annotation.project or task.project
    if project is None:
        raise ValueError(f"Object missing required field `project` - at annotation {annotation.id}")
    common: dict[str, Any] = {
        "annotator": _annotator(annotation.completed_by, names),
        "time": utc(annotation.updated_at),
        "lead_time_s": annotation.lead_time,
        "shown": Shown(
            class_id=data.class_id,
            sentence=sentence[:MOST_CHARACTERS],
            first_frame=data.first_frame,
            frames=data.frames,
            interval=data.interval,
            source_sha256=data.source_sha256,
        ),
        "label_studio": LabelStudioIds(
            server=server,
            project=project,
            task=task.id,
            annotation=annotation.id,
            created=utc(annotation.created_at),
            review_round=data.review_round or 1,
        ),
    }
    skipped = bool(annotation.was_cancelled)
    values = ControlValues(annotation.result or [])
    clip: dict[str, Any] = {"verdict": None}
    speech: dict[str, Any] = {"verdict": None}
    try:
        clip = {"verdict": "skip"} if skipped else _clip_fields(values, data)
        speech = {
            "verdict": "skip" if skipped else values.verdict("speech_verdict"),
            "rating": values.rating("speech_rating"),
        }
    except msgspec.ValidationError as error:
        clip |= {"verdict": None, "problem": f"the annotation cannot be read: {error}"[:MOST_CHARACTERS]}
    if len(sentence) > MOST_CHARACTERS and not skipped:
        clip["problem"] = _too_long("sentence that was shown", sentence)
    yield ReviewRow(id=data.clip_id, item="clip", content_sha256=data.clip_sha256, **clip, **common)
    if data.utterance_id and data.utterance_sha256:
        speech |= {"id": data.utterance_id, "content_sha256": data.utterance_sha256}
        yield ReviewRow(item="utterance", **speech, **common)


def _clip_fields(values: ControlValues, data: TaskData) -> dict[str, Any]:
    """Returns the decision on the clip as fields of a `ReviewRow`, including its ``problem`` and ``changed``."""
    verdict = values.verdict("verdict")
    typed = values.number("trim_start"), values.number("trim_end")
    trim, changed, problem = _trim(values.ranges("trim"), typed if verdict == "trim" else (None, None), data)
    if verdict == "accept" and trim is not None:
        verdict = "trim"  # drawing a range to keep implies a trim
    elif verdict == "accept" and typed != (None, None):  # the page hides the fields, but sends what was typed before
        changed = "a range to keep was typed before the verdict was changed to accept: the whole clip is kept"
    corrected_class, incomplete = _corrected_class(values, data.class_id)
    if verdict is None:
        problem = "no verdict was given"
    elif verdict == "reject":
        trim = problem = changed = None
    elif verdict == "trim" and problem is None and trim is None:
        problem = "the verdict is trim, but no range to keep was given"
    else:
        problem = problem or incomplete
    texts: dict[str, str | None] = {
        "sentence": _changed(values.text("sentence"), data.sentence or ""),
        "note": values.text("note"),
        "corrected_class": corrected_class,
    }
    reasons = values.choices("reason")
    for name, text in {**texts, "reasons": ", ".join(reasons)}.items():
        if text is not None and len(text) > MOST_CHARACTERS:
            problem = _too_long(name.replace("_", " "), text)
            texts, reasons = {**texts, name: None} if name in texts else texts, () if name == "reasons" else reasons
    return {"verdict": verdict, "trim": trim, "reasons": reasons, "problem": problem, "changed": changed, **texts}


def _too_long(what: str, text: str) -> str:
    return f"the {what} has {len(text):,} characters; at most {MOST_CHARACTERS} are accepted"


def _trim(
    drawn: list[tuple[int, int]], typed: tuple[int | None, int | None], data: TaskData
) -> tuple[tuple[int, int] | None, str | None, str | None]:
    """Returns the range to keep, drawn or typed, in source frames; how it was changed; and what is wrong with it."""
    first, last = 1, data.frames
    if data.interval is not None and data.source_frames is None:
        # The footage around the clip is only context and is never kept: it may belong to a neighboring clip.
        first, last = (min(max(frame - data.first_frame + 1, 1), data.frames) for frame in data.interval)
    ranges = list(drawn)
    if typed != (None, None):
        ranges.append((first if typed[0] is None else typed[0], last if typed[1] is None else typed[1]))
    if not ranges:
        return None, None, None
    if len(set(ranges)) > 1:
        given = ", ".join(f"frames {start} to {end}" for start, end in ranges)
        return None, None, f"several ranges to keep were given: {given}"[:MOST_CHARACTERS]
    start, end = ranges[0]
    kept = max(start, first), min(end, last)
    if kept[0] > kept[1]:
        where = "is empty" if start > end else f"is outside the clip, which spans frames {first} to {last} of the video"
        return None, None, f"the range to keep, frames {start} to {end}, {where}"
    # The page rounds: one frame beyond an end of the video means that end.
    intended = 1 if start == 0 else start, data.frames if end == data.frames + 1 else end
    changed = None
    if kept != intended:
        changed = f"the range to keep, frames {start} to {end}, was limited to the clip: {kept[0]} to {kept[1]}"
    if data.source_frames is not None:  # a clip of variable frame rate, shown without context
        return (data.source_frames[kept[0] - 1], data.source_frames[kept[1] - 1]), changed, None
    return (data.first_frame + kept[0] - 1, data.first_frame + kept[1] - 1), changed, None


def _corrected_class(values: ControlValues, shown: str) -> tuple[str | None, str | None]:
    """Returns the id of the chosen class if it is not the one that was shown, and a problem if it is incomplete."""
    words = {name: values.leaf(name) for name in ("action", "subject", "object")}
    lacking = [name for name, word in words.items() if word is None]
    if len(lacking) == len(words):
        return None, None
    if lacking:
        chosen = ", ".join(f"{name} {word}" for name, word in words.items() if word is not None)
        return None, f"the class is incomplete: {chosen}, but no {' and no '.join(lacking)}"[:MOST_CHARACTERS]
    if OTHER in words.values():
        return OTHER, None
    chosen = "_".join(word for word in words.values() if word and word != NO_OBJECT)
    return None if chosen == shown else chosen, None


def _changed(text: str | None, shown: str) -> str | None:
    return None if text is None or text == shown.strip() else text


def _annotator(who: int | Mapping[str, Any] | None, names: Mapping[int, str]) -> str:
    if isinstance(who, Mapping):
        name = str(who.get("email") or f"user {who.get('id')}")
    else:
        name = names.get(who, f"user {who}") if isinstance(who, int) else "user unknown"
    if len(name) > MOST_CHARACTERS:
        raise ValueError(f"an annotator's name has {len(name):,} characters; at most {MOST_CHARACTERS} are accepted")
    return name
