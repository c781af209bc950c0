"""The user's own features may grow after training; those that were there must not change."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dataset_tools.core.errors import InputError
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.config import Config, with_values
from fmn.evaluation.evaluate import evaluate
from fmn.evaluation.learn_classes import learn_classes
from fmn.evaluation.predict import predict
from fmn.search.gallery_search import search
from fmn.search.search_results import GallerySource
from fmn.training.checkpoint import save_config
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
NEW = "wash_thing2"
DIFFER = "features differ from those"


def feature_of(name: str, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng([seed, *name.encode()]).random((3, 6)).astype(np.float32)


def write(folder: Path, part: str, names: set[str], form: str, seed: int = 0) -> None:
    """Replaces the features in DIR/video or DIR/audio, or in a .npz there, by those of ``names``."""
    arrays = {name: feature_of(name, seed) for name in names}
    if form == "npz":
        np.savez(folder / f"{part}.npz", **arrays)
        return
    (folder / part).mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / part / f"{name}.npy", array)


@pytest.fixture
def own(workspace: Path) -> Path:
    folder = workspace / "own"
    folder.mkdir()
    return folder


def manifest_without_new_class(workspace: Path) -> Path:
    path = workspace / "manifests" / "old.jsonl"
    write_rows(path, [row for row in rows(workspace, "train") if row.label.id != NEW])
    return path


def rows(workspace: Path, name: str) -> list[SplitPairRow]:
    return list(read_rows(workspace / "manifests" / f"{name}.jsonl", SplitPairRow))


def reading(own: Path, config: Config, suffix: str = "") -> Config:
    """The configuration with the features in DIR."""
    return with_values(config, {f"{part}.features": str(own / f"{part}{suffix}") for part in ("video", "audio")})


def names(found: list[SplitPairRow]) -> dict[str, set[str]]:
    return {"video": {row.clip.id for row in found}, "audio": {row.utterance.id for row in found}}


@pytest.mark.parametrize("form", ["folder", "npz"])
def test_features_may_be_added_after_training_but_not_changed(
    workspace: Path, own: Path, small: Config, form: str
) -> None:
    old, config = manifest_without_new_class(workspace), reading(own, small, ".npz" if form == "npz" else "")
    known = names(rows(workspace, "old"))
    for part in known:
        write(own, part, known[part], form)
    run = workspace / "runs" / "one"
    train(old, config, run)

    new = workspace / "manifests" / "new.jsonl"
    write_rows(new, [row for row in rows(workspace, "train") if row.label.id == NEW])
    every = names(rows(workspace, "train") + rows(workspace, "test"))
    for part in every:
        write(own, part, every[part], form)
    longer = with_values(config, {"training.epochs": config.training.epochs + 1})
    assert train(old, longer, run).epochs == longer.training.epochs
    assert learn_classes(run, new, out=workspace / "runs" / "learned").classes == (NEW,)
    write_rows(workspace / "manifests" / "clips.jsonl", [rows(workspace, "train")[0].clip])
    assert not any(DIFFER in note for note in evaluate(run, workspace / "manifests" / "test.jsonl").notes)
    assert not any(DIFFER in note for note in predict(run, old).notes)

    one = {min(known["audio"])}
    if form == "npz":
        np.savez(own / "audio.npz", **{name: feature_of(name, seed=int(name in one)) for name in every["audio"]})
    else:
        write(own, "audio", one, form, seed=1)
    assert any(DIFFER in note for note in evaluate(run, workspace / "manifests" / "test.jsonl").notes)
    assert any(DIFFER in note for note in predict(run, old).notes)
    with pytest.raises(InputError, match=DIFFER):
        learn_classes(run, new, out=workspace / "runs" / "other")
    with pytest.raises(InputError, match="features differ"):
        train(old, with_values(longer, {"training.epochs": longer.training.epochs + 1}), run)

    before = evaluate(run, workspace / "manifests" / "test.jsonl").metrics
    moved = workspace.rename(workspace.with_name("moved"))
    assert evaluate(moved / "runs" / "one", moved / "manifests" / "test.jsonl").metrics == before
    unreachable = Path("/", "x" * 300)  # not even looked up, as in a folder of another user
    save_config(moved / "runs" / "one", reading(unreachable / "own", small, ".npz" if form == "npz" else ""))
    assert evaluate(moved / "runs" / "one", moved / "manifests" / "test.jsonl").metrics == before


def test_other_files_of_the_same_kind_are_not_taken_for_additions(workspace: Path, own: Path, small: Config) -> None:
    old, config = manifest_without_new_class(workspace), reading(own, small)
    known = names(rows(workspace, "old"))
    write(own, "video", known["video"], "folder")
    write(own, "audio", known["audio"] | names(rows(workspace, "test"))["audio"], "folder")
    run = workspace / "runs" / "one"
    train(old, config, run)
    for path in (own / "video").iterdir():
        path.unlink()
    write(own, "video", names(rows(workspace, "test"))["video"], "folder", seed=1)
    assert any(DIFFER in note for note in evaluate(run, workspace / "manifests" / "test.jsonl").notes)


def test_a_query_is_looked_up_by_the_file_that_was_given(workspace: Path, own: Path, small: Config) -> None:
    """A recording that was post-processed first would have another SHA-256, which nobody knows."""
    test = workspace / "manifests" / "test.jsonl"
    every = names(rows(workspace, "train") + rows(workspace, "test"))
    for part in every:
        write(own, part, every[part], "folder")
    run = workspace / "runs" / "one"
    train(workspace / "manifests" / "train.jsonl", reading(own, small), run)
    query = workspace / "query.wav"
    soundfile.write(query, np.random.default_rng(0).normal(0, 0.1, 32_000), 16_000)
    digest = hashlib.sha256(query.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=r"There is no feature for query\.wav") as refused:
        search(run, query, "speech", GallerySource(test))
    assert refused.value.where == str(own / "audio")
    assert digest in str(refused.value.expected)
    write(own, "audio", {digest}, "folder")
    assert [hit.rank for hit in search(run, query, "speech", GallerySource(test), top=2).hits] == [1, 2]
    with pytest.raises(InputError, match="A typed text has no features"):
        search(run, "cut the carrot", "speech", GallerySource(test))
