from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import fmn.models.baselines
from dataset_tools.core.errors import InputError
from fmn.config import Config, with_values
from fmn.evaluation.evaluate import evaluate
from fmn.systems import find_system, system_names
from fmn.training.checkpoint import load_config, load_run, save_config
from fmn.training.run_state import read_run_state
from fmn.training.train import train

ROOT = Path(fmn.__path__[0]).parent
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


@pytest.fixture
def baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """Adds a file with this name and content to the folder of the baselines."""
    names = []

    def add(name: str, text: str) -> Path:
        names.append(f"fmn.models.baselines.{name}")
        monkeypatch.setattr(fmn.models.baselines, "__path__", [*fmn.models.baselines.__path__, str(tmp_path)])
        path = tmp_path / f"{name}.py"
        path.write_text(text, "utf-8")
        return path

    yield add
    for name in names:
        sys.modules.pop(name, None)


def documented() -> str:
    """The example of docs/comparing.md."""
    [example] = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "comparing.md").read_text("utf-8"), re.M | re.S)
    return str(example)


@pytest.mark.usefixtures("made_features", "one_thread")
def test_the_documented_system_is_trained(workspace: Path, small: Config, baseline: Callable[[str, str], Path]) -> None:
    baseline("contrastive", documented())
    run = workspace / "runs" / "contrastive"
    config = with_values(small, {"system": "contrastive", "options.temperature": 0.1, "training.epochs": 6})
    train(workspace / "manifests" / "train.jsonl", config, run)
    metrics = evaluate(run, workspace / "manifests" / "test.jsonl").metrics
    assert metrics["video_to_audio"]["class_map"] > 45  # the features say the class; chance is about 37


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check"),
        ("ruff", "format", "--check"),
        ("mypy", "--package", "fmn.models.baselines.contrastive"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_the_documented_system_passes_the_linters(tmp_path: Path, command: tuple[str, ...]) -> None:
    if find_spec(command[0]) is None:
        pytest.skip(f"without {command[0]}, which the extra lint has")
    folder = tmp_path / "fmn" / "models" / "baselines"
    shutil.copytree(ROOT / "fmn", tmp_path / "fmn", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copytree(ROOT / "dataset_tools", tmp_path / "dataset_tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (folder / "contrastive.py").write_text(documented(), "utf-8")
    # Without the cache of make lint, which may be writing it right now, mypy reads all of torch.
    subprocess.run(["cp", "-r", ROOT / ".mypy_cache", tmp_path], stderr=subprocess.DEVNULL, check=False)
    what = () if command[0] == "mypy" else (folder / "contrastive.py",)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "RUFF_NO_CACHE": "true"}
    found = subprocess.run(
        [sys.executable, "-m", *command, *what], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_a_file_without_a_system_is_named(baseline: Callable[[str, str], Path]) -> None:
    path = baseline("aaa_helpers", "def helper(): ...\n")
    with pytest.raises(InputError, match="The file defines no system") as raised:
        find_system("vmnet")
    assert str(raised.value.where) == str(path)
    assert "underscore" in str(raised.value.next_step)
    path.rename(path.with_name("_aaa_helpers.py"))
    importlib.invalidate_caches()
    assert find_system("vmnet").name == "vmnet"


@pytest.mark.parametrize("file", ["aaa_copy", "zzz_copy"])
def test_a_copied_file_with_the_name_of_the_first_is_refused(
    small: Config, tmp_path: Path, baseline: Callable[[str, str], Path], file: str
) -> None:
    """One of the two would be trained under the name of both."""
    (tmp_path / "run").mkdir()
    save_config(tmp_path / "run", with_values(small, {"system": "vmnet"}))
    path = baseline(file, CLOSED_FORM.replace('"nearest"', '"vmnet"'))
    for find in (system_names, lambda: find_system("vmnet"), lambda: load_config(tmp_path / "run")):
        with pytest.raises(InputError, match="Two files define a system of the name 'vmnet'") as raised:
            find()
        assert str(path) in str(raised.value.where)


NO_NAMES = ["a/b", "../up", "..", ".hidden", "-x", " a", "a ", "a,b", "a\\b", "a\n", "", "é" * 51, 7]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_that_cannot_be_that_of_a_folder_is_refused(baseline: Callable[[str, str], Path], name: object) -> None:
    path = baseline("aaa_named", CLOSED_FORM.replace('"nearest"', repr(name)))
    with pytest.raises(InputError, match="cannot be part of the name of a folder") as raised:
        find_system("vmnet")
    assert str(raised.value.where) == str(path)
    assert repr(name) in raised.value.found


@pytest.mark.parametrize("name", ["x", "two towers (ours)", "clip-b.32+", "é" * 50])
def test_a_name_that_can_be_that_of_a_folder_is_accepted(baseline: Callable[[str, str], Path], name: str) -> None:
    """Names with spaces and parentheses have always been: such runs must stay readable."""
    baseline("aaa_named", CLOSED_FORM.replace('"nearest"', repr(name)))
    assert find_system(name).name == name


def test_two_systems_of_one_name_in_one_file_are_refused(baseline: Callable[[str, str], Path]) -> None:
    path = baseline("aaa_twins", CLOSED_FORM + "SYSTEMS = (SYSTEM, SYSTEM)\n")
    with pytest.raises(InputError, match="One file defines two systems of the name 'nearest'") as raised:
        find_system("vmnet")
    assert str(raised.value.where) == str(path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def (", "SyntaxError: invalid syntax"),
        ("SYSTEM = System(name='x')", "NameError: name 'System' is not defined"),
        ("import sys; sys.exit('no license')", "SystemExit: no license"),
        ("SYSTEM = 3", "The file defines no system"),
        ("from fmn.models.baselines.vmnet import SYSTEM as SYSTEMS", "The file defines no system"),
    ],
)
def test_a_file_that_is_wrong_is_named(baseline: Callable[[str, str], Path], text: str, found: str) -> None:
    baseline("aaa_wrong", text)
    with pytest.raises(InputError, match=found) as raised:
        find_system("vmnet")
    assert "aaa_wrong" in str(raised.value.where)


@pytest.mark.usefixtures("made_features", "one_thread")
def test_a_system_is_one_file(workspace: Path, small: Config, baseline: Callable[[str, str], Path]) -> None:
    baseline("nearest", CLOSED_FORM)
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


# Another valid value of every key that some system ignores.
OTHERS: dict[str, Any] = {
    **{"memory.capacity": 3, "memory.space": "raw", "memory.update": 0.5, "memory.score_threshold": 0.9},
    **{"memory.novelty_threshold": 0.9, "memory.novelty": "max", "memory.when_full": "drop", "memory.read": "max"},
    **{"memory.temperature": 0.7, "memory.clamp": False, "memory.class_slots": False, "memory.write": "step"},
    **{"model.hidden_size": 6, "model.frame_stack": 3, "model.pooling": "last", "model.embed_dim": 6},
    **{"model.head": "linear", "model.head_hidden_size": 6, "model.score": "memory", "model.s1_exponent": 0.7},
    **{"model.step_attention": "mean", "model.dropout": 0.6, "video.windows": 3, "audio.n_mfcc": 5},
    **{"training.triplet": "off", "training.negatives": "all", "training.margin": 0.9},
    **{"training.triplet_temperature": 0.7, "training.triplet_weight": 0.3, "training.s1_weight": 0.1},
    **{"training.score_weight": 0.3, "training.slot_weight": 0.3, "training.batch_size": 4},
    **{"training.pairs_per_epoch": 16, "training.learning_rate": 0.1, "training.weight_decay": 0.1},
    **{"training.max_grad_norm": 0.01, "training.augment.noise": 0.9},
}


@pytest.mark.usefixtures("made_features", "one_thread")
@pytest.mark.parametrize("name", [name for name in system_names() if name != "zero_shot"])
def test_ignored_values_change_nothing(workspace: Path, small: Config, name: str) -> None:
    system, manifest = find_system(name), workspace / "manifests" / "train.jsonl"
    sections = {section for section, _, _ in (key.partition(".") for key in system.ignored)}
    assert sections <= {"video", "audio", "model", "memory", "training"}
    config = system.complete(system.adapt(with_values(small, {"system": name, "training.epochs": 2})))
    ignored = {key: value for key, value in OTHERS.items() if system.ignores(key, config)}
    if name == "fmn_no_memory":
        assert ignored.pop("memory.space")  # of the memories that stay empty
    other = with_values(config, ignored)
    histories, notes = [], []
    for number, each in enumerate((config, other)):
        notes.append(train(manifest, each, workspace / "runs" / str(number)).notes)
        state = read_run_state(workspace / "runs" / str(number))
        assert state is not None
        histories.append([{**figures, "pairs_per_s": 0.0} for figures in state.history])
    assert histories[0] == histories[1]
    found = [note for note in notes[1] if note.startswith(f"Not used by {name}: ")]
    assert len(found) == bool(ignored)
    assert all(f"{key}={value}" in found[0] for key, value in ignored.items())
