"""What a run takes clips for: votes of the best utterances, its own description left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.manifests import PredictionRow, SplitPairRow, read_rows, write_rows
from fmn.cli.main import app
from fmn.data import loading
from fmn.data.items import load_items
from fmn.evaluation.predict import _own_utterances, class_shares, predict
from fmn.features.media import FeatureSet, Media


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


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("one_thread")
def test_a_clip_that_no_other_utterance_can_be_compared_with_is_left_out(workspace: Path, run: Path) -> None:
    run = run.rename(run.with_name("a run (2)"))
    rows = list(read_rows(workspace / "manifests" / "train.jsonl", SplitPairRow))
    described = next(row for row in rows if row.utterance.clip == row.clip.id)
    alone = workspace / "manifests" / "alone.jsonl"  # a class of two clips, of which one is for testing
    write_rows(alone, [described])
    other = next(row.clip for row in rows if row.label == described.label and row.clip.id > described.clip.id)
    clips = workspace / "manifests" / "clips.jsonl"
    write_rows(clips, [described.clip, other])
    result = CliRunner().invoke(app, ["predict", str(run), "--manifest", str(alone)])
    assert result.exit_code == 1, result.output
    assert "1 clip, 1 of them classified correctly" in result.output
    assert "1 file has no prediction, left out:" in result.output
    assert f"{described.clip.id}: The training manifest has no utterances other than its own" in result.output
    assert f"next: fmn-data annotate push --from-run '{run}'" in result.output
    (guess,) = read_rows(run / "predictions.jsonl", PredictionRow)
    assert (guess.id, guess.class_id, guess.confidence) == (other.id, described.label.id, 1)

    write_rows(clips, [described.clip])
    with pytest.raises(InputError, match="the clips have no utterances other than their own"):
        predict(run, alone)
    assert [row.id for row in read_rows(run / "predictions.jsonl", PredictionRow)] == [other.id]  # as it was


@pytest.mark.usefixtures("one_thread")
def test_utterances_without_features_are_named(workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = load_items(workspace / "manifests" / "train.jsonl")
    write_rows(workspace / "manifests" / "clips.jsonl", items.clips)
    lost, usual = items.utterances[2], loading.extract_audio

    def some(media: list[Media], *arguments: Any, **options: Any) -> FeatureSet:
        found = usual(media, *arguments, **options)
        values = {sha256: value for sha256, value in found.values.items() if sha256 != lost.sha256}
        return replace(found, values=values, failures={lost.sha256: SampleError("It is silent")})

    monkeypatch.setattr(loading, "extract_audio", some)
    result = CliRunner().invoke(app, ["predict", str(run)])
    assert result.exit_code == 1, result.output
    assert "20 clips, " in result.output
    assert f"1 file has no features, left out:\n  {lost.id}: It is silent" in result.output
    assert "no prediction" not in result.output
