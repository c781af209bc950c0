"""An export that is killed resumes with the same bytes; a folder with something else in it is refused."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError, ManifestError, StoppedError
from dataset_tools.core.workspace import Workspace
from dataset_tools.exports import copy_batch, exporting, output_folder
from dataset_tools.exports.exporting import export_dataset
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.exports.planned_folder import PlannedFolder
from dataset_tools.exports.registry import FormatOptions

SMALL = FormatOptions(shard_bytes=15_000)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def killed_export(workspace: Workspace, name: str, folder: Path, at_name: int) -> bool:
    """Exports in a process that kills itself when a file is to get its name for the n-th time; whether it was."""
    child = os.fork()
    if child == 0:
        calls, named = iter(range(1, at_name)), Path.replace

        def replace(path: Path, target: Path) -> Path:
            if next(calls, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return named(path, target)

        Path.replace = replace  # type: ignore[method-assign,assignment]
        export_dataset(workspace, name, folder, options=SMALL)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads that other tests left
@pytest.mark.parametrize("name", ["csv", "croissant", "lhotse", "webdataset", "huggingface", "mteb"])
def test_killed_again_and_again_it_ends_with_the_same_bytes(workspace: Workspace, tmp_path: Path, name: str) -> None:
    if name in ("huggingface", "mteb"):
        pytest.importorskip("pyarrow")
    export_dataset(workspace, name, tmp_path / "whole", options=SMALL)
    whole = contents(tmp_path / "whole")
    kills = 0
    while killed_export(workspace, name, tmp_path / "killed", 1 + kills):
        kills += 1
        assert "SHA256SUMS" not in contents(tmp_path / "killed")
    assert kills > 3
    assert contents(tmp_path / "killed") == whole
    assert not list((tmp_path / "killed").rglob(".partial-*"))


def test_the_sums_are_those_of_the_files(workspace: Workspace, tmp_path: Path) -> None:
    import hashlib

    export_dataset(workspace, "csv", str(tmp_path / "out"))
    lines = (tmp_path / "out" / "SHA256SUMS").read_text().splitlines()
    listed = {line[66:]: line[:64] for line in lines}
    found = contents(tmp_path / "out")
    assert listed == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in found.items()
        if name not in ("SHA256SUMS", "export.json")
    }


@pytest.mark.parametrize("name", ["clips.csv", "clips/train-é.v0, 50%2E.mp4"])
def test_a_damaged_file_of_a_complete_export_is_written_again(workspace: Workspace, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    export_dataset(workspace, "csv", out)
    whole = contents(out)
    (out / name).write_bytes(b"damaged")
    summary = export_dataset(workspace, "csv", out)
    assert (summary.written, summary.kept) == (1, len(whole) - 3)
    assert contents(out) == whole


def test_a_folder_with_something_else_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="has other files"):
        export_dataset(workspace, "csv", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data set", "thesis.txt"]


def test_another_export_in_the_folder_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    export_dataset(workspace, "csv", tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(InputError, match="another export: format differ"):
        export_dataset(workspace, "webdataset", tmp_path / "out")
    with pytest.raises(InputError, match="another export: shard_bytes differ"):
        export_dataset(workspace, "csv", tmp_path / "out", options=SMALL)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("name", ["csv", "lhotse", "webdataset", "huggingface"])
def test_a_file_that_is_not_what_its_row_says_is_not_passed_on(workspace: Workspace, tmp_path: Path, name: str) -> None:
    if name == "huggingface":
        pytest.importorskip("pyarrow")
    changed = sorted(workspace.speech.iterdir())[2]
    changed.write_bytes(b"RIFF of another")
    with pytest.raises(ManifestError, match="content has changed"):
        export_dataset(workspace, name, tmp_path / "out")
    assert not any(b"of another" in content for content in contents(tmp_path / "out").values())
    assert not (tmp_path / "out" / "SHA256SUMS").exists()


@pytest.mark.parametrize("name", ["huggingface", "mteb"])
def test_without_a_library_that_it_needs_an_export_leaves_no_folder(
    workspace: Workspace, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="pyarrow"):
        export_dataset(workspace, name, tmp_path / "new" / "deep" / "out")
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="pyarrow"):
        export_dataset(workspace, name, tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_disk_that_is_full_from_the_start_leaves_no_folder(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoppedError("The disk is full")

    monkeypatch.setattr(output_folder, "write_bytes", full)
    with pytest.raises(StoppedError, match="full"):
        export_dataset(workspace, "csv", tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("is_there", [True, False])
def test_an_export_whose_first_file_fails_leaves_nothing_that_the_next_one_is_refused_for(
    tmp_path: Path, is_there: bool
) -> None:
    def fail(partial: Path) -> None:
        partial.write_text("half of it")
        raise StoppedError("The disk is full")

    if is_there:
        (tmp_path / "out").mkdir()
    with pytest.raises(StoppedError, match="full"), OutputFolder(tmp_path / "out", {"schema": "a"}) as output:
        output.add("data/of/one.csv", fail)
    assert list(tmp_path.rglob("*")) == ([tmp_path / "out"] if is_there else [])
    with OutputFolder(tmp_path / "out", {"schema": "b"}) as output:
        output.add_text("data/of/one.csv", "all of it")


def test_one_export_at_a_time(workspace: Workspace, tmp_path: Path) -> None:
    with (
        output_folder.OutputFolder(tmp_path / "out", {"schema": "a"}),
        pytest.raises(StoppedError, match="Another command"),
        output_folder.OutputFolder(tmp_path / "out", {"schema": "a"}),
    ):
        pass


def test_a_data_set_that_changes_meanwhile_is_not_taken_for_complete(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = output_folder.OutputFolder.copy

    def copy_while_another_command_writes(self: output_folder.OutputFolder, *arguments: object) -> None:
        (workspace.manifests / "split.json").write_text("{}")
        copy(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(output_folder.OutputFolder, "copy", copy_while_another_command_writes)
    with pytest.raises(StoppedError, match="changed during the export"):
        export_dataset(workspace, "csv", tmp_path / "out")
    assert not (tmp_path / "out" / "SHA256SUMS").exists()


@pytest.mark.parametrize("name", ["clips", "manifests/out", "cache/x/y"])
def test_the_folders_of_the_data_set_itself_are_refused(workspace: Workspace, name: str) -> None:
    before = contents(workspace.root)
    with pytest.raises(InputError, match="belongs to the workspace"):
        export_dataset(workspace, "csv", workspace.root / name)
    assert contents(workspace.root) == before


def test_beside_them_an_export_may_lie(workspace: Workspace) -> None:
    export_dataset(workspace, "csv", workspace.root / "shared")
    assert (workspace.root / "shared" / "SHA256SUMS").is_file()


@pytest.mark.parametrize("name", ["file", "file/folder"])
def test_a_file_in_the_place_of_the_folder_is_refused(workspace: Workspace, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="There is a file"):
        export_dataset(workspace, "csv", tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(("limit", "value"), [("_MOST_FILES", 3), ("_MOST_BYTES", 1)])
def test_media_are_copied_in_batches(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    folders = []
    made = tempfile.mkdtemp

    def mkdtemp(*arguments: object, **options: object) -> str:
        folders.append(options)
        return str(made(*arguments, **options))  # type: ignore[call-overload]

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    export_dataset(workspace, "csv", tmp_path / "whole")
    assert len(folders) == 7  # one for all eight media; export.json, SHA256SUMS, three tables, README.md
    monkeypatch.setattr(copy_batch, limit, value)
    export_dataset(workspace, "csv", tmp_path / "batches")
    assert contents(tmp_path / "batches") == contents(tmp_path / "whole")


@pytest.mark.parametrize("name", ["../a", "/a", "a/../b", "./a", "", ".", "a//b", "once", "export.json", "SHA256SUMS"])
@pytest.mark.parametrize("kind", [OutputFolder, PlannedFolder])
def test_a_name_outside_the_folder_or_of_another_file_is_refused(
    name: str, kind: type[OutputFolder], tmp_path: Path
) -> None:
    with kind(tmp_path / "out", {}) as output:
        output.add_text("once", "1")
        for add in (output.add_text, lambda name, text: output.copy(name, Path(__file__), "0" * 64, lambda *_: None)):
            with pytest.raises(InputError, match=r"is no path in the folder|two files of the name"):
                add(name, "2")
        output.add_text("a/b", "3")
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if kind is OutputFolder else [])


def test_a_format_cannot_write_the_card(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The license, and what was withheld, are stated there."""
    monkeypatch.setattr(
        exporting, "find_format", lambda _: lambda rows, output, _: output.add_text("README.md", "mine")
    )
    with pytest.raises(InputError, match=r"two files of the name README\.md"):
        export_dataset(workspace, "mine", tmp_path / "out")
