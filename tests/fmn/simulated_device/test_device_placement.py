"""Every tensor is on the model's device: training, evaluation and search on one that refuses tensors of the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from simulated_device import SimulatedTensor, simulated_device
from torch.utils._python_dispatch import TorchDispatchMode
from typer.testing import CliRunner

from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.cli.main import app
from fmn.config import Config
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.evaluation.evaluate import all_scores
from fmn.features.config import VideoFeatureConfig
from fmn.features.extract import extract_video
from fmn.search import gallery_search
from fmn.systems import find_system, system_names
from fmn.training.checkpoint import load_run
from fmn.training.train import train
from fmn.training.trainer import TrainingLoop

pytestmark = pytest.mark.usefixtures("one_thread")


aten = torch.ops.aten
READING = {aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten._unique2.default}


class NeverWaits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses operations for which the host waits for a GPU: those that read values, be it for the size of a result."""

    def __torch_dispatch__(
        self, operation: Any, types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        reads = operation in READING
        if operation == aten.index.Tensor:
            reads = any(index is not None and index.dtype == torch.bool for index in args[1])
        elif operation == aten._to_copy.default:
            reads = kwargs.get("device") == torch.device("cpu")
        assert not (reads and isinstance(args[0], SimulatedTensor)), f"{operation} waits for the device"
        return operation(*args, **kwargs)


@pytest.fixture
def simulated() -> Iterator[torch.device]:
    with simulated_device() as device:
        yield device


def few(config: Config, epochs: int = 1) -> Config:
    return replace(config, training=replace(config.training, epochs=epochs, pairs_per_epoch=16))


def fmn(command: str, *arguments: object, device: torch.device) -> None:
    ended = CliRunner().invoke(app, [command, *map(str, arguments), "--device", str(device)])
    assert ended.exit_code == 0, (command, ended.output, ended.exception)


@pytest.mark.usefixtures("made_features")
@pytest.mark.parametrize("name", sorted(name for name in system_names() if not find_system(name).joint))
def test_a_system_is_trained_and_scores_as_on_the_cpu(
    name: str,
    workspace: Path,
    small: Config,
    tmp_path: Path,
    simulated: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, manifests = few(replace(small, system=name)), workspace / "manifests"
    if name not in ("dcca", "vmnet", "vmnet_ce"):  # whose losses need values of the batch
        run_batches = TrainingLoop._run_batches

        def without_waiting(*given: Any) -> Any:
            with NeverWaits():
                return run_batches(*given)

        monkeypatch.setattr(TrainingLoop, "_run_batches", without_waiting)
    train(manifests / "train.jsonl", config, tmp_path / "run", device=str(simulated))
    items, scores = load_items(manifests / "test.jsonl"), []
    for device in (simulated, torch.device("cpu")):
        loaded = load_run(tmp_path / "run", device)
        assert {tensor.device for tensor in loaded.model.state_dict().values()} <= {device}
        scores.append(all_scores(loaded, load_features(items, config, device=device)))
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


@pytest.mark.usefixtures("made_features")
def test_commands(workspace: Path, small: Config, simulated: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    run, manifests = workspace / "runs" / "one", workspace / "manifests"
    pairs = list(read_rows(manifests / "train.jsonl", SplitPairRow))
    new, clips = pairs[-1].label.id, {pair.clip.id: pair.clip for pair in pairs}
    write_rows(manifests / "old.jsonl", [pair for pair in pairs if pair.label.id != new])
    write_rows(manifests / "new.jsonl", [pair for pair in pairs if pair.label.id == new])
    write_rows(manifests / "clips.jsonl", [clips[name] for name in sorted(clips)])
    train(manifests / "old.jsonl", few(small), run, device=str(simulated))
    assert train(manifests / "old.jsonl", few(small, epochs=2), run, device=str(simulated)).epochs == 2

    speech, clip = (min(workspace.glob(pattern)) for pattern in ("speech/*.wav", "clips/*.mp4"))
    for command in (
        ("eval", run, "--update-memory", "--orders", 1),
        ("learn", run, manifests / "new.jsonl"),
        ("eval", run),
        ("search", run, "--speech", speech),
        ("search", run, "--clip", clip),
        ("predict", run, "--clips", manifests / "clips.jsonl"),
        ("plot", run),
        ("index", run),
    ):
        fmn(*command, device=simulated)
    monkeypatch.setattr(gallery_search, "INDEXED_FROM", 1)
    for command in (("index", run), ("search", run, "--speech", speech), ("search", run, "--clip", clip)):
        fmn(*command, device=simulated)
    if gallery_search.is_installed():
        assert list(workspace.rglob("lists-*.faiss"))


def test_video_features_are_those_of_the_cpu(
    files: Path, tiny: VideoFeatureConfig, tmp_path: Path, simulated: torch.device
) -> None:
    media = load_items(files / "manifests" / "test.jsonl").clip_media()[:2]
    cpu, found = (
        extract_video(media, tiny, cache=tmp_path / device, device=device, jobs=1).values
        for device in ("cpu", str(simulated))
    )
    for key in cpu:
        assert found[key] == pytest.approx(cpu[key], abs=1e-5)


def test_the_backbone_is_fine_tuned(files: Path, tmp_path: Path, simulated: torch.device) -> None:
    manifest = files / "manifests" / "train.jsonl"
    rows = [
        msgspec.structs.replace(row, label=msgspec.structs.replace(row.label, action=row.label.subject))
        for row in read_rows(manifest, SplitPairRow)
        if {row.clip.person, row.utterance.voice} <= {"s00", "s01", "voice0", "voice1"}
    ]
    write_rows(manifest, rows)  # the clips of two persons; that of each class is trained on, or of fold 0
    small = ("video.width=0.0625", "video.weights=random", "video.resize_px=40", "video.crop_px=32")
    settings = [part for value in (*small, "video.window_frames=8") for part in ("--set", value)]
    options = ("--epochs", 1, "--batch", 4, "--out", tmp_path / "tuned", *settings)
    fmn("finetune", manifest, *options, device=simulated)
