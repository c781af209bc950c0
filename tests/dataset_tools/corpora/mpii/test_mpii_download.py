"""The corpus as a download: consent, records, single videos, and what differs from the files that others had."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dataset_tools.cli.main import app
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.mpii import mpii_download
from dataset_tools.corpora.mpii.mpii_corpus import MAT_NAME, find_mat, open_corpus


def test_nothing_is_asked_for_without_consent(home: Any, tmp_path: Path, download: Callable) -> None:
    with pytest.raises(InputError, match="scientific purposes") as caught:
        download(tmp_path / "root", accept_licence=False)
    assert caught.value.next_step == "read them there, then run the same command with --accept-licence"
    assert home.asked == []
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("options", [[], ["--videos", "needed"]])
def test_the_command_with_dry_run_says_what_would_be_fetched(tmp_path: Path, options: list[str]) -> None:
    nowhere = ["--home", "http://127.0.0.1:9/"]
    command = ["download", str(tmp_path / "there"), "--dry-run", "-w", str(tmp_path), *nowhere, *options]
    assert CliRunner().invoke(app, command).exit_code == 2
    done = CliRunner().invoke(app, [*command, "--accept-licence"], env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    assert f"{MAT_NAME}, 114.3 MB" in done.output
    number = 3 if options else 4
    assert f"{number} files would be fetched: 114.3 MB, and {number - 1} files of unknown size" in done.output
    assert f"{number - 2} archive" in done.output
    wrong = CliRunner().invoke(app, [*command, "--accept-licence", "--class-file", str(tmp_path / "none.yaml")])
    assert wrong.exit_code == (2 if options else 0)
    assert not list(tmp_path.iterdir())


def test_a_wrong_class_file_is_refused_before_anything_is_fetched(home: Any, tmp_path: Path) -> None:
    command = ["download", str(tmp_path / "there"), "--accept-licence", "--videos", "needed", "--home", home.url]
    assert CliRunner().invoke(app, [*command, "--class-file", str(tmp_path / "none.yaml")]).exit_code == 2
    assert (home.asked, (tmp_path / "there").exists()) == ([], False)


@pytest.mark.parametrize("home", ["http://owner:s3cret@127.0.0.1:9/", "ftp://s3cret@127.0.0.1:9/"])
def test_a_password_in_the_address_is_refused_and_neither_shown_nor_kept(home: str, tmp_path: Path) -> None:
    command = ["download", str(tmp_path / "there"), "--accept-licence", "--only", "sentences", "--home", home]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "holds a user name or a password" in done.output
    assert "s3cret" not in done.output
    assert not (tmp_path / "there").exists()


def test_a_corpus_is_fetched_unpacked_and_recorded_through_every_trouble(
    home: Any, tmp_path: Path, download: Callable, videos: dict[str, bytes]
) -> None:
    root = tmp_path / "root"
    home.behavior = [700, "serve", "503", "serve", 50, "ignore", 5_000, "stall", "shifted", 90_000, "serve"]
    summary = download(root)
    assert len(home.asked) > 10
    assert {path.name: path.read_bytes() for path in (root / "videos").iterdir()} == videos
    assert (root / "TACoS-Multi-Level-1.0" / "corpus" / "s07-d20.txt").read_text() == "He cuts.\n" * 99
    assert (root / "TACoS-Multi-Level-1.0" / "README").read_text() == "about it"
    assert len(open_corpus(str(root)).videos) == 3  # of the documented functions, paths may be str
    hashes = {
        address.rpartition("/")[2]: hashlib.sha256(content).hexdigest() for address, content in home.files.items()
    }
    assert summary.files == hashes
    assert set(summary.unchecked) == set(hashes)
    assert {name: row["sha256"] for name, row in json.loads((root / "DOWNLOADS.json").read_text()).items()} == hashes
    assert sorted(path.name for path in tmp_path.rglob("outside*")) == []
    assert not [path for path in root.iterdir() if path.name.endswith((".part", ".json")) and path.name[0] == "."]
    assert not (root / ".unpacking").exists()
    asked = len(home.asked)
    (root / "MPII-Cooking-2-videos.tar.gz").unlink()  # to save room: it was unpacked
    assert download(root).fetched == ()
    assert len(home.asked) == asked


def test_a_later_download_must_be_the_first_one_again(home: Any, tmp_path: Path, download: Callable) -> None:
    root = tmp_path / "root"
    download(root, parts=("annotations",))
    path = root / "annos.mat-README.txt"
    path.write_bytes(path.read_bytes()[::-1])  # damaged on the disk: of the same size
    assert download(root, parts=("annotations",)).fetched == ()
    assert download(root, parts=("annotations",), hash_again=True).fetched == (path.name,)
    assert path.read_bytes() == home.files[f"annos/{path.name}"]
    path.unlink()
    home.files[f"annos/{path.name}"] = b"other words\n"
    with pytest.raises(InputError, match="differs from the first download"):
        download(root, parts=("annotations",))
    assert not path.exists()


def test_single_videos_come_one_by_one_and_one_that_is_missing_keeps_none_back(
    home: Any, tmp_path: Path, download: Callable, videos: dict[str, bytes]
) -> None:
    root = tmp_path / "root"
    content = {name: b"RIFF" + data for name, data in videos.items()}
    home.files |= {f"videos/{name}": data for name, data in content.items()}
    names = ["s07-d20-cam-002", "s99-d99-cam-002", "s10-d20-cam-002"]
    summary = download(root, parts=("videos",), videos=names)
    assert {path.name for path in (root / "videos").iterdir()} == {f"{name}.avi" for name in (names[0], names[2])}
    assert (root / "videos" / f"{names[0]}.avi").read_bytes() == content[f"{names[0]}.avi"]
    assert summary.refused == ("videos/s99-d99-cam-002.avi",)
    assert not [path for path, _ in home.asked if path.endswith(".gz")]
    asked = len(home.asked)
    assert download(root, parts=("videos",), videos=names[:1]).fetched == ()
    assert len(home.asked) == asked


def test_a_file_that_others_had_otherwise_is_told_and_taken(
    home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, download: Callable
) -> None:
    content = home.files[f"annos/{MAT_NAME}"]
    assert MAT_NAME in mpii_download.KNOWN
    differing = download(tmp_path / "a", parts=("annotations",)).differing
    assert len(differing) == 1
    assert f"{len(content):,} bytes instead of 114,303,918" in differing[0]
    known = {MAT_NAME: (len(content), hashlib.sha256(content).hexdigest())}
    monkeypatch.setattr(mpii_download, "KNOWN", known)
    assert download(tmp_path / "b", parts=("annotations",)).differing == ()


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_a_dry_run_names_what_the_download_fetches_and_asks_no_server(
    home: Any, tmp_path: Path, download: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    names = {address.rpartition("/")[2]: len(content) for address, content in home.files.items()}
    monkeypatch.setattr(mpii_download, "KNOWN", {MAT_NAME: (names[MAT_NAME], "")})

    def planned(**options: Any) -> Any:
        before, asked = contents(tmp_path), len(home.asked)
        summary = download(root, dry_run=True, **options)
        assert (contents(tmp_path), len(home.asked), summary.dry_run) == (before, asked, True)
        return summary

    archives = {name for name in names if name.endswith((".zip", ".tar.gz"))}
    with pytest.raises(InputError, match="scientific purposes"):
        planned(accept_licence=False)
    said = planned()
    assert said.sizes_bytes == {**dict.fromkeys(names), MAT_NAME: names[MAT_NAME]}
    assert set(said.to_unpack) == archives
    done = download(root)
    assert (done.fetched, done.sizes_bytes, done.dry_run) == (said.fetched, names, False)
    assert (planned().fetched, planned().to_unpack) == ((), ())

    for name in archives:
        (root / name).unlink()  # unpacked: not needed again
    readme = root / "annos.mat-README.txt"
    readme.write_bytes(readme.read_bytes()[::-1])
    assert planned().fetched == ()
    assert planned(hash_again=True).sizes_bytes == {readme.name: names[readme.name]}
    assert download(root, hash_again=True).fetched == (readme.name,)
    (root / "DOWNLOADS.json").write_text("[")
    with pytest.raises(InputError, match="cannot be read"):
        planned()


@pytest.mark.slow
def test_the_command_fetches_the_videos_that_the_build_cuts(
    home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_corpus: Path
) -> None:
    home.files[f"annos/{MAT_NAME}"] = find_mat(small_corpus).read_bytes()
    for path in (small_corpus / "videos").iterdir():
        home.files[f"videos/{path.name}"] = path.read_bytes()
    root, place = tmp_path / "mpii", tmp_path / "workspace"
    chosen = ["--classes", "2", "--per-class", "1"]
    command = ["download", str(root), "-w", str(place), "--accept-licence", "--home", home.url, "--videos", "needed"]
    assert "needed videos are not counted" in CliRunner().invoke(app, [*command, *chosen, "--dry-run"]).output
    assert not root.exists()
    assert CliRunner().invoke(app, [*command, *chosen, "--only", "annotations"]).exit_code == 0
    before = contents(tmp_path)
    dry = json.loads(CliRunner().invoke(app, [*command, *chosen, "--dry-run", "--json"]).stdout)
    assert (dry["videos_known"], contents(tmp_path)) == (True, before)
    done = CliRunner().invoke(app, [*command, *chosen])
    assert done.exit_code == 0, done.output
    there = {path.name for path in (root / "videos").iterdir()}
    assert set(dry["fetched"]) == {f"videos/{name}" for name in there} | {"TACoS-Multi-Level-1.0.zip"}
    assert f"{len(dry['fetched'])} files fetched" in done.output
    assert 1 <= len(there) < len(list((small_corpus / "videos").iterdir()))
    (advice,) = (line.partition("fmn-data ")[2] for line in done.output.splitlines() if "next:" in line)
    built = CliRunner().invoke(app, [*shlex.split(advice), "-w", str(place), "--no-speech"])
    assert built.exit_code == 0, built.output
    clips = [json.loads(line) for line in (place / "manifests" / "clips.jsonl").read_text().splitlines()[1:]]
    assert {f"{clip['video']}.avi" for clip in clips} == there
