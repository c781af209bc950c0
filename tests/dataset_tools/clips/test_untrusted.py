"""A data set of somebody else: what is safe is said to be, and every way to harm who uses it is found."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import pytest
from typer.testing import CliRunner

from dataset_tools.build.untrusted import LONGEST_LINE, check_untrusted
from dataset_tools.cli.main import app
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.annotations.formats import FORMATS
from dataset_tools.speech.booth.skips import Skips
from fmn.training.run_lock import run_lock


def verdict(place: Workspace) -> tuple[int, str]:
    ended = CliRunner().invoke(app, ["verify", "--untrusted", str(place.root), "--jobs", "1"])
    return ended.exit_code, ended.output


def change(place: Workspace, manifest: str, **fields: object) -> None:
    path = place.manifests / manifest
    first, *others = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | fields), *others]) + "\n", "utf-8")


def test_a_data_set_as_the_toolkit_writes_it_is_safe(dataset: Workspace) -> None:
    report = check_untrusted(dataset.root, jobs=2)
    assert report.problems == ()
    assert (report.files, report.rows, report.media) == (12, 12, 8)
    code, said = verdict(dataset)
    assert code == 0
    assert "safe to use" in said
    assert "8 media files" in said


@pytest.mark.parametrize("number", [1, 5, 21])
def test_a_class_file_of_any_number_of_classes_is_part_of_a_data_set(dataset: Workspace, number: int) -> None:
    dataset.annotations.mkdir(exist_ok=True)
    classes = "".join(f"  - {{action: show, subject: pose-{n}}}\n" for n in range(number))
    (dataset.annotations / "classes.yaml").write_text(f"schema: fmn.classes/1\nclasses:\n{classes}")
    assert check_untrusted(dataset.root, jobs=2).problems == ()


def test_skips_of_the_booth_are_part_of_a_data_set(dataset: Workspace) -> None:
    Skips(dataset.annotations / "skips.jsonl").add("s08-d20_000041-000080", "He cuts a carrot.", "pronunciation")
    assert check_untrusted(dataset.root, jobs=2).problems == ()


def test_annotations_and_sentences_of_every_format_are_part_of_a_data_set(dataset: Workspace) -> None:
    dataset.annotations.mkdir(exist_ok=True)
    for suffix in {".tsv", ".txt", *(kind.suffix for kind in FORMATS.values() if kind.suffix)}:
        (dataset.annotations / f"kitchen{suffix}").write_text("text")
    assert check_untrusted(dataset.root, jobs=2).problems == ()


def test_the_lock_of_a_run_is_no_danger_unless_it_holds_something(dataset: Workspace) -> None:
    with run_lock(dataset.root / "runs" / "fmn-demo"):
        (dataset.root / "runs" / "fmn-demo" / "config.json").write_text("{}")
    lock = dataset.root / "runs" / "fmn-demo" / ".lock"
    assert lock.is_file()
    assert check_untrusted(dataset.root, jobs=2).problems == ()
    lock.write_bytes(b"x")
    (problem,) = check_untrusted(dataset.root, jobs=2).problems
    assert problem == "runs/fmn-demo/.lock: it has 1 bytes, at most 0 are allowed"


def test_nothing_is_written(dataset: Workspace) -> None:
    before = {path: path.stat().st_mtime_ns for path in dataset.root.rglob("*")}
    verdict(dataset)
    assert {path: path.stat().st_mtime_ns for path in dataset.root.rglob("*")} == before


def link_out(root: Path) -> None:
    (root.parent / "secret").write_text("secret")
    (root / "clips" / "x.mp4").symlink_to(root.parent / "secret")


def folder_out(root: Path) -> None:
    (root / "recordings").symlink_to("/etc")


def link_to_itself(root: Path) -> None:
    (root / "speech" / "x.wav").symlink_to("x.wav")


def a_pickle(root: Path) -> None:
    (root / "runs" / "fmn").mkdir(parents=True)
    (root / "runs" / "fmn" / "model.pt").write_bytes(pickle.dumps({"a": 1}))


def a_feature(root: Path) -> None:
    (root / "cache" / "features").mkdir(parents=True)
    (root / "cache" / "features" / "x.npy").write_bytes(b"\x93NUMPY")


def a_server(root: Path) -> None:
    (root / "annotations" / "label-studio").mkdir(parents=True)
    (root / "annotations" / "label-studio" / "projects.json").write_text("{}")


def a_pipe(root: Path) -> None:
    os.mkfifo(root / "manifests" / "pairs.jsonl")


def a_long_line(root: Path) -> None:
    (root / "manifests" / "pairs.jsonl").write_bytes(b" " * (LONGEST_LINE + 1))


def a_huge_file(root: Path) -> None:
    with (root / "speech" / "x.wav").open("wb") as file:
        file.truncate(2**33)  # a hole: it takes no room


def a_page(root: Path) -> None:
    (root / "report.html").write_text("<script>")


@pytest.mark.parametrize(
    ("harm", "named", "said"),
    [
        (link_out, "clips/x.mp4", "out of the folder"),
        (folder_out, "recordings", "out of the folder"),
        (link_to_itself, "speech/x.wav", "link"),
        (a_pickle, "runs/fmn/model.pt", "no such file"),
        (a_feature, "cache/features/x.npy", "remove the folder"),
        (a_server, "annotations/label-studio/projects.json", "remove the folder"),
        (a_pipe, "manifests/pairs.jsonl", "pipe"),
        (a_long_line, "manifests/pairs.jsonl", "line"),
        (a_huge_file, "speech/x.wav", "bytes"),
        (a_page, "report.html", "no such file"),
    ],
)
def test_what_does_not_belong_into_a_data_set(
    dataset: Workspace, harm: Callable[[Path], None], named: str, said: str
) -> None:
    harm(dataset.root)
    (problem,) = check_untrusted(dataset.root).problems
    assert problem.startswith(f"{named}: ")
    assert said in problem
    code, output = verdict(dataset)
    assert code == 2
    assert problem in output
    assert "not safe to use, 1 problem" in output


def test_many_files_of_a_folder_are_one_problem(dataset: Workspace) -> None:
    for name in ("cache/features/a/{}.npy", "report/{}.html", "report/media/{}.html", "recordings/{}.pt", "{}.py"):
        (dataset.root / name).parent.mkdir(parents=True, exist_ok=True)
        for number in range(30):
            (dataset.root / name.format(number)).touch()
    (dataset.root / "report" / "link").symlink_to("0.html")
    unknown = "a data set has no such file; it could contain code (pickles, scripts, pages); remove it"
    report = check_untrusted(dataset.root)
    cache, *others = sorted(report.shown, key=lambda problem: not problem.startswith("cache/"))
    assert cache.startswith(
        "cache/features/a/0.npy, cache/features/a/1.npy, cache/features/a/10.npy, and 27 more: cache/ from"
    )
    assert sorted(others) == [
        f"0.py, 1.py, 10.py, and 27 more: {unknown}",
        f"recordings/0.pt, recordings/1.pt, recordings/10.pt, and 27 more: {unknown}",
        f"report/0.html, report/1.html, report/10.html, and 57 more: {unknown}",
        "report/link: it is a symbolic link; replace it with the file itself",
    ]
    code, said = verdict(dataset)
    assert code == 2
    assert "5 problems" in said
    assert "10.py, and 27 more: " in said
    assert "rows: not read" in said
    assert "media: not opened" in said
    arguments = ["verify", "--untrusted", str(dataset.root), "--jobs", "1", "--json"]
    told = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert len(told["problems"]) == 5
    for number in range(30):  # the object names every file
        assert any(f"recordings/{number}.pt" in problem for problem in told["problems"])
    assert "more:" not in "".join(told["problems"])


def test_every_wrong_row_is_listed(dataset: Workspace) -> None:
    path = dataset.manifests / "clips.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    rows[0]["path"], rows[2]["sha256"] = "../../etc/passwd", "../x"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (dataset.manifests / "build.json").write_text("[" * 100_000)
    problems = check_untrusted(dataset.root).problems
    assert [f"{path}, line {number}" in problem for number, problem in zip((1, 3), problems, strict=False)] == [
        True
    ] * 2
    assert "build.json" in problems[2]
    assert len(problems) == 3


def test_a_file_that_is_not_what_its_row_says(dataset: Workspace) -> None:
    changed = sorted(dataset.speech.iterdir())[0]
    changed.write_bytes(changed.read_bytes() + b"\0")
    (problem,) = check_untrusted(dataset.root).problems
    assert f"speech/{changed.name}" in problem


def test_a_list_of_files_is_no_clip(dataset: Workspace) -> None:
    """FFmpeg takes it for a video of the other file: its hash would be that of the list."""
    clip, other = sorted(dataset.clips.iterdir())[:2]
    clip.write_text(f"ffconcat version 1.0\nfile {other.name}\n")
    change(dataset, "clips.jsonl", sha256=sha256_of(clip))
    (problem,) = check_untrusted(dataset.root).problems
    assert f"clips/{clip.name}" in problem
    assert "cannot be opened" in problem


def test_a_picture_that_is_larger_than_its_row_is_not_decoded(dataset: Workspace) -> None:
    change(dataset, "clips.jsonl", width=2**14, height=2**14)
    (problem,) = check_untrusted(dataset.root).problems
    assert "(0," in problem  # no frame was decoded


def test_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set"):
        check_untrusted(tmp_path)


def _change_clip(place: Workspace, make: Callable[[Path, Path, dict[str, Any]], None]) -> tuple[int, str]:
    """The verdict when the first clip is another file, of which its row says what is true."""
    row = json.loads((place.manifests / "clips.jsonl").read_text("utf-8").splitlines()[0])
    clip, changed = place.root / row["path"], place.root.parent / "changed.mp4"
    make(clip, changed, row)
    changed.replace(clip)
    change(place, "clips.jsonl", sha256=sha256_of(clip))
    with av.open(str(clip)) as container:  # as before, for who looks at the first stream and its header
        stream = container.streams.video[0]
        assert (stream.width, stream.height, float(stream.average_rate)) == (row["width"], row["height"], row["fps"])
        assert sum(1 for _ in container.decode(stream)) == row["frames"]
    return verdict(place)


def _ffmpeg(*arguments: object) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *map(str, arguments)], check=True)


def test_a_second_video_beside_the_one_that_is_checked_is_not_safe(dataset: Workspace) -> None:
    def make(clip: Path, changed: Path, row: dict[str, Any]) -> None:
        large = ("-f", "lavfi", "-i", f"color=s=2000x2000:r={row['fps']}:d={row['frames'] / row['fps']}")
        streams = ("-map", "0:v", "-map", "1:v", "-c:v:0", "copy", "-c:v:1", "mpeg4", "-disposition:v:0", "0")
        _ffmpeg("-i", clip, *large, *streams, "-disposition:v:1", "default", changed)

    code, said = _change_clip(dataset, make)
    assert code == 2
    assert "video, video" in said


def test_pictures_that_grow_in_between_are_not_safe(dataset: Workspace) -> None:
    def make(clip: Path, changed: Path, row: dict[str, Any]) -> None:
        raw = changed.with_suffix(".h264")
        content = b""
        size = f"{row['width']}x{row['height']}"
        for pictures, of_size in ((row["frames"] - 2, size), (1, "2000x2000"), (1, size)):
            _ffmpeg("-f", "lavfi", "-i", f"color=s={of_size}:r={row['fps']}", "-frames:v", pictures, "-bf", 0, raw)
            content += raw.read_bytes()
        raw.write_bytes(content)
        _ffmpeg("-r", row["fps"], "-i", raw, "-c", "copy", changed)

    code, said = _change_clip(dataset, make)
    assert code == 2
    assert "frames" in said
