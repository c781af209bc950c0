"""What a run records of the items that it was trained and validated on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.config import Config, with_values
from fmn.training.run_state import read_run_state
from fmn.training.train import train


@pytest.mark.usefixtures("made_features", "one_thread")
def test_items_of_fold_0_that_are_fitted_are_not_among_the_validated_ones(workspace: Path, small: Config) -> None:
    manifest, run = workspace / "manifests" / "train.jsonl", workspace / "runs" / "one"
    first, *others = read_rows(manifest, SplitPairRow)
    folds = [0, *(0 if row.clip == first.clip else 1 for row in others)]  # its utterances have other pairs, too
    rows = [msgspec.structs.replace(row, fold=fold) for row, fold in zip((first, *others), folds, strict=True)]
    write_rows(manifest, rows)
    train(manifest, with_values(small, {"training.epochs": 1, "training.pairs_per_epoch": 16}), run)
    state = read_run_state(run)
    assert state is not None
    assert (state.validated_clips, state.validated_utterances) == ([first.clip.id], [])
