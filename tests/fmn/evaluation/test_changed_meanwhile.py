"""Runs and manifests that are replaced while features are extracted, which may take hours."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.core.errors import StoppedError
from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.config import Config, with_values
from fmn.data import items as data_items
from fmn.data import loading
from fmn.data.items import load_items
from fmn.evaluation.evaluate import evaluate
from fmn.evaluation.learn_classes import learn_classes
from fmn.evaluation.plots import plot_run
from fmn.evaluation.predict import predict
from fmn.training.checkpoint import CHECKPOINT_FILE
from fmn.training.run_state import read_run_state
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


@pytest.fixture
def in_extraction(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Calls a function whenever features of clips are extracted."""
    extract = loading.extract_video

    def patch(change: Callable[[], object]) -> None:
        def changing(*arguments: Any, **options: Any) -> Any:
            change()
            return extract(*arguments, **options)

        monkeypatch.setattr(loading, "extract_video", changing)

    return patch


def test_results_are_of_the_manifest_and_the_weights_that_were_read(
    workspace: Path, small: Config, in_extraction: Callable[[Callable[[], object]], None]
) -> None:
    run = workspace / "runs" / "one"
    manifests = [workspace / "manifests" / f"{side}.jsonl" for side in ("train", "test")]
    new, rows = workspace / "manifests" / "new.jsonl", list(read_rows(manifests[0], SplitPairRow))
    write_rows(new, [row for row in rows if row.label == rows[0].label])
    write_rows(manifests[0], [row for row in rows if row.label != rows[0].label])
    read = sha256_of(manifests[0])

    def make_pairs_again() -> None:
        for path in manifests:
            path.write_bytes(path.read_bytes() + b"\n")

    in_extraction(make_pairs_again)
    train(manifests[0], with_values(small, {"training.epochs": 1}), run)
    state = read_run_state(run)
    assert state is not None
    assert state.manifest_sha256 == read != sha256_of(manifests[0])
    read = sha256_of(manifests[1])
    metrics = json.loads(evaluate(run, manifests[1]).path.read_bytes())
    assert metrics["manifest"]["sha256"] == read != sha256_of(manifests[1])

    items = load_items(manifests[0])
    write_rows(new.with_name("clips.jsonl"), items.clips)
    write_rows(new.with_name("utterances.jsonl"), items.utterances)
    (run / "metrics.json").unlink()
    before = sorted(run.rglob("*"))
    in_extraction((run / CHECKPOINT_FILE).touch)
    learn = partial(learn_classes, out=workspace / "runs" / "copy")
    used = ((evaluate, manifests[1]), (plot_run, manifests[1]), (predict, manifests[0]), (learn, new))
    for use, manifest in used:
        with pytest.raises(StoppedError, match="The run was trained further, or learned classes"):
            use(run, manifest)  # type: ignore[operator]
    assert sorted(run.rglob("*")) == before
    assert not (workspace / "runs" / "copy").exists()


def test_what_changes_while_it_is_read_is_recognized(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, read = workspace / "manifests" / "train.jsonl", data_items.read_numbered_rows

    def reading(*arguments: Any) -> Any:
        yield from read(*arguments)
        manifest.write_bytes(manifest.read_bytes() + b"\n")

    with monkeypatch.context() as patch, pytest.raises(StoppedError, match="The manifest was changed"):
        patch.setattr(data_items, "read_numbered_rows", reading)
        load_items(manifest).require_unchanged()
    load_items(manifest).require_unchanged()
