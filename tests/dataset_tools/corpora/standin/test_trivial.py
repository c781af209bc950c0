from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dataset_tools.core.seeds import generator
from dataset_tools.corpora.mpii.mpii_corpus import open_corpus
from dataset_tools.corpora.standin.sheets import interval_strip, write_sheets
from dataset_tools.corpora.standin.trivial import nearest_mean_accuracy, trivial_scores


def test_nearest_mean_finds_what_is_there_and_nothing_else() -> None:
    rng = generator(0, "test")
    labels = np.repeat(np.arange(10), 40)
    groups = [f"s{i % 8}" for i in range(400)]
    telling = rng.normal(size=(400, 2)) + 20 * np.stack([labels % 5, labels // 5], axis=1)
    assert nearest_mean_accuracy(telling, labels, groups) == 1.0
    assert nearest_mean_accuracy(rng.normal(size=(400, 2)), labels, groups) < 0.2


def test_a_group_is_never_on_both_sides() -> None:
    # Each group has a value and a class of its own: known only to those who have seen the group.
    labels = np.repeat(np.arange(10), 4)
    assert nearest_mean_accuracy(labels[:, None].astype(float), labels, [f"s{label}" for label in labels]) == 0.0


def test_scores_of_a_corpus_are_percentages(small_corpus: Path) -> None:
    scores = trivial_scores(small_corpus)
    assert scores.intervals == 20
    assert scores.chance == 5.0
    assert all(0 <= value <= 40 for value in (scores.length, scores.mean_colour, scores.size))


def test_a_sheet_shows_an_interval_from_its_first_to_its_last_frame(small_corpus: Path, tmp_path: Path) -> None:
    import av

    corpus = open_corpus(small_corpus)
    interval = corpus.annotations.intervals[1]
    strip = interval_strip(corpus.videos[interval.video], interval, count=3, scale=1.0)
    with av.open(str(corpus.videos[interval.video])) as file:
        frames = [frame.to_ndarray(format="bgr24") for frame in file.decode(video=0)]
    assert strip.shape == (240, 3 * 320, 3)
    np.testing.assert_array_equal(strip[:, :320], frames[interval.start_frame - 1])
    np.testing.assert_array_equal(strip[:, 640:], frames[interval.end_frame - 1])
    assert len(write_sheets(small_corpus, tmp_path, rows=1)) == 21  # one a class, and all in one
    assert cv2.imread(str(tmp_path / "wash_apple.jpg")).shape == (120, 8 * 160, 3)
