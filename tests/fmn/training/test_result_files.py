"""Files of something else in the output folder of a comparison or a study are not replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dataset_tools.core.errors import InputError
from fmn.cli.main import app
from fmn.training.result_files import check_result_files, set_aside_other_data

NAMES = ("ablation.json", "ablation.md")


def test_results_of_the_same_command_may_be_replaced(tmp_path: Path) -> None:
    """Of any version, and of a call that was killed between the files."""
    check_result_files(tmp_path / "new", NAMES, "fmn.ablation/1")
    (tmp_path / "ablation.json").write_text('{"format": "fmn.ablation/2"}')
    check_result_files(tmp_path, NAMES, "fmn.ablation/1")
    (tmp_path / "ablation.md").touch()
    check_result_files(tmp_path, NAMES, "fmn.ablation/1")
    (tmp_path / "ablation.json").write_text('{"schema": "fmn.ablation/1"}')
    check_result_files(tmp_path, NAMES, "fmn.ablation/1")


def test_results_of_other_data_are_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"manifest_sha256": "a", "seeds": 1}
    assert set_aside_other_data(tmp_path / "new", NAMES, values) is None
    (tmp_path / "ablation.json").write_text('{"manifest_sha256": "a", "seeds": 3}')
    (tmp_path / "ablation.md").write_text("table")
    assert set_aside_other_data(tmp_path, NAMES, values) is None
    said: list[str] = []
    for number in (1, 2):
        earlier = set_aside_other_data(tmp_path, NAMES, values | {"manifest_sha256": f"b{number}"}, said.append)
        assert said[number - 1 :] == [f"Earlier results, of other manifests, were moved to {earlier}"]
        assert earlier == tmp_path / f"earlier-results-{number}"
        assert {path.name for path in earlier.iterdir()} == set(NAMES)
        assert not any(path.is_file() for path in tmp_path.iterdir())
        (tmp_path / "ablation.json").write_text('{"format": "fmn.ablation/1", "manifest_sha256": "a"}')
        (tmp_path / "ablation.md").write_text("table")
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> None:
        if path.name == NAMES[0]:
            raise KeyboardInterrupt
        rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            set_aside_other_data(tmp_path, NAMES, values | {"manifest_sha256": "c"})
    assert not (tmp_path / NAMES[1]).exists()
    check_result_files(tmp_path, NAMES, "fmn.ablation/1")  # the next call does not take the rest for something else
    for content in ("[]", "{", "{}", '{"format": "fmn.ablation/0"}'):  # of a version that did not record them
        (tmp_path / "ablation.json").write_text(content)
        assert set_aside_other_data(tmp_path, NAMES, values) is None


@pytest.mark.parametrize("content", ['{"format": "fmn.tuned/1"}', "[]", "{", "{}", "\x00"])
def test_another_record_is_not_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "ablation.json").write_text(content)
    with pytest.raises(InputError) as raised:
        check_result_files(tmp_path, NAMES, "fmn.ablation/1")
    assert raised.value.where == str(tmp_path / "ablation.json")


@pytest.mark.usefixtures("made_features")
@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("compare", "compare.md"),
        ("compare --latex", "compare.tex"),
        ("noise", "noise.png"),
        ("noise --rates 20", "20/compare.csv"),
        ("ablate", "ablation.md"),
        ("tune", "tuned.json"),
        ("newclasses", "newclasses.md"),
    ],
)
def test_commands_refuse_before_they_train(workspace: Path, tmp_path: Path, command: str, name: str) -> None:
    out = tmp_path / "out"
    notes = out / name
    notes.parent.mkdir(parents=True)
    notes.write_text("my own notes")
    manifest = str(workspace / "manifests" / "train.jsonl")
    for dry_run in (["--dry-run"], []):
        ended = CliRunner().invoke(app, [*command.split(), manifest, "--out", str(out), *dry_run])
        assert ended.exit_code == 2, ended.output
        assert f"has a {notes.name} that the command did not write" in ended.stderr
        assert [path for path in out.rglob("*") if path.is_file()] == [notes]
        assert notes.read_text() == "my own notes"
