from __future__ import annotations

import sys
from pathlib import Path

import pytest

import fmn.models.baselines
from dataset_tools.core.errors import InputError
from fmn.config import Config, with_values
from fmn.evaluation.evaluate import evaluate
from fmn.systems import find_system, system_names
from fmn.training.checkpoint import load_run
from fmn.training.train import train

CLOSED_FORM = '''
"""The mean of what it was shown, and no gradient: the smallest system there can be."""
import torch
from fmn.models.retrieval_model import RetrievalModel, encode_all_clips
from fmn.models.system_interface import System


class Nearest(RetrievalModel):
    def __init__(self, config, video_dim, audio_dim):
        super().__init__()
        self.register_buffer("clip_mean", torch.zeros(video_dim))
        self.settled = 0

    def encode_clips(self, video):
        return {"code": video[:, :4] - self.clip_mean[:4]}

    def encode_utterances(self, audio):
        return {"code": audio.frames.sum(1)[:, :4] / audio.lengths[:, None]}

    def scores(self, clips, utterances):
        return clips["code"] @ utterances["code"].T

    def fit_after_epoch(self, data, clips, utterances, generator):
        self.clip_mean.copy_(data.video[data.on_device(clips)].mean(0))


SYSTEM = System(name="nearest", summary="a test", build=Nearest)
'''


def test_fmn_is_known_and_other_names_are_refused() -> None:
    assert system_names()[0] == "fmn"
    assert find_system("fmn").name == "fmn"
    with pytest.raises(InputError, match="There is no system 'gpt'") as raised:
        find_system("gpt")
    assert "fmn" in str(raised.value.expected)


@pytest.mark.usefixtures("made_features", "one_thread")
def test_a_system_is_one_file(workspace: Path, small: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nearest.py").write_text(CLOSED_FORM)
    monkeypatch.setattr(fmn.models.baselines, "__path__", [*fmn.models.baselines.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "fmn.models.baselines.nearest", raising=False)
    assert "nearest" in system_names()
    run = workspace / "runs" / "nearest"
    summary = train(workspace / "manifests" / "train.jsonl", with_values(small, {"system": "nearest"}), run)
    assert (summary.epochs, summary.parameters) == (1, 0)
    import torch

    assert load_run(run, torch.device("cpu")).config.system == "nearest"
    # Both features say the class in their first four numbers, so this system is nearly perfect.
    metrics = evaluate(run, workspace / "manifests" / "test.jsonl").metrics
    assert metrics["audio_to_video"]["class_hit"]["1"] > 90
    assert train(
        workspace / "manifests" / "train.jsonl", with_values(small, {"system": "nearest"}), run
    ).already_finished
