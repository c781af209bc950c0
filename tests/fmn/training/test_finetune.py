from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors import safe_open
from typer.testing import CliRunner

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.cli.main import app
from fmn.config import preset
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.features.backbone import clips_trained_on
from fmn.features.backbone_training import TrainingRecipe
from fmn.features.config import AudioFeatureConfig, VideoFeatureConfig
from fmn.features.extract import extract_video
from fmn.training.finetune import KNOWN_NOTE, REFIT_NOTE, finetune, labeled_parts

ACTIONS = ("wash", "peel", "wash", "pour")  # of classes 0 to 3; nothing else tells them


@pytest.fixture
def files(workspace: Path, write_moving_bar: Callable[[Path, int], None]) -> Path:
    """The workspace of four classes with clips that play; class 3 alone is poured."""
    made: dict[str, str] = {}
    for name in ("train", "test"):
        path = workspace / "manifests" / f"{name}.jsonl"
        rows = []
        for row in list(read_rows(path, SplitPairRow)):
            if row.clip.id not in made:
                write_moving_bar(workspace / row.clip.path, 5 * len(made))
                made[row.clip.id] = sha256_of(workspace / row.clip.path)
            label = msgspec.structs.replace(row.label, action=ACTIONS[int(row.label.id[-1])])
            clip = msgspec.structs.replace(row.clip, sha256=made[row.clip.id])
            rows.append(msgspec.structs.replace(row, label=label, clip=clip))
        write_rows(path, rows)
    return workspace


RECIPE = TrainingRecipe(epochs=2, batch=8)


def test_fold_0_is_left_out_until_the_refit(files: Path) -> None:
    items = load_items(files / "manifests" / "train.jsonl")
    fitted, held = labeled_parts(items, refit=False)
    assert {clip.media.name[:3] for clip in held} == {"s00"}
    assert {clip.media.name[:3] for clip in fitted} == {"s01", "s02", "s03", "s04"}
    for clip in (*fitted, *held):
        assert clip.label == ACTIONS[int(clip.media.name[5:7])]
    every, none = labeled_parts(items, refit=True)
    assert len(every) == len(fitted) + len(held) == 20
    assert none == []


def test_the_weights_are_what_features_can_start_from(files: Path, tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    manifest = files / "manifests" / "train.jsonl"
    found = finetune(manifest, tiny, RECIPE, files / "runs" / "tuned")
    assert found.actions == ("peel", "pour", "wash")
    assert (found.clips, found.validation) == (16, 4)
    assert set(found.losses) == set(found.accuracy) == {"rgb", "flow"}
    assert all(0 <= value <= 100 for value in found.accuracy.values() if value is not None)
    told = json.loads((files / "runs" / "tuned" / "finetune.json").read_text())
    assert (told["refit"], told["clips"], told["recipe"]["epochs"]) == (False, 16, 2)
    with safe_open(found.weights, "pt") as file:
        assert {name.split(".")[0] for name in file.keys()} == {"rgb", "flow"}  # noqa: SIM118
        assert '"refit": false' in file.metadata()["fmn"]

    media = load_items(manifest).clip_media()[:2]
    before = extract_video(media, tiny, cache=tmp_path / "cache")
    config = VideoFeatureConfig(**{**vars(tiny), "weights": str(found.weights)})
    after = extract_video(media, config, cache=tmp_path / "cache")
    assert after.source != before.source
    for sha256, value in after.values.items():
        assert not np.allclose(value, before.values[sha256])


def test_a_refit_sees_every_training_clip_and_says_what_that_means(files: Path, tiny: VideoFeatureConfig) -> None:
    rgb = VideoFeatureConfig(**{**vars(tiny), "flow": "none"})
    found = finetune(files / "manifests" / "train.jsonl", rgb, RECIPE, files / "out", refit=True)
    assert (found.clips, found.validation, found.accuracy) == (20, 0, {"rgb": None})
    assert found.notes == (REFIT_NOTE,)


def test_whoever_uses_the_weights_is_told_what_they_saw_before(files: Path, tiny: VideoFeatureConfig) -> None:
    train, other = files / "manifests" / "train.jsonl", files / "manifests" / "other.jsonl"
    write_rows(other, [msgspec.structs.replace(row, split="test", fold=None) for row in read_rows(train, SplitPairRow)])
    rgb = VideoFeatureConfig(**{**vars(tiny), "flow": "none"})

    def notes(manifest: Path, weights: Path) -> list[str]:
        video = VideoFeatureConfig(**{**vars(rgb), "weights": str(weights)})
        config = replace(preset("demo"), video=video, audio=AudioFeatureConfig(kind="file_size"))
        found = load_features(load_items(manifest), config, device=torch.device("cpu"), jobs=1)
        return [note for note in found.notes if "was fine-tuned on" in note]

    honest = finetune(train, rgb, TrainingRecipe(epochs=1), files / "honest").weights
    assert notes(train, honest) == []
    assert notes(other, honest) == ["The video backbone was fine-tuned on 16 of these clips: the results are too high."]
    assert notes(files / "manifests" / "test.jsonl", honest) == []
    refit = finetune(train, rgb, TrainingRecipe(epochs=1), files / "refit", refit=True).weights
    assert notes(train, refit) == [
        "The video backbone was fine-tuned on 4 of the clips of fold 0: what is validated is too high."
    ]


def test_weights_remember_what_those_they_started_from_were_trained_on(files: Path, tiny: VideoFeatureConfig) -> None:
    """Else a clip to test on would count as unseen after a second fine-tuning."""
    train, other = files / "manifests" / "train.jsonl", files / "manifests" / "other.jsonl"
    held = [row for row in read_rows(train, SplitPairRow) if row.clip.id.startswith("s00")]  # the clips of fold 0
    rgb = VideoFeatureConfig(**{**vars(tiny), "flow": "none"})
    first = finetune(train, rgb, TrainingRecipe(epochs=1), files / "first", refit=True).weights
    write_rows(other, [msgspec.structs.replace(row, fold=1) for row in held])
    again = VideoFeatureConfig(**{**vars(rgb), "weights": str(first)})
    second = finetune(other, again, TrainingRecipe(epochs=1), files / "second")
    assert (second.clips, second.notes) == (4, ())
    video = VideoFeatureConfig(**{**vars(rgb), "weights": str(second.weights)})
    assert clips_trained_on(video) == {row.sha256 for row in load_items(train).clips}
    third = finetune(train, again, TrainingRecipe(epochs=1), files / "third")
    assert third.notes == (KNOWN_NOTE.format(4, 4),)


def test_a_broken_clip_is_left_out_and_named(files: Path, tiny: VideoFeatureConfig) -> None:
    manifest = files / "manifests" / "train.jsonl"
    broken = load_items(manifest).clips[3]
    (files / broken.path).write_bytes(b"torn")
    rgb = VideoFeatureConfig(**{**vars(tiny), "flow": "none"})
    found = finetune(manifest, rgb, TrainingRecipe(epochs=1), files / "out")
    assert set(found.failures) == {broken.id}
    assert found.clips + found.validation == 19


def test_a_clip_to_test_on_is_never_trained_on(files: Path, tiny: VideoFeatureConfig) -> None:
    with pytest.raises(InputError, match="a test manifest"):
        finetune(files / "manifests" / "test.jsonl", tiny, RECIPE, files / "out", refit=True)
    assert not (files / "out").exists()


def test_the_command(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    options = [
        part
        for setting in ("width=0.0625", "resize_px=32", "crop_px=32", "window_frames=8", "weights=random")
        for part in ("--set", f"video.{setting}")
    ]
    options += ["--threads", "1", "--jobs", "1"]
    planned = CliRunner().invoke(app, ["finetune", *options, "--dry-run"])
    assert planned.exit_code == 0, planned.output
    assert "on 16 clips and validate on 4" in planned.output
    assert not (files / "runs").exists()
    done = CliRunner().invoke(app, ["finetune", *options, "--epochs", "1"])
    assert done.exit_code == 0, done.output
    assert "16 clips of 3 actions" in done.output
    weights = Path("runs/finetune-demo/backbone.safetensors")
    assert str(weights) in done.output
    assert weights.is_file()
    (advised,) = re.findall("next: fmn (train .*)", done.output)
    # Without the network's width, the weights would not match it. The utterances of this workspace cannot be played.
    trained = CliRunner().invoke(app, [*shlex.split(advised), "--epochs", "1", "--set", "audio.kind=file_size"])
    assert trained.exit_code == 0, trained.output
    assert Path("runs/fmn-demo-finetuned/checkpoint.safetensors").is_file()


def test_options_that_would_change_nothing_are_refused_and_the_seed_is_that_of_the_configuration(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    audio = files / "features" / "audio.npz"
    audio.parent.mkdir()
    audio.write_bytes(b"")
    for option, instead in (
        ("--set training.learning_rate=0.5", "use --learning-rate"),
        ("--set training.epochs=3", "use --epochs"),
        ('--set training={"threads":1,"batch_size":2}', "use --batch"),
        ("--set memory.capacity=3", "omit --set memory.capacity"),
        ("--speech-encoder whisper:tiny", "omit --speech-encoder"),
        ("--features features", "omit --features"),
    ):
        refused = CliRunner().invoke(app, ["finetune", *option.split(), "--dry-run", "--json"])
        assert refused.exit_code == 2, option
        error = json.loads(refused.stdout)["error"]
        assert "does not affect fine-tuning" in error["found"]
        assert error["next"] == instead

    seeds = []
    monkeypatch.setattr(
        "fmn.training.finetune.finetune", lambda _manifest, _config, recipe, *_, **__: seeds.append(recipe) or 1 / 0
    )
    for options in ("", "--seed 5", "--set training.seed=7", "--set video.windows=1 --epochs 3"):
        CliRunner().invoke(app, ["finetune", *options.split()])
    assert [(recipe.epochs, recipe.seed) for recipe in seeds] == [(12, 0), (12, 5), (12, 7), (3, 0)]


def test_another_fine_tuning_does_not_replace_the_result(files: Path, tiny: VideoFeatureConfig) -> None:
    manifest, out = files / "manifests" / "train.jsonl", files / "out"
    rgb, once = replace(tiny, flow="none"), TrainingRecipe(epochs=1, batch=8)
    finetune(manifest, rgb, once, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for config, recipe, refit in ((tiny, once, False), (rgb, RECIPE, False), (rgb, once, True)):
        with pytest.raises(InputError, match="another fine-tuning"):
            finetune(manifest, config, recipe, out, refit=refit)
    finetune(manifest, rgb, once, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (out / "backbone.safetensors").unlink()
    with pytest.raises(InputError, match="another fine-tuning"):
        finetune(manifest, rgb, RECIPE, out)
    finetune(manifest, rgb, once, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    for name in before:
        other = files / f"with {name}"
        other.mkdir()
        (other / name).write_text("notes")
        with pytest.raises(InputError, match="something else"):
            finetune(manifest, rgb, once, other)


def test_clips_of_one_action_are_refused(files: Path, tmp_path: Path) -> None:
    manifest = files / "manifests" / "train.jsonl"
    rows = [row for row in read_rows(manifest, SplitPairRow) if row.label.action == "pour"]
    write_rows(manifest, rows)
    for dry_run in (["--dry-run"], []):
        ended = CliRunner().invoke(app, ["finetune", str(manifest), "--out", str(tmp_path / "out"), *dry_run])
        assert ended.exit_code == 2, ended.output
        assert "a single action: pour" in ended.stderr


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (("backbone=i3d_r50", "flow=none", "width=1.0", "weights=random"), "i3d_r50 cannot be fine-tuned"),
        (("frames=middle", "weights=random"), "has no flow to train on"),
    ],
)
def test_what_cannot_be_fine_tuned_is_refused_before_clips_are_decoded(
    files: Path, settings: tuple[str, ...], found: str
) -> None:
    options = [part for setting in settings for part in ("--set", f"video.{setting}")]
    for dry_run in (["--dry-run"], []):
        ended = CliRunner().invoke(app, ["finetune", str(files / "manifests" / "train.jsonl"), *options, *dry_run])
        assert ended.exit_code == 2, ended.output
        assert found in ended.stderr
        assert "next:" in ended.stderr
    assert not (files / "cache").exists()
