from __future__ import annotations

from collections.abc import Iterator

import perfect_eyes
import pytest
import torch
from perfect_eyes import MOMENTS, eyes_scores

from dataset_tools.corpora.standin.difficulty import STANDARD


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


def test_motion_tells_the_class_where_one_frame_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perfect_eyes, "TRAINING_SEEDS", (1, 2))
    scores = eyes_scores(STANDARD, per_class=10, epochs=10)
    assert scores.intervals == 20 * 10
    assert scores.motion > scores.one_frame + 15
    assert scores.one_frame > 10  # chance is 5


def test_one_frame_is_shown_as_often_as_there_are_moments() -> None:
    samples = perfect_eyes._samples(0, STANDARD, 1)
    assert samples.motion.shape == samples.one_frame.shape
    assert samples.motion.shape[1] == MOMENTS
    assert (samples.one_frame == samples.one_frame[:, :1]).all()
    assert (samples.motion != samples.motion[:, :1]).any(axis=(1, 2)).all()
