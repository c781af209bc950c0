"""What `make gpu` gives these tests: the device and the inputs. Without a GPU and without it they are skipped."""

from __future__ import annotations

import json
import lzma
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fmn.features.media import FeatureSet, Media

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The device that is compared with the CPU; in a rehearsal the CPU itself."""
    name = os.environ.get("FMN_GPU_DEVICE") or ("cuda" if torch.cuda.is_available() else None)
    if name is None:
        pytest.skip("there is no GPU (make gpu DEVICE=cpu rehearses without one)")
    return torch.device(name)


@pytest.fixture(scope="session")
def inputs(device: torch.device) -> Path:
    folder = Path(os.environ.get("FMN_GPU_INPUTS", ROOT / "gpu-inputs"))
    if not folder.is_dir() and "FMN_GPU_DEVICE" not in os.environ:
        pytest.skip(f"there are no inputs in {folder} (make gpu-inputs)")
    return folder


@pytest.fixture(scope="session")
def rehearsed(device: torch.device) -> Callable[..., tuple[str, ...]]:
    """Gives options that set configuration values, to make a rehearsal short; on a GPU none."""
    return lambda *values: tuple(part for value in values for part in ("--set", value)) if device.type == "cpu" else ()


@pytest.fixture(scope="session")
def cheap_video(rehearsed: Callable[..., tuple[str, ...]]) -> tuple[str, ...]:
    """Options for video features that need no network, in a rehearsal; those of networks: test_features."""
    return rehearsed("video.kind=mean_colour")


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Prints figures as a line of JSON, which `make gpu` keeps."""

    def print_figures(**figures: Any) -> None:
        print("\n" + json.dumps({"test": request.node.name} | figures), flush=True)

    return print_figures


@pytest.fixture
def set_tf32() -> Iterator[Callable[[bool], None]]:
    """Chooses whether cuDNN (LSTM, convolutions) may multiply in TF32, of 10 bits, as it does by default."""

    def choose(allowed: bool) -> None:
        torch.backends.cudnn.allow_tf32 = allowed  # only ever set: torch refuses to read it where APIs were mixed

    yield choose
    choose(True)


@pytest.fixture(scope="module")
def small(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with clips and speech, a copy."""
    return shutil.copytree(inputs / "small", tmp_path_factory.mktemp("small") / "workspace")


@pytest.fixture
def large(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, Any]]:
    """A larger data set: its training manifest, and the values of the configuration that its features need.

    Its media are empty files; the features that came with the manifest take the place of extraction.
    """
    packed = inputs / "large"
    manifest = tmp_path / "manifests" / "train.jsonl"
    manifest.parent.mkdir()
    manifest.write_bytes(lzma.decompress((packed / "train.jsonl.xz").read_bytes()))
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    for path in {tmp_path / row[part]["path"] for row in rows for part in ("clip", "utterance")}:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    arrays = np.load(packed / "features.npz")
    for kind, name in (("clips", "extract_video"), ("utterances", "extract_audio")):
        ends = np.cumsum(arrays[f"{kind}_lengths"])[:-1]
        features = np.split(arrays[f"{kind}_rows"].astype(np.float32), ends)
        values = {
            str(key): row[0] if kind == "clips" else row
            for key, row in zip(arrays[f"{kind}_sha256"], features, strict=True)
        }
        monkeypatch.setattr(f"fmn.data.loading.{name}", _extraction(values))
    return manifest, json.loads((packed / "settings.json").read_text())


def _extraction(values: dict[str, Any]) -> Callable[..., FeatureSet]:
    dim = next(iter(values.values())).shape[-1]

    def extract(items: list[Media], config: Any, **_: object) -> FeatureSet:
        assert config.dim == dim
        return FeatureSet(dim=dim, values={item.sha256: values[item.sha256] for item in items}, source="packed")

    return extract
