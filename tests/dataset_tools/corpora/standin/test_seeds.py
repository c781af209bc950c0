"""A seed stands for the same corpus in every version: the figures in docs/results.md rest on it.

A new generator needs another VERSION in `standin_corpus`, new figures, and new values here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.corpora.standin import render
from dataset_tools.corpora.standin.agenda import plan_agendas
from dataset_tools.corpora.standin.cast import sequences
from dataset_tools.corpora.standin.difficulty import STANDARD
from dataset_tools.corpora.standin.director import timed
from dataset_tools.corpora.standin.render import VideoTask, draw_video

INTERVALS_SHA256 = "a8915b7aa1b0756e1c3a1419036946b84e280e6c5d5819256e82a63af144a90f"
LUMINANCE = {
    0: [
        [159, 164, 164, 157, 166, 159, 130, 110],
        [141, 148, 156, 122, 140, 149, 115, 54],
        [146, 135, 131, 147, 154, 159, 133, 67],
        [148, 153, 144, 153, 135, 55, 109, 136],
        [150, 160, 149, 128, 119, 108, 144, 141],
        [138, 141, 132, 140, 155, 114, 136, 131],
    ],
    300: [
        [157, 162, 162, 164, 163, 158, 128, 109],
        [139, 146, 154, 158, 156, 119, 112, 55],
        [144, 151, 131, 145, 153, 151, 132, 69],
        [146, 133, 125, 151, 136, 57, 106, 135],
        [145, 113, 147, 128, 143, 121, 141, 140],
        [133, 107, 129, 138, 125, 107, 134, 130],
    ],
}


def test_the_intervals_of_a_seed(classes: ClassFile) -> None:
    agendas = plan_agendas(classes, STANDARD, sequences(0, 4), seed=0, per_class=2)
    lines = [
        f"{agenda.sequence.video} {one.start} {one.end} {one.item.verb} {' '.join(sorted(one.item.things))}"
        for agenda in agendas
        for one in timed(agenda)[1]
    ]
    assert len(lines) == 48
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == INTERVALS_SHA256


def test_the_pictures_of_a_seed(classes: ClassFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Means of 6 × 8 areas; the tolerance is for other versions of OpenCV."""
    found: dict[int, list[list[int]]] = {}

    def look(path: Path, pictures: Iterable[np.ndarray]) -> int:
        for frame, picture in enumerate(pictures):
            if frame in LUMINANCE:
                found[frame] = cv2.resize(picture[:240], (8, 6), interpolation=cv2.INTER_AREA).tolist()
            if frame == max(LUMINANCE):
                break
        return 0

    monkeypatch.setattr(render, "write_avi", look)
    agenda = plan_agendas(classes, STANDARD, sequences(0, 4), seed=0, per_class=2)[0]
    draw_video(VideoTask(Path("unused.avi"), agenda, STANDARD, seed=0))
    for frame, expected in LUMINANCE.items():
        np.testing.assert_allclose(found[frame], expected, atol=2)
