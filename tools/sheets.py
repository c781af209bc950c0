"""Contact sheets of a corpus: sample frames of every class, for visual inspection.

    python tools/sheets.py DIR OUT        one image per class, one interval per row; and one of all classes

Question for the viewer: is the class recognizable from the sheet, and from a single frame of it?
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from dataset_tools.classes.matching import classify
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.files import written_whole
from dataset_tools.corpora.corpus import Interval
from dataset_tools.corpora.mpii.mpii_corpus import open_corpus
from dataset_tools.corpora.standin.painter import Image


def interval_strip(path: Path, interval: Interval, count: int = 8, scale: float = 0.5) -> Image:
    """``count`` frames of an interval, evenly spread, side by side: BGR uint8 [height, count · width, 3]."""
    import av

    wanted = np.linspace(interval.start_frame - 1, interval.end_frame - 1, count).round().astype(int).tolist()
    pictures = {}
    with av.open(str(path)) as file:
        for number, frame in enumerate(file.decode(video=0)):
            if number in wanted:
                picture = frame.to_ndarray(format="bgr24")
                pictures[number] = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            if number >= wanted[-1]:
                break
    return np.hstack([pictures[number] for number in wanted])


def write_sheets(root: Path, folder: Path, *, rows: int = 5) -> list[Path]:
    """Writes one sheet per class, of up to ``rows`` intervals by different persons.

    Raises:
        InputError: ``root`` does not contain a corpus.
    """
    corpus, classes = open_corpus(root), load_classes()
    found: dict[str, list[Interval]] = {one.id: [] for one in classes.classes}
    for interval in corpus.annotations.intervals:
        class_id = classify(interval, classes).class_id
        if class_id is not None and interval.person not in {known.person for known in found[class_id]}:
            found[class_id].append(interval)
    written, first = [], []
    for class_id, intervals in found.items():
        if intervals:
            sheet = np.vstack([interval_strip(corpus.videos[one.video], one) for one in intervals[:rows]])
            written.append(_written(folder / f"{class_id}.jpg", sheet))
            first.append(_titled(class_id, sheet[: len(sheet) // len(intervals[:rows])]))
    written.append(_written(folder / "classes.jpg", np.vstack(first)))
    return written


def _titled(title: str, strip: Image) -> Image:
    """Adds the class as a title above a strip."""
    band = np.full((22, strip.shape[1], 3), 255, np.uint8)
    cv2.putText(band, title, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
    return np.vstack([band, strip])


def _written(path: Path, picture: Image) -> Path:
    with written_whole(path) as partial:
        cv2.imwrite(str(partial), picture, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return path


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for sheet in write_sheets(Path(sys.argv[1]), Path(sys.argv[2])):
        print(sheet)
