from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

import fmn.comparison.comparison_runs
from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.manifests import SplitPairRow, read_rows
from fmn.cli.main import app
from fmn.comparison.comparison_plan import Comparison, plan_comparison
from fmn.config import Config
from fmn.data.items import load_items
from fmn.studies.noise import study_noise
from fmn.studies.noise_figures import noise_tables, write_noise_plot
from fmn.studies.wrong_pairs import write_noisy_manifest
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


def manifest_of(workspace: Path) -> Path:
    return workspace / "manifests" / "train.jsonl"


def noisy_rows(workspace: Path, percent: float, seed: int = 0) -> list[SplitPairRow]:
    path = workspace / "noisy" / "train.jsonl"
    write_noisy_manifest(load_items(manifest_of(workspace)), percent, seed, path)
    return list(read_rows(path, SplitPairRow))


def wrong_in(rows: list[SplitPairRow], workspace: Path) -> set[str]:
    """Utterances whose clip is not the one that the untouched manifest names; their class has to be another, too."""
    true = {row.utterance.id: row.utterance for row in read_rows(manifest_of(workspace), SplitPairRow)}
    moved = {row.utterance.id for row in rows if row.clip.id != true[row.utterance.id].clip}
    changed = {row.utterance.id for row in rows if row.clip.class_id != true[row.utterance.id].class_id}
    assert moved == changed
    return moved


# Four classes of five clips, one of each in fold 0: 16 fitted pairs and 4 of fold 0.
@pytest.mark.parametrize(
    ("percent", "fitted", "held"), [(0, 0, 0), (12.5, 2, 0), (50, 8, 2), (75, 12, 3), (100, 16, 4)]
)
def test_the_share_of_wrong_pairs_is_exact_in_fold_0_and_in_the_rest(
    workspace: Path, percent: float, fitted: int, held: int
) -> None:
    rows = noisy_rows(workspace, percent)
    wrong = wrong_in(rows, workspace)
    assert (
        Counter(row.fold == 0 for row in rows if row.utterance.id in wrong)
        == Counter({False: fitted, True: held}) - Counter()
    )
    before = list(read_rows(manifest_of(workspace), SplitPairRow))
    spoken = [row for row in before if row.utterance.clip == row.clip.id]
    for side in ("clip", "utterance"):  # every item once, on its side of the split
        now, then = (Counter((getattr(row, side).id, row.fold == 0) for row in several) for several in (rows, spoken))
        assert now == then
    assert all(row.utterance.clip == row.clip.id for row in rows)
    assert {row.clip.id: row.clip for row in rows} == {row.clip.id: row.clip for row in before}
    kept = {row.utterance.id: row.utterance for row in spoken}
    for row in rows:  # the recording and all that is known of it stay
        assert (row.utterance.sha256, row.utterance.text) == (
            kept[row.utterance.id].sha256,
            kept[row.utterance.id].text,
        )


def test_the_seed_draws_the_wrong_pairs_and_more_noise_keeps_them(workspace: Path) -> None:
    path = workspace / "noisy" / "train.jsonl"
    few = wrong_in(noisy_rows(workspace, 50), workspace)
    first = path.read_bytes()
    assert wrong_in(noisy_rows(workspace, 50, seed=1), workspace) != few
    assert path.read_bytes() != first
    assert wrong_in(noisy_rows(workspace, 50), workspace) == few
    assert path.read_bytes() == first
    assert few < wrong_in(noisy_rows(workspace, 75), workspace)


def test_wrong_clips_are_of_many_classes(workspace: Path) -> None:
    """Noise that always took one class for one other would be another kind of noise."""
    true = {row.utterance.id: row.utterance.class_id for row in read_rows(manifest_of(workspace), SplitPairRow)}
    kinds = {(true[row.utterance.id], row.clip.class_id) for row in noisy_rows(workspace, 100)}
    assert len(kinds) > 6  # of 12


def test_too_few_pairs_are_refused(workspace: Path) -> None:
    with pytest.raises(InputError, match=r"1 of 4 pairs \(fold 0\)"):
        noisy_rows(workspace, 25)
    assert not (workspace / "noisy").exists()


@pytest.fixture
def planned(workspace: Path, small_changes: dict[str, Any]) -> Comparison:
    manifests = workspace / "manifests"
    return plan_comparison(
        manifests / "train.jsonl",
        manifests / "test.jsonl",
        workspace / "runs" / "noise",
        models=["fmn", "two_classifiers"],
        changes=small_changes | {"memory.capacity": 4, "training.labels": "pairs"},
        budget=1,
        seeds=1,
        device="cpu",
    )


def test_a_study_trains_on_noise_tests_on_what_was_there_and_goes_on(
    workspace: Path, planned: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Path] = []

    def noting(manifest: Path, config: Config, run: Path, **options: object) -> object:
        if len(trained) == 5:
            raise KeyboardInterrupt
        trained.append(run)
        return train(manifest, config, run, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(fmn.comparison.comparison_runs, "train", noting)
    test = (workspace / "manifests" / "test.jsonl").read_bytes()
    before = manifest_of(workspace).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        study_noise(planned, [50, 0])
    done = list(trained)
    trained.clear()
    found = study_noise(planned, [0, 50])
    # Two systems, each tried on fold 0 and trained on all folds, at two rates: 8 runs, of which 5 were there.
    assert len(trained) == 3
    assert not set(trained) & set(done)
    assert not found.failed
    assert (workspace / "manifests" / "test.jsonl").read_bytes() == test
    assert manifest_of(workspace).read_bytes() == before

    folder = planned.folder
    assert json.loads((folder / "noise.json").read_text()) == found.values
    assert [(rate["percent"], rate["wrong"], rate["pairs"]) for rate in found.values["rates"]] == [
        (0, 0, 20),
        (50, 10, 20),
    ]
    assert found.values["rates"][1]["queries"] == {"audio_to_video": 12, "video_to_audio": 12}
    assert (folder / "noise.png").read_bytes().startswith(b"\x89PNG")
    for rate in found.values["rates"]:  # the very figures of the runs' own evaluation of the test items
        name = "two_classifiers"
        (run,) = (folder / str(rate["percent"]) / name).glob("*-refit*/0")
        metrics = json.loads((run / "metrics.json").read_text())
        shown = rate["systems"][name]["metrics"]["audio_to_video"]["class_map"]["all"]["mean"]
        assert shown == pytest.approx(metrics["audio_to_video"]["class_map"])
    text = (folder / "noise.md").read_text()
    assert "0 of 20, 10 of 20" in text
    assert "No class label is known in training" in text
    first = noise_tables(found.values)[0]
    assert [row.cells[0] for section in first.sections for row in section] == [
        *("two_classifiers", "fmn", "chance", "two_classifiers less fmn")
    ]
    difference = found.values["rates"][1]["systems"]["two_classifiers"]["difference"]["audio_to_video"]["class_map"]
    means = [
        found.values["rates"][1]["systems"][name]["metrics"]["audio_to_video"]["class_map"]["all"]["mean"]
        for name in ("two_classifiers", "fmn")
    ]
    assert difference["all"]["mean"] == pytest.approx(np.subtract(*means))
    assert f"{np.subtract(*means):+.1f}" in first.sections[2][0].cells[2]

    planned.test.write_bytes(test + b"\n")  # as between two rates
    with pytest.raises(StoppedError, match="The manifest was changed"):
        study_noise(planned, [0])


def test_every_point_is_in_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []

    def keep(figure: Figure, path: Path, **_: object) -> None:
        drawn.append(figure)
        path.touch()

    monkeypatch.setattr(Figure, "savefig", keep)
    means = {"audio_to_video": [12.0, 8.0], "video_to_audio": [60.0, 41.0]}

    def rate(place: int) -> dict[str, object]:
        def of(mean: float, sd: float | None) -> dict[str, object]:
            return {"class_map": {"all": {"mean": mean, "sd": sd}}}

        metrics = {direction: of(values[place], 2.0) for direction, values in means.items()}
        chance = {direction: {"class_map": {"all": 5.0}} for direction in means}
        systems = {"fmn": {"metrics": metrics}, "broken": {"error": {}}}
        return {"percent": 10 * place, "references": {"chance": chance}, "systems": systems}

    values = {"rates": [rate(0), rate(1)], "changes": {}, "stand_in": True}
    write_noise_plot(values, tmp_path / "noise.png")
    for axis, (direction, expected) in zip(drawn[0].axes, means.items(), strict=True):
        lines = {line.get_label(): line for line in axis.lines if not str(line.get_label()).startswith("_")}
        fmn = next(container for container in axis.containers if container.get_label() == "fmn")[0]
        assert fmn.get_ydata().tolist() == expected, direction
        assert lines["chance"].get_ydata().tolist() == [5.0, 5.0]
        bottom, top = axis.get_ylim()
        assert bottom == 0
        assert top > 62


def test_all_rates_are_checked_before_anything_is_trained(planned: Comparison) -> None:
    with pytest.raises(InputError, match=r"At 25 %, 1 of \d+ pairs"):
        study_noise(planned, [0, 25])
    assert not planned.folder.exists()


def test_the_command_plans_and_refuses(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    planned = CliRunner().invoke(app, ["noise", "--rates", "0, 50", "--models", "fmn,kcca", "--dry-run", "--json"])
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["runs"] == 2 * 2 * (1 + 3)  # rates, systems, tried and seeds
    for rates, found in (("0,x", "'x' is not a rate"), ("100", "'100' is not a rate"), ("", "'' is an empty list")):
        refused = CliRunner().invoke(app, ["noise", "--rates", rates])
        assert refused.exit_code == 2
        assert found in refused.output
    checked = CliRunner().invoke(app, ["noise", "--rates", "25", "--dry-run"])
    assert checked.exit_code == 2
    assert "At 25 %" in checked.output
    assert not (workspace / "runs").exists()
