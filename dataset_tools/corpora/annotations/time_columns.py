"""Columns of times in a CSV of intervals: in frames or seconds, or none, if the rows are whole videos."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from dataset_tools.corpora.annotations.plain_text import plain_text

FRAMES, SECONDS = ("start_frame", "end_frame"), ("start_s", "end_s")
_KNOWN = (*FRAMES, *SECONDS)
_NAMES = "start_frame and end_frame, or start_s and end_s (seconds)"
_WORDS = frozenset(
    {"start", "begin", "begins", "beginning", "onset", "from", "von", "anfang", "beginn", "début", "debut", "inicio"}
    | {"end", "ends", "ending", "stop", "finish", "offset", "to", "until", "bis", "ende", "fin", "timecode"}
    | {"inizio", "开始", "结束"}
)
"""Words of the names of columns that hold the start or the end of an interval."""
_PREPOSITIONS = frozenset({"from", "to", "until", "von", "bis"})
"""Those of them that do not name a time at the end of a name: ``goes_to``."""
_UNITS = frozenset(
    {"s", "sec", "secs", "seconds", "sekunden", "secondes", "ms", "min", "frame", "frames", "fr", "bild", "image"}
    | {"time", "times", "timestamp", "timecode", "zeit", "temps", "tempo", "tiempo", "pos", "position"}
)
_OTHER = frozenset(
    {"actor", "camera", "cam", "device", "folder", "group", "kitchen", "location", "participant", "person", "room"}
    | {"recipe", "scene", "session", "site", "source", "speaker", "subject", "take", "trial", "user", "view"}
    | {"age", "alter", "âge", "birth", "day", "gender", "month", "year", "years", "jahr", "jahre", "année", "edad"}
    | {"angle", "cm", "distance", "gewicht", "größe", "height", "kg", "light", "lux", "mm", "size", "volume", "weight"}
    | {"width", "temperature", "humidity", "poids", "taille", "bytes", "fps", "hz", "rate", "latitude", "longitude"}
    | {"confidence", "difficulty", "fold", "grade", "level", "percent", "price", "quality", "rank", "rating", "score"}
    | {"likes", "version", "views", "votes", "weather", "conf", "prob", "probability", "iou", "lat", "lon", "bbox"}
    | {"class", "entropy", "precision", "recall", "row", "unnamed"}
)
"""Words of what is not a time: places, people, measures, ratings."""
_ENDS = frozenset({"in", "out", "first", "last"})
"""Words of the two ends of an interval, as in ``source_in`` and ``source_out`` of an edit decision list."""
_COUNTERS = frozenset(
    {"count", "id", "idx", "index", "n", "no", "nr", "num", "number", "anzahl", "nummer", "numéro", "nombre"}
)
"""Words of identifiers and counts, but ``start_index`` may be a frame."""
_MISSING = frozenset({"-", "–", "—", "?", ".", "na", "n/a", "n.a.", "nan", "nil", "none", "null", "unknown"})
"""Values that stand for none."""
_JOINED = re.compile(r"(start|stop|end|begin)(s|ms|sec|seconds|time|zeit|frame|pos|position)")
_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"\d+([.,]\d+)?(e-?\d+)?\s*(s|sec|secs|seconds|ms|min|f|fr|frames)?")
_BARE = re.compile(r"\d+([.,]\d+)?")  # without a unit of time
_BEGINS_AS_TIME = re.compile(r"\W*(f|fr|frames?|t)?\W*\d")
"""What begins with a number, unlike ``line 5``."""
_CLOCK = r"(\d+\s*[:hm]\s*)?\d{1,2}\s*(:\s*\d{2}|m\s*\d{1,2})([.,:;]\d+)?\s*s?"
_CLOCKS = re.compile(rf"{_CLOCK}(\s*(-|–|—|to|bis|,|/)\s*{_CLOCK})?")
_RANGES = re.compile(r"\d+(\.\d+\s*s?|\s*s)\s*(-|–|—|to|bis)\s*\d+(\.\d+)?\s*s?")
"""Seconds with decimals or a unit: 20-30 may be ages."""


def times_of(columns: Sequence[str]) -> tuple[str, str] | None:
    """Returns the two columns of times of a table; None if it has none.

    Raises:
        ValueError: one of the two is missing, or the columns do not specify one unit.
    """
    of_times = [name for name in _KNOWN if name in columns]
    if not of_times:
        return None
    times = FRAMES if of_times[0] in FRAMES else SECONDS
    if set(of_times) <= {*times}:
        missing = [name for name in times if name not in of_times]
        if missing:
            raise ValueError(f"the column {missing[0]!r} is missing: there is only {of_times[0]!r}")
        return times
    raise ValueError(f"the times must be {_NAMES}, not both; there are {', '.join(of_times)}")


def check_whole_videos(unknown: Sequence[str], rows: Sequence[Mapping[str, str | None]]) -> None:
    """Checks that no column of a table without times holds times: its rows would silently become whole videos.

    A table whose ``start_s`` and ``end_s`` are empty says that whole videos are meant, and is not checked.

    Args:
        unknown: the columns of unknown names.
        rows: the fields of each row, by column.

    Raises:
        ValueError: a column may hold times: by its name or its values, or as it is filled and videos occur repeatedly.
    """
    written = {name: [text for row in rows if (text := (row[name] or "").strip().lower())] for name in unknown}
    values = {name: [text for text in texts if text not in _MISSING] for name, texts in written.items()}
    clocks = [
        name
        for name in unknown
        if values[name] and all(_CLOCKS.fullmatch(one) or _RANGES.fullmatch(one) for one in values[name])
    ]
    numbers = [
        name
        for name in unknown
        if values[name]
        and all(map(_NUMBER.fullmatch, values[name]))
        and not (_is_of_others(name) and all(map(_BARE.fullmatch, values[name])))
    ]
    numeric = [name for name in unknown if any(map(_DIGIT.search, values[name]))]
    named = [
        name
        for name in unknown
        if (_names_times(name, may_be={*clocks, *numbers}) and (name in numeric or not values[name]))
        or (_names_an_end(name) and any(map(_BEGINS_AS_TIME.match, values[name])))
    ]
    videos = [plain_text(row.get("video") or "") for row in rows]
    filled = [name for name in numeric if len(written[name]) == len(rows) and not _is_of_others(name)]
    if named:
        found, why = named, "by name" if len(named) > 1 else "by its name"
    elif clocks:
        found, why = clocks, f"such as {values[clocks[0]][0][:40]!r}"
    elif len(numbers) > 1:
        found, why = numbers, f"such as {values[numbers[0]][0][:40]!r} and {values[numbers[1]][0][:40]!r}"
    elif filled and len(set(videos)) < len(videos):
        found, why = numbers or filled, "as videos occur in several rows"
    else:
        return
    raise ValueError(
        f"{_listed(found)} may hold times, {why}, but {'are' if len(found) > 1 else 'is'} unknown: name the columns "
        f"{_NAMES}; if whole videos are meant, remove {'these' if len(found) > 1 else 'it'}, or add empty columns "
        "start_s and end_s"
    )


def _names_times(name: str, may_be: Collection[str]) -> bool:
    """Whether a column is named like times: ``from``, ``start (s)``; ``from_tray`` only if its values may be times."""
    first, *others = _words(name)
    return first in _WORDS and (_UNITS.issuperset(others) or (name in may_be and not _is_of_others(name)))


def _names_an_end(name: str) -> bool:
    """Whether a column is named like an end of an interval: ``clip_start``, ``action_end_s``; but ``bus_stop``, too."""
    *_, last = [word for word in _words(name) if word not in _UNITS] or [""]
    return last in _WORDS - _PREPOSITIONS


def _is_of_others(name: str) -> bool:
    """Whether a column's name says that it holds no times: ``age``, ``take_no``, ``from_camera``; not ``start_no``."""
    first, *others = _words(name)
    if (_WORDS | _UNITS).intersection(others) or _ENDS.intersection([first, *others]):
        return False
    if first in _COUNTERS and name[-1:].isdigit():  # index1 and index2 may be an interval
        return False
    return bool(_OTHER.intersection([first, *others])) or (
        first not in _WORDS | _UNITS and bool(_COUNTERS.intersection([first, *others]))
    )


def _words(name: str) -> list[str]:
    """Returns the words of a column's name, also of ``startTime``; at least one. Names are in lower case."""
    words = re.findall(r"[^\W\d_]+", name) or [""]
    joined = _JOINED.fullmatch(words[0])
    return [joined[1], *words[1:]] if joined else words


def _listed(names: Sequence[str]) -> str:
    return f"the column{'s' if len(names) > 1 else ''} {', '.join(map(repr, names))}"
