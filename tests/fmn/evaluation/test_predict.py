"""What a run takes clips for: votes of the best utterances, its own description left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.manifests import PredictionRow, SplitPairRow, read_rows, write_rows
from fmn.cli.main import app
from fmn.data import loading
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.evaluation.class_vote import class_vote
from fmn.evaluation.evaluate import all_scores
from fmn.evaluation.predict import _own_utterances, plan_prediction, predict
from fmn.features.media import FeatureSet, Media
from fmn.training.checkpoint import load_run


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
    assert f"{described.clip.id}: The training manifest has no other utterance of its class" in result.output
    assert f"next: fmn-data annotate push --workspace {workspace} --from-run '{run}'" in result.output
    (guess,) = read_rows(run / "predictions.jsonl", PredictionRow)
    assert (guess.id, guess.class_id, guess.confidence) == (other.id, described.label.id, 1)
    assert guess.uncertainty == 0.5  # of a single vote

    write_rows(clips, [described.clip])
    with pytest.raises(InputError, match="the classes of the clips have no utterances other than their own"):
        predict(run, alone)
    assert [row.id for row in read_rows(run / "predictions.jsonl", PredictionRow)] == [other.id]  # as it was


@pytest.mark.usefixtures("made_features", "one_thread")
def test_clips_of_small_classes_are_classified_as_by_their_nearest_utterance(workspace: Path, run: Path) -> None:
    """Each class has fewer utterances than may vote, and one fewer for its own clips."""
    manifest = workspace / "manifests" / "train.jsonl"
    items = load_items(manifest)
    write_rows(manifest.with_name("clips.jsonl"), items.clips)
    loaded = load_run(run, torch.device("cpu"))
    scores = all_scores(loaded, load_features(items, loaded.config, device=torch.device("cpu")))
    scores[items.partner_matrix] = -np.inf
    nearest = items.utterance_classes[scores.argmax(axis=1)] == items.clip_classes
    found = predict(run, manifest)
    assert found.agreeing >= nearest.sum() > len(items.clips) / 2
    fitted = {row.clip.id for row in read_rows(manifest, SplitPairRow) if row.fold != 0}
    guesses = {row.id: row.class_id for row in read_rows(found.path, PredictionRow)}
    assert 0 < len(fitted) < len(guesses)
    agreeing = [row.id for row in items.clips if row.id in fitted and guesses[row.id] == row.class_id]
    assert (found.fitted, found.fitted_agreeing) == (len(fitted), len(agreeing))
    said = CliRunner().invoke(app, ["predict", str(run)]).output
    other = f"{found.agreeing - len(agreeing)} of the {len(guesses) - len(fitted)} other clips"
    assert f"  {len(agreeing)} of the {len(fitted)} that the run has learned from, and {other}\n" in said


@pytest.mark.usefixtures("made_features", "one_thread")
def test_the_closer_the_second_class_and_the_fewer_the_votes_the_less_certain(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    items = load_items(manifest)
    write_rows(manifest.with_name("clips.jsonl"), items.clips)
    scores = np.random.default_rng(0).normal(size=items.relevant.shape).astype(np.float32)
    monkeypatch.setattr("fmn.evaluation.predict.score_matrix", lambda *_: torch.tensor(scores))
    predicted = {row.id: row for row in read_rows(predict(run, manifest).path, PredictionRow)}
    vote = class_vote(np.where(items.partner_matrix, -np.inf, scores), items.utterance_classes, len(items.classes))
    for clip, shares, votes in zip(items.clips, vote.shares, vote.neighbors, strict=True):
        second, first = sorted(shares)[-2:]
        assert predicted[clip.id].confidence == pytest.approx(first, abs=1e-6)
        assert predicted[clip.id].uncertainty == pytest.approx(1 - (first - second) * votes / (votes + 1), abs=1e-6)
    assert len({row.uncertainty for row in predicted.values()}) > 3


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


@pytest.mark.usefixtures("one_thread")
def test_a_damaged_file_has_no_prediction_by_the_feature_of_an_intact_one(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    intact, other = load_items(workspace / "manifests" / "train.jsonl").clips[:2]
    damaged = msgspec.structs.replace(other, sha256=intact.sha256)
    write_rows(workspace / "manifests" / "clips.jsonl", [intact, damaged])
    usual = loading.extract_video

    def some(media: list[Media], *arguments: Any, **options: Any) -> FeatureSet:
        changed = {(intact.sha256, workspace / damaged.path): SampleError("It has changed")}
        return replace(usual(media, *arguments, **options), changed=changed)

    monkeypatch.setattr(loading, "extract_video", some)
    manifest = workspace / "manifests" / "train.jsonl"
    found = predict(run, manifest)
    assert (found.clips, found.failures) == (1, {damaged.id: "It has changed"})
    assert [row.id for row in read_rows(found.path, PredictionRow)] == [intact.id]
    assert plan_prediction(run, manifest)[0].clips == 1
    write_rows(workspace / "manifests" / "clips.jsonl", [damaged])
    with pytest.raises(InputError, match=f"no clip has features; the first, {damaged.id}: It has changed"):
        predict(run, manifest)
