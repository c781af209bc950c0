"""Queries from files: a recording or a clip that a data set would reject is refused or told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from dataset_tools.classes.usable_intervals import MIN_FRAMES
from dataset_tools.core.errors import InputError, SampleError
from fmn.search import query_files
from fmn.search.query_files import LEAST_FRAMES, clip_doubts, finish_query
from fmn.search.query_preparation import check_query
from fmn.search.text_query import speak_query


def test_the_minimum_length_of_a_clip_is_that_of_data_sets() -> None:
    assert LEAST_FRAMES == MIN_FRAMES  # a copy, since fmn does not import the package of classes


def test_what_is_no_utterance_is_refused_or_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too short") as refused:
        speak_query("cut", tmp_path)
    assert "--by-words" in str(refused.value)
    with pytest.raises(InputError, match="too short"):
        speak_query("I", tmp_path)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    with pytest.raises(SampleError, match="silent"):
        finish_query(tmp_path / "silent.wav", tmp_path)
    sound, (doubt,) = finish_query(tmp_path / "silent.wav", tmp_path, refuse=False)
    assert sound == tmp_path / "silent.wav"
    assert "silent" in doubt
    wav, _ = speak_query("he cuts the carrot", tmp_path)
    assert finish_query(wav, tmp_path / "..")[1] == ()


@pytest.mark.parametrize(
    ("query", "kind", "top", "wrong"),
    [
        ("cut the carrot", "speach", 10, "kind of the query is 'speach'"),
        ("cut the carrot", "clip", 10, "is a text"),
        ("cut the carrot", "speech", -1, "number of results is -1"),
    ],
)
def test_a_query_that_cannot_be_asked_is_refused(query: str, kind: Any, top: int, wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        check_query(query, kind, top)


def test_a_clip_of_few_frames_is_doubted(
    tmp_path: Path, write_moving_bar: Callable[[Path, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "clip.mp4"
    write_moving_bar(clip, 90)
    assert clip_doubts(clip) == ("A data set would reject this query: 10 frames, of at least 15.",)
    monkeypatch.setattr(query_files, "LEAST_FRAMES", 10)
    assert clip_doubts(clip) == ()
    assert clip_doubts(tmp_path / "none.mp4") == ()
