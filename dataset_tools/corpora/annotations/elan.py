"""Reader of ELAN files (``.eaf``): annotations of one tier are intervals; those of other tiers may be their sentences.

No library is used: pympi-ling 1.71 reads tiers, in 1,800 lines, but raises arbitrary exceptions on invalid content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from dataset_tools.core.count_of import first_of
from dataset_tools.corpora.annotations.interval_list import SHOWN_PROBLEMS, IntervalList, IntervalRows, refusal
from dataset_tools.corpora.annotations.tiers import is_sentence, label_tier
from dataset_tools.corpora.annotations.video_addresses import is_video, video_of_address
from dataset_tools.corpora.annotations.xml_content import attribute, read_xml

_EXPECTED = "an ELAN file (.eaf) with a MEDIA_DESCRIPTOR of a video, and a tier of labels"
_LONGEST_CHAIN = 20


@dataclass(frozen=True)
class _Annotation:
    """An annotation as stored in the file: with its own time slots, or a reference to another annotation."""

    tier: str
    text: str
    slots: tuple[str, str] | None
    refers_to: str


def read_elan(path: Path, *, tier: str | None = None) -> IntervalList:
    """Reads the annotations of a tier, in seconds of the first video that the file describes.

    An annotation that refers to another one inherits its times. Texts of several words in other tiers, with exactly the
    times of a label, are its sentences.

    Raises:
        InputError: the file cannot be read, describes no video, or has several tiers and ``tier`` names none of them;
            or an annotation of the tier has no times.
    """
    document = read_xml(path, _EXPECTED, "ANNOTATION_DOCUMENT")
    rows = IntervalRows(path, _EXPECTED)
    try:
        video, offset_ms = _video(document, rows)
        times = {
            attribute(slot, "TIME_SLOT_ID"): _number(slot.attrib["TIME_VALUE"])
            for slot in document.iter("TIME_SLOT")
            if "TIME_VALUE" in slot.attrib
        }
        annotations = _annotations(document)
    except ValueError as error:
        raise refusal(path, f"cannot be used: {error}", _EXPECTED, "save it again with ELAN") from error
    name = label_tier(path, Counter(annotation.tier for annotation in annotations.values()), tier)
    sentences: dict[tuple[float, float], list[str]] = {}
    for annotation in annotations.values():
        if annotation.tier != name and is_sentence(annotation.text) and (span := _span(annotation, annotations, times)):
            sentences.setdefault(span, []).append(annotation.text)
    for key, annotation in annotations.items():
        place = f"annotation {key[:40]!r} of tier {name[:60]!r}"
        if annotation.tier == name:
            with rows.at(place):
                span = _span(annotation, annotations, times)
                if span is None:
                    raise ValueError("it lacks the time of its start or its end: align both in ELAN")
                start_s, end_s = ((time + offset_ms) / 1000 for time in span)
                words = rows.words_of(annotation.text)
                rows.add(place, video, start_s, end_s, words, sentences=sentences.get(span, []))
    return rows.finished(in_seconds=True)


def _video(document: Element, rows: IntervalRows) -> tuple[str, float]:
    """Returns the first described video, and the offset of its start from that of the timeline, in milliseconds."""
    header = document.find("HEADER")
    units = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
    if units != "milliseconds":
        raise ValueError(f"its times are {units[:40]}, not milliseconds")
    described = []
    for media in document.iter("MEDIA_DESCRIPTOR"):
        address = media.get("RELATIVE_MEDIA_URL") or attribute(media, "MEDIA_URL")
        if media.get("MIME_TYPE", "").startswith("video/") or is_video(address):
            described.append((video_of_address(address), _number(media.get("TIME_ORIGIN") or "0")))
    if not described:
        raise ValueError("it describes no video (MEDIA_DESCRIPTOR)")
    if len(described) > 1:
        names = ", ".join(first_of([repr(name[:60]) for name, _ in described], SHOWN_PROBLEMS))
        rows.notes.append(f"The file describes {len(described)} videos, of which the first is used: {names}.")
    return described[0]


def _annotations(document: Element) -> dict[str, _Annotation]:
    """Returns the annotations of all tiers by id."""
    found: dict[str, _Annotation] = {}
    for tier in document.iter("TIER"):
        name = attribute(tier, "TIER_ID")
        for element in (inner for annotation in tier.iter("ANNOTATION") for inner in annotation):
            key, text = (
                attribute(element, "ANNOTATION_ID"),
                " ".join((element.findtext("ANNOTATION_VALUE") or "").split()),
            )
            if key in found:
                raise ValueError(f"the annotation {key[:40]!r} occurs twice")
            if element.tag == "REF_ANNOTATION":
                found[key] = _Annotation(name, text, None, attribute(element, "ANNOTATION_REF"))
            else:
                slots = attribute(element, "TIME_SLOT_REF1"), attribute(element, "TIME_SLOT_REF2")
                found[key] = _Annotation(name, text, slots, "")
    return found


def _span(
    annotation: _Annotation, annotations: Mapping[str, _Annotation], times: Mapping[str, float]
) -> tuple[float, float] | None:
    """Returns start and end in milliseconds; None if a time slot has no value, or a reference cannot be resolved."""
    for _ in range(_LONGEST_CHAIN):
        if annotation.slots is not None:
            start, end = (times.get(slot) for slot in annotation.slots)
            return None if start is None or end is None else (start, end)
        if annotation.refers_to not in annotations:
            return None
        annotation = annotations[annotation.refers_to]
    return None


def _number(text: str) -> float:
    try:
        return int(text) if len(text) < 12 else float("nan")
    except ValueError as error:
        raise ValueError(f"{text[:40]!r} is not a time in milliseconds") from error
