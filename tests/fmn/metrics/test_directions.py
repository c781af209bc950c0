from __future__ import annotations

import numpy as np

from fmn.metrics.directions import DIRECTIONS, by_direction, queries_and_gallery


def test_each_direction_has_its_queries_in_the_rows() -> None:
    scores, relevant = np.arange(6.0).reshape(2, 3), np.eye(2, 3, dtype=bool)  # of two clips and three utterances
    found = dict(by_direction(scores, relevant))
    assert tuple(found) == DIRECTIONS == ("audio_to_video", "video_to_audio")  # the order of metrics.json
    assert found["video_to_audio"][0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["audio_to_video"][0].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert [matrices[1].shape for matrices in found.values()] == [(3, 2), (2, 3)]


def test_speech_asks_for_clips_and_clips_ask_for_speech() -> None:
    assert queries_and_gallery("audio_to_video", "clips", "utterances") == ("utterances", "clips")
    assert queries_and_gallery("video_to_audio", "clips", "utterances") == ("clips", "utterances")
