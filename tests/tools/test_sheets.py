from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from sheets import interval_strip, write_sheets

from dataset_tools.corpora.mpii.mpii_corpus import open_corpus


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
