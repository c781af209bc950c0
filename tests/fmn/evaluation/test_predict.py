"""What a run takes clips for: votes of the best utterances, its own description left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fmn.data.items import load_items
from fmn.evaluation.predict import _own_utterances, class_shares


def test_shares_are_votes_of_the_best_utterances_weighed_by_class_size() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.1, 0.2], [0.1, 0.2, -np.inf, 0.9, 0.3]], dtype=np.float32)
    classes = np.array([0, 0, 1, 1, 2])
    shares = class_shares(scores, classes, 3, neighbors=3)
    # first clip: two of class 0 (of 2), one of class 1 (of 2); second: 3 → class 1, 4 → class 2, 1 → class 0
    assert shares[0] == pytest.approx([2 / 3, 1 / 3, 0])
    assert shares[1] == pytest.approx([0.25, 0.25, 0.5])
    # what must not count does not, even where fewer are left than are asked for
    everything = class_shares(scores, classes, 3, neighbors=5)
    assert everything[1] == pytest.approx(np.array([1, 0.5, 1]) / 2.5)


def test_the_utterances_that_describe_a_clip_are_its_own(workspace: Path) -> None:
    items = load_items(workspace / "manifests" / "test.jsonl")
    clips, utterances = items.clips[:0:-1], items.utterances  # in another order; the first one has no features
    own = np.zeros((len(clips), len(utterances)), dtype=bool)
    own[_own_utterances(clips, utterances)] = True
    assert own.tolist() == [[utterance.clip == clip.id for utterance in utterances] for clip in clips]
    assert own.sum() == len(clips)
    assert not any(map(len, _own_utterances(items.clips[:1], items.utterances[:0])))
