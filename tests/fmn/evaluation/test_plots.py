from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import fmn.evaluation.plots
from dataset_tools.core.errors import SampleError
from fmn.cli.main import app
from fmn.config import Config, with_values
from fmn.data import loading
from fmn.data.items import Items, load_items
from fmn.data.loading import load_features
from fmn.evaluation import plot_drawing as drawing
from fmn.evaluation.evaluate import measure
from fmn.evaluation.plots import confusions, plot_run, recall_curves, slot_contents, slot_uses
from fmn.features.config import VideoFeatureConfig
from fmn.features.media import FeatureSet, Media
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import encode_all_clips, encode_all_utterances
from fmn.training.checkpoint import load_run
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")
CPU = torch.device("cpu")


@pytest.fixture
def run(workspace: Path, small: Config) -> Path:
    config = with_values(small, {"training.epochs": 3, "memory.score_threshold": 0.0, "training.threads": 1})
    train(workspace / "manifests" / "train.jsonl", config, workspace / "runs" / "one")
    return workspace / "runs" / "one"


def test_the_curves_go_through_the_metrics(workspace: Path) -> None:
    items = load_items(workspace / "manifests" / "test.jsonl")
    scores = np.random.default_rng(0).normal(size=(12, 12)).astype(np.float32)
    found, metrics = recall_curves(scores, items), measure(scores, items)
    for direction, curves in found.items():
        for metric, lines in curves.items():
            for k in (1, 10):
                block = metrics[direction]
                assert lines["system"][k - 1] == pytest.approx(block[metric][str(k)])
                assert lines["chance"][k - 1] == pytest.approx(block["chance"][metric][str(k)])
                assert lines["ceiling"][k - 1] == pytest.approx(block["ceiling"][metric][str(k)])
            assert len(lines["system"]) == 12
            assert lines["system"][-1] == pytest.approx(100)


def test_letters_that_no_font_has_are_noted_and_dollars_are_no_formula(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    usual, letters = fmn.evaluation.plots.class_ids, {"test": "\U000eff01", "train": "\U000eff02"}  # in no font

    def odd(items: Items) -> list[str]:
        return [f"$^$ {name}{letters[items.manifest.stem]}é" for name in usual(items)]

    monkeypatch.setattr(fmn.evaluation.plots, "class_ids", odd)
    found = plot_run(run, workspace / "manifests" / "test.jsonl")
    assert [note for note in found.notes if f"fonts lack: {''.join(letters.values())}." in note]
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_the_curves_have_a_legend_without_partners(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = load_items(workspace / "manifests" / "test.jsonl")
    items = replace(items, partners=np.full_like(items.partners, -1))  # recordings of a class, not of a clip
    found = recall_curves(np.zeros((12, 12), np.float32), items)
    assert all("instance_hit" not in curves for curves in found.values())
    figures: list[Any] = []
    saved = drawing.save_png
    monkeypatch.setattr(drawing, "save_png", lambda figure, path: figures.append(figure) or saved(figure, path))
    drawing.curves(tmp_path / "a.png", found, "fmn", "curves")
    legends = [axes.get_legend() for axes in figures[0].axes]
    shown = [[text.get_text() for text in legend.get_texts()] for legend in legends if legend is not None]
    assert shown == [["ceiling (class known)", "fmn", "chance"]] * 2


def test_a_confusion_counts_what_is_found_first(workspace: Path) -> None:
    items = load_items(workspace / "manifests" / "test.jsonl")
    utterances, clips = items.utterance_classes, items.clip_classes
    scores = np.zeros((12, 12), np.float32)
    for utterance in range(12):  # those of class 1 find a clip of class 2 first, the others their own class
        wanted = 2 if utterances[utterance] == 1 else utterances[utterance]
        scores[np.flatnonzero(clips == wanted)[0], utterance] = 1
    expected = 100 * np.eye(4)
    expected[1] = [0, 0, 100, 0]
    np.testing.assert_allclose(confusions(scores, items)["audio_to_video"], expected)
    # Scores that are all equal find each of the four classes first with a quarter.
    np.testing.assert_allclose(confusions(np.zeros((12, 12)), items)["video_to_audio"], np.full((4, 4), 25.0))


def test_slots_hold_what_is_nearest_to_them_and_are_chosen_by_the_most_similar(workspace: Path, run: Path) -> None:
    loaded = load_run(run, CPU)
    model = loaded.model
    assert isinstance(model, FeatureMemoryNetwork)
    learned = load_features(load_items(workspace / "manifests" / "train.jsonl"), loaded.config, device=CPU)
    held = slot_contents(loaded, model, learned)
    assert held.shape == (model.memory.size, 4)
    assert held.sum(axis=0).tolist() == [5, 5, 5, 5]
    every = np.arange(20)
    clips, utterances = (
        encode_all_clips(model, learned.data, every),
        encode_all_utterances(model, learned.data, every),
    )
    used = slot_uses(model, clips, utterances)
    chosen = [
        int(torch.cosine_similarity(row[None], model.memory.video_slots[: model.memory.size]).argmax())
        for row in clips["mapped"]
    ]
    np.testing.assert_allclose(used["clips"], 100 * np.bincount(chosen, minlength=model.memory.size) / 20)
    assert used["utterances"].sum() == pytest.approx(100)


def test_a_slot_of_one_class_holds_pairs_of_that_class_alone(workspace: Path, run: Path) -> None:
    loaded = load_run(run, CPU)
    model = loaded.model
    assert isinstance(model, FeatureMemoryNetwork)
    learned = load_features(load_items(workspace / "manifests" / "train.jsonl"), loaded.config, device=CPU)
    size = model.memory.size
    model.memory.slot_classes[:size] = torch.arange(size) % 4
    held = slot_contents(loaded, model, learned)
    kept = np.arange(size) % 4
    for label in range(4):
        if label in kept:
            assert held[kept != label, label].sum() == 0
            assert held[kept == label, label].sum() == 5
    model.memory.slot_classes[:size] = 0  # a class without a slot is shown where it is nearest
    assert slot_contents(loaded, model, learned).sum(axis=0).tolist() == [5, 5, 5, 5]


@pytest.mark.parametrize("size", [3, 400])
def test_any_number_of_slots_fits_a_picture(tmp_path: Path, size: int) -> None:
    held = np.random.default_rng(0).integers(0, 9, (size, 5))
    used = {name: np.full(size, 100 / size) for name in ("clips", "utterances")}
    path = drawing.slots(tmp_path / "a.png", held, held.sum(1), np.arange(size) % 6 - 1, used, [*"abcde"], "slots")
    with Image.open(path) as picture:
        assert 800 < picture.width <= 3000


def test_four_pictures_are_drawn(workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    result = CliRunner().invoke(app, ["plot", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert not any("boxes" in note for note in told["notes"])
    found = [Path(path) for path in told["files"]]
    assert [path.name for path in found] == ["training.png", "recall.png", "confusion.png", "slots.png"]
    for path in found:
        with Image.open(path) as picture:
            assert picture.width > 800
            pixels = np.asarray(picture.convert("L"))
        assert pixels.std() > 10, "an empty picture"
    assert all(path.parent == (run / "plots").relative_to(workspace) or path.parent == run / "plots" for path in found)


def test_titles_name_the_run_from_within_its_folder(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    for name in ("training", "curves", "confusion", "slots"):
        monkeypatch.setattr(drawing, name, lambda path, *given: titles.append(given[-1]) or path)
    monkeypatch.chdir(run)
    plot_run(Path(), workspace / "manifests" / "test.jsonl")
    assert titles == ["one", *["one on test.jsonl"] * 3]


def earlier_slots(run: Path) -> Path:
    """The picture of an earlier call, which is empty."""
    path = run / "plots" / "slots.png"
    path.parent.mkdir()
    path.touch()
    return path


def test_slots_get_no_names_of_a_manifest_that_changed(workspace: Path, run: Path) -> None:
    test, trained_on = (workspace / "manifests" / f"{name}.jsonl" for name in ("test", "train"))
    slots = earlier_slots(run)
    lines = trained_on.read_text().splitlines(keepends=True)
    trained_on.write_text("".join(lines[:-1]))
    for _ in ("changed", "gone"):
        found = plot_run(run, test)
        assert [path.stem for path in found.files] == ["training", "recall", "confusion"]
        assert not slots.exists()
        note = "No slots.png: The training manifest of the run is missing or has changed: "
        assert found.notes[-1].startswith(note)
        assert found.notes[-1].endswith("train.jsonl.")
        trained_on.unlink(missing_ok=True)
        slots.touch()


@pytest.mark.parametrize("gone", [2, None])
def test_media_of_training_that_are_gone_cost_no_other_picture(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch, gone: int | None
) -> None:
    test = workspace / "manifests" / "test.jsonl"
    slots = earlier_slots(run)
    asked = len({row["clip"]["id"] for row in map(json.loads, test.read_text().splitlines())})
    extract: Callable[..., FeatureSet] = vars(loading)["extract_video"]

    def without_some(items: list[Media], config: VideoFeatureConfig, **options: Any) -> FeatureSet:
        found = extract(items, config, **options)
        lost = [] if len(items) == asked else [item.sha256 for item in items[:gone]]
        values = {name: value for name, value in found.values.items() if name not in lost}
        return replace(found, values=values, failures=dict.fromkeys(lost, SampleError("The clip is gone")))

    monkeypatch.setattr(loading, "extract_video", without_some)
    found = plot_run(run, test)
    others = ["training", "recall", "confusion"]
    assert [path.stem for path in found.files] == ([*others, "slots"] if gone else others)
    assert slots.exists() == bool(gone)
    assert not gone or slots.stat().st_size
    expected = "slots.png leaves out 2 items of the training data." if gone else "No slots.png: No pair is left"
    assert found.notes[-1].startswith(expected)
    assert not found.failures


def test_without_memories_there_is_no_picture_of_them(workspace: Path, small: Config) -> None:
    run = workspace / "runs" / "one"
    config = with_values(small, {"training.epochs": 1, "memory.score_threshold": 0.999999})
    train(workspace / "manifests" / "train.jsonl", config, run)
    found = plot_run(run, workspace / "manifests" / "test.jsonl")
    assert [path.stem for path in found.files] == ["training", "recall", "confusion"]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_loss_below_zero_is_in_the_picture(sign: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As dcca minimizes a negative correlation."""
    figures: list[Any] = []
    monkeypatch.setattr(drawing, "save_png", lambda figure, path: figures.append(figure))
    history = [{"epoch": float(epoch), "loss": sign * (9.0 - epoch), "pairs_per_s": 1.0} for epoch in (1, 2, 3)]
    drawing.training(tmp_path / "training.png", history, 3, "a run")
    low, high = figures[0].axes[0].get_ylim()
    assert low < sign * 6 < sign * 8 < high or low < sign * 8 < sign * 6 < high
    assert (low == 0) == (sign > 0)
