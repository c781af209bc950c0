"""Reader of CVAT for video 1.1 (XML): every visible range of a track is an interval of the track's label."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from dataset_tools.corpora.annotations.interval_list import MOST_FRAMES, IntervalList, IntervalRows, refusal
from dataset_tools.corpora.annotations.video_addresses import video_of_address
from dataset_tools.corpora.annotations.xml_content import attribute, read_xml

_EXPECTED = "an export of a task as CVAT for video 1.1 (XML), with tracks"


def read_cvat(path: Path, *, frame_base: int = 0) -> IntervalList:
    """Reads tracks; an interval goes from the first frame that is not ``outside`` to the last one before it is.

    Args:
        path: the XML file.
        frame_base: number of the first frame; CVAT counts from 0.

    Raises:
        InputError: the file cannot be read, is of several tasks or of images, names no video, or has an invalid track.
    """
    document = read_xml(path, _EXPECTED, "annotations")
    tracks = document.findall("track")
    if not tracks:
        what = "images" if document.find("image") is not None else "no tracks"
        raise refusal(path, f"has {what}", _EXPECTED, "export the task as CVAT for video 1.1")
    rows = IntervalRows(path, _EXPECTED)
    video = _video(document, path)
    for number, track in enumerate(tracks):
        place = f"track {track.get('id', str(number))[:20]!r}"
        with rows.at(place):
            words = rows.words_of(attribute(track, "label"))
            for first, last in _visible_ranges(track):
                start, end = (frame + 1 - frame_base for frame in (first, last))
                if start < 1:
                    raise ValueError(f"frame {first} is before the first frame: frames count from {frame_base}")
                rows.add(f"{place}, frame {first}", video, start, end, words)
    rows.notes.append(f"The annotations are from CVAT: frames count from {frame_base}.")
    return rows.finished(in_seconds=False)


def _visible_ranges(track: Element) -> Iterator[tuple[int, int]]:
    """Yields the first and last frame of each range in which the track is visible.

    CVAT lists every frame; other programs may list key frames only. So a range ends where the next one is outside.
    """
    shapes = sorted((_frame(shape), attribute(shape, "outside") == "1") for shape in track if "frame" in shape.attrib)
    if len({frame for frame, _ in shapes}) < len(shapes):
        raise ValueError("it has the same frame twice")
    visible: list[int] = []
    for frame, is_outside in shapes:
        if not is_outside:
            visible.append(frame)
        elif visible:
            yield visible[0], frame - 1
            visible = []
    if visible:
        yield visible[0], visible[-1]


def _frame(shape: Element) -> int:
    text = attribute(shape, "frame")
    if not (text.isdecimal() and text.isascii() and len(text) < 10 and int(text) < MOST_FRAMES):
        raise ValueError(f"`frame`: {text[:40]!r} is not a frame number")
    return int(text)


def _video(document: Element, path: Path) -> str:
    """Returns the video of ``<source>`` or, as job exports have none, of the file name if it is not ``annotations``."""
    sources = {(source.text or "").strip() for source in document.iterfind("meta//source")} - {""}
    if len(sources) > 1 or len(document.findall("meta//task")) > 1:
        raise refusal(path, "is of several tasks", _EXPECTED, "export each task separately")
    try:
        if not sources and path.stem == "annotations":
            raise ValueError("it does not name its video (<source>)")
        return video_of_address(next(iter(sources), path.stem))
    except ValueError as error:
        next_step = "export the whole task, or name the file after the video: kitchen.xml for kitchen.mp4"
        raise refusal(path, f"cannot be used: {error}", _EXPECTED, next_step) from error
