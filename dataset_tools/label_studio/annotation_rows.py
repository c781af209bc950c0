"""From a Label Studio annotation to rows of reviews.jsonl: one for the clip, one for the utterance shown with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dataset_tools.decisions.journal import VERDICTS, LabelStudioIds, ReviewRow, Shown, Verdict, utc
from dataset_tools.label_studio.labeling_config import NO_OBJECT, OTHER
from dataset_tools.label_studio.media_urls import ShownVideo


def is_ours(task: Mapping[str, Any]) -> bool:
    """Whether a task was made by a push; people may put tasks of their own into a project."""
    data = task.get("data") or {}
    return all(data.get(name) is not None for name in ("clip_id", "clip_sha256", "class", "first_frame", "frames"))


def rows_of(task: Mapping[str, Any], *, server: str | None, names: Mapping[int, str]) -> Iterator[ReviewRow]:
    """The rows of all annotations of a task.

    Args:
        task: as Label Studio lists and exports it, with ``data`` and ``annotations``.
        server: its address, or None for an export file.
        names: e-mail addresses of the annotators, by id.
    """
    for annotation in task.get("annotations") or []:
        yield from _rows_of_annotation(task, annotation, server, names)


def _rows_of_annotation(
    task: Mapping[str, Any], annotation: Mapping[str, Any], server: str | None, names: Mapping[int, str]
) -> Iterator[ReviewRow]:
    data = task["data"]
    said = _Said(annotation.get("result") or [])
    skipped = bool(annotation.get("was_cancelled"))
    sentence = str(data.get("sentence") or "")
    common: dict[str, Any] = {
        "annotator": _annotator(annotation.get("completed_by"), names),
        "time": utc(annotation["updated_at"]),
        "lead_time_s": annotation.get("lead_time"),
        "shown": Shown(
            class_id=data["class"],
            sentence=sentence,
            first_frame=data["first_frame"],
            frames=data["frames"],
            interval=tuple(data["interval"]) if data.get("interval") else None,
            source_sha256=data.get("source_sha256"),
        ),
        "label_studio": LabelStudioIds(
            server=server,
            project=annotation.get("project") or task["project"],
            task=task["id"],
            annotation=annotation["id"],
            created=utc(annotation["created_at"]),
            look=data.get("look") or 1,
        ),
    }
    verdict = "skip" if skipped else said.verdict("verdict")
    trim, problem = _trim(said, data)
    if verdict == "accept" and trim is not None:
        verdict = "trim"  # who draws a range to keep wants it kept
    if verdict is None:
        problem = "no verdict was given"
    elif verdict == "trim" and problem is None and trim is None:
        problem = "the verdict is trim, but no range to keep was given"
    elif verdict in ("reject", "skip"):
        trim = problem = None
    yield ReviewRow(
        id=data["clip_id"],
        item="clip",
        content_sha256=data["clip_sha256"],
        verdict=verdict,
        reasons=said.choices("reason"),
        trim=trim,
        corrected_class=_corrected_class(said, data["class"]),
        sentence=_changed(said.text("sentence"), sentence),
        note=said.text("note"),
        problem=problem,
        **common,
    )
    if data.get("utterance_id") and data.get("utterance_sha256"):
        yield ReviewRow(
            id=data["utterance_id"],
            item="utterance",
            content_sha256=data["utterance_sha256"],
            verdict="skip" if skipped else said.verdict("speech_verdict"),
            rating=said.rating("speech_rating"),
            **common,
        )


class _Said:
    """The results of an annotation, by the name of the control."""

    def __init__(self, results: list[Mapping[str, Any]]) -> None:
        self._results = results

    def values(self, control: str) -> list[Mapping[str, Any]]:
        return [result.get("value") or {} for result in self._results if result.get("from_name") == control]

    def choices(self, control: str) -> tuple[str, ...]:
        return tuple(str(choice) for value in self.values(control) for choice in value.get("choices") or [])

    def verdict(self, control: str) -> Verdict | None:
        return next((verdict for verdict in VERDICTS if verdict in self.choices(control)), None)

    def leaf(self, control: str) -> str | None:
        """The chosen word of a taxonomy: the last part of its path."""
        paths = [path for value in self.values(control) for path in value.get("taxonomy") or []]
        return str(paths[0][-1]) if paths and paths[0] else None

    def text(self, control: str) -> str | None:
        lines: list[str] = []
        for value in self.values(control):
            text = value.get("text") or []
            lines += [text] if isinstance(text, str) else text
        return "\n".join(line.strip() for line in lines).strip() or None

    def rating(self, control: str) -> int | None:
        return next((int(value["rating"]) for value in self.values(control) if value.get("rating")), None)

    def number(self, control: str) -> int | None:
        return next((round(value["number"]) for value in self.values(control) if value.get("number") is not None), None)

    def ranges(self, control: str) -> list[tuple[int, int]]:
        """Ranges on the timeline, in frames from 1, both ends included."""
        return [
            (round(span["start"]), round(span["end"]))
            for value in self.values(control)
            for span in value.get("ranges") or []
        ]


def _trim(said: _Said, data: Mapping[str, Any]) -> tuple[tuple[int, int] | None, str | None]:
    """The range to keep, drawn or typed, in source frames, and what is wrong with it."""
    ranges = said.ranges("trim")
    start, end = said.number("trim_start"), said.number("trim_end")
    if start is not None or end is not None:
        ranges.append((1 if start is None else start, data["frames"] if end is None else end))
    if not ranges:
        return None, None
    if len(set(ranges)) > 1:
        return None, "several ranges to keep were given: " + ", ".join(f"frames {a} to {b}" for a, b in ranges)
    video = ShownVideo(path="", first_frame=data["first_frame"], frames=data["frames"], fps=data.get("fps") or 0.0)
    trim = video.source_frames(*ranges[0])
    if trim is not None and data.get("interval"):
        # What is around the clip is there to be seen, not to be kept: it may belong to a neighbor.
        start, end = max(trim[0], data["interval"][0]), min(trim[1], data["interval"][1])
        if start > end:
            return None, f"the range to keep, {ranges[0]}, lies outside the clip, in what is around it"
        trim = (start, end)
    return trim, None if trim else f"the range to keep, {ranges[0]}, lies outside the video or is empty"


def _corrected_class(said: _Said, shown: str) -> str | None:
    """The id of the class that was chosen, when it is not the one that was shown."""
    action, subject, thing = (said.leaf(name) for name in ("action", "subject", "object"))
    if action is None or subject is None:
        return None
    if OTHER in (action, subject, thing):
        return OTHER
    chosen = "_".join(part for part in (action, subject, thing) if part and part != NO_OBJECT)
    return None if chosen == shown else chosen


def _changed(text: str | None, shown: str) -> str | None:
    return None if text is None or text == shown.strip() else text


def _annotator(who: object, names: Mapping[int, str]) -> str:
    if isinstance(who, Mapping):
        return str(who.get("email") or f"user {who.get('id')}")
    return names.get(who, f"user {who}") if isinstance(who, int) else "user unknown"
