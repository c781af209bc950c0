"""The report says what the manifests and the ledger say, and shows the right pictures."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

import av
import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from dataset_tools.classes.reader import load_classes
from dataset_tools.cli.main import app
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, append_reviews, reviews_path
from dataset_tools.manifests import ClipRow, SpeakerFacts, UtteranceRow, read_rows, write_rows
from dataset_tools.report.histogram import histogram
from dataset_tools.report.page import write_report
from dataset_tools.report.statistics import describe_dataset
from dataset_tools.speech.recordings.consents import note_speakers
from dataset_tools.speech.transcripts import TranscriptRow

CUT, WASH = "cut_carrot_knife", "wash_apple"
CLASSES = load_classes()


class Page(HTMLParser):
    """Rows of cells of all tables, links, and the text without tags."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def report_of(place: Workspace, folder: Path | None = None) -> Page:
    return Page(Path(write_report(place, CLASSES, folder, jobs=2).page))


def test_only_classes_that_the_build_used_can_have_too_few_clips() -> None:
    built = {"options": {"per_class": 3, "classes": 2}}
    found = describe_dataset((), (), CLASSES, cards=(), ledger={}, built=built, split={})
    assert [(line.id, line.shortfall) for line in found.classes] == [(one.id, 3) for one in CLASSES.classes[:2]]


def test_the_summary_as_json_lists_withdrawals(workspace: Workspace) -> None:
    digest, time = hashlib.sha256(b"ann").hexdigest(), "2026-11-30T12:00:00Z"
    stone = {"id": f"withdrawn_{digest}_{time}", "name": "", "text": "", "time": time, "withdrawn": digest}
    workspace.recordings.mkdir(exist_ok=True)
    consents = workspace.recordings / "consents.jsonl"
    consents.write_text(json.dumps({"schema": "fmn.consent/1", **stone}) + "\n", "utf-8")
    done = CliRunner().invoke(app, ["report", "-w", str(workspace.root), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["withdrawn"] == [{"time": time, "voice_sha256": digest}]


def test_the_numbers_are_those_of_the_manifests(workspace: Workspace) -> None:
    page = report_of(workspace)
    rows = {row[0]: row for row in page.rows if len(row) > 8}
    assert rows[CUT][1] == "3"
    assert rows[CUT][4:7] == ["3", "2", "1"]  # utterances, persons, dishes
    assert rows[CUT][7:] == ["0.7 s", "0.7 s", "0.7 s", "2.1 s"]  # 21 frames at 29.4 a second
    assert rows[WASH][1] == "1"
    tiles = dict(re.findall(r"\n([\d,]+)([a-z][^\n]*)", page.text))
    assert {"4", "2", "1"} <= tiles.keys()
    assert tiles["1"] == "failed sample"
    matrix = [row for row in page.rows if len(row) == 4]
    assert ["", "s07", "s08", "all"] in matrix
    assert [CUT, "2", "1", "3"] in matrix
    assert [WASH, "", "1", "1"] in matrix
    assert "The video is damaged after frame 9: <broken>" in page.text
    assert "copy it again" in page.text
    assert "quiet: <b>very</b>" in page.text
    assert "Sentence 2 <script>alert(1)</script> & more" in page.text
    assert not page.tags & {"link", "iframe"}  # and no script has a src: see the links below


def test_blank_lines_of_a_split_are_no_pairs(workspace: Workspace) -> None:
    (workspace.manifests / "test.jsonl").write_bytes(b"\n\r\n")
    assert "\n0test pairs\n" in report_of(workspace).text


def test_doubted_sentences_speakers_and_agreement(workspace: Workspace, make_review: Callable[..., ReviewRow]) -> None:
    path = workspace.manifests / "utterances.jsonl"
    rows = [msgspec.structs.replace(row, source="recorded") for row in read_rows(path, UtteranceRow)]
    write_rows(path, rows)
    scores = (-0.2, 0.4, 3.0, -1.0)
    checked = [
        TranscriptRow(id=row.id, sha256=row.sha256, text=row.text, checker="x", score=score)
        for row, score in zip(rows, scores, strict=True)
    ]
    checked[3] = msgspec.structs.replace(checked[3], text="as it was before")
    write_rows(workspace.manifests / "transcripts.jsonl", checked)
    note_speakers(workspace, {rows[0].voice: SpeakerFacts("Scottish")})
    said = [make_review(minute=n, annotation=n, annotator=who) for n, who in ((1, "ann"), (2, "bob"))]
    append_reviews(reviews_path(workspace), said)
    rows_shown = report_of(workspace).rows
    assert ["may be another sentence", "2 utterances"] in rows_shown
    assert ["accent", "not stated 3, Scottish 1"] in rows_shown
    assert ["verdict", "1", "Cohen's kappa", "–", "1.00"] in rows_shown


@pytest.mark.parametrize("elsewhere", [False, True])
def test_every_link_leads_somewhere_on_this_machine(workspace: Workspace, tmp_path: Path, elsewhere: bool) -> None:
    folder = tmp_path / "pages" / "one" if elsewhere else workspace.root / "report"
    page = report_of(workspace, folder)
    files = {unquote(link) for link in page.links if not link.startswith("#")}
    assert len(files) == 4 + 4 + 4  # pictures, clips, sounds
    assert all((folder / link).resolve().is_file() for link in files)


def test_a_picture_is_the_middle_of_its_clip_and_is_drawn_once(workspace: Workspace) -> None:
    report_of(workspace)
    folder = workspace.root / "report" / "thumbnails"
    drawn = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    brightness = []
    for path in drawn:
        with av.open(str(path)) as picture:
            frame = next(picture.decode(video=0))
            assert (frame.width, frame.height) == (144, 96)
            brightness.append(float(frame.to_ndarray(format="yuvj420p")[:96].mean()))
    # Of limited range, as clips are, 20 + 8 · 10 + number; JPEG has the full range.
    assert sorted(brightness) == pytest.approx([(100 + n - 16) * 255 / 219 for n in range(4)], abs=2.5)
    (folder / f"{'0' * 16}.jpg").write_bytes(b"of a clip that is gone")
    report_of(workspace)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == drawn


def test_a_folder_of_other_pages_and_pictures_stays_as_it_is(workspace: Workspace, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "thumbnails").mkdir(parents=True)
    (site / "thumbnails" / "holiday.jpg").write_bytes(b"mine")
    (site / "index.html").write_text("<!doctype html><title>My site</title>")
    with pytest.raises(InputError, match="not a report of a data set"):
        write_report(workspace, CLASSES, site)
    assert (site / "index.html").read_text() == "<!doctype html><title>My site</title>"
    (site / "index.html").unlink()
    for _ in range(2):
        write_report(workspace, CLASSES, str(site))
    assert (site / "thumbnails" / "holiday.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["index.html", "thumbnails"])
def test_what_is_no_file_or_no_folder_of_a_report_is_refused(workspace: Workspace, tmp_path: Path, name: str) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").mkdir() if name == "index.html" else (site / name).touch()
    with pytest.raises(InputError, match="not a report of a data set") as refused:
        write_report(workspace, CLASSES, site)
    assert refused.value.where == str(site / name)


def test_files_of_a_workspace_that_is_a_link_to_a_name_not_in_utf_8_are_found(
    workspace: Workspace, tmp_path: Path
) -> None:
    odd, link = tmp_path / os.fsdecode(b"caf\xe9"), tmp_path / "cafe"
    workspace.root.rename(odd)
    link.symlink_to(odd)
    page = report_of(Workspace(link), tmp_path / "pages")
    files = [
        tmp_path / "pages" / os.fsdecode(unquote_to_bytes(link)) for link in page.links if not link.startswith("#")
    ]
    assert len(files) == 4 + 4 + 4
    assert all(path.resolve().is_file() for path in files)


def test_a_clip_that_cannot_be_drawn_is_said(workspace: Workspace) -> None:
    damaged, *_ = read_rows(workspace.manifests / "clips.jsonl", ClipRow)
    (workspace.root / damaged.path).write_bytes(b"no video")
    summary = write_report(workspace, CLASSES, jobs=1)
    assert list(summary.without_picture) == [damaged.id]
    done = CliRunner().invoke(app, ["report", "-w", str(workspace.root)])
    assert done.exit_code == 0
    assert f"1 clip has no thumbnail; the first, {damaged.id}" in " ".join(done.output.split())


def test_a_missing_clip_is_named_and_stops_nothing(workspace: Workspace) -> None:
    gone = sorted(workspace.clips.iterdir())[1]
    gone.unlink()
    summary = write_report(workspace, CLASSES, jobs=1)
    assert summary.missing == (f"clips/{gone.name}",)
    assert summary.without_picture == {}
    page = Page(Path(summary.page))
    assert "no thumbnail" in page.text
    assert gone.name in page.text
    assert len(list((workspace.root / "report" / "thumbnails").iterdir())) == 3


def test_without_a_data_set_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set to report on") as caught:
        write_report(Workspace(tmp_path), CLASSES)
    assert "fmn-data build" in str(caught.value)


def test_a_histogram_counts_every_value_once() -> None:
    values = np.random.default_rng(0).gamma(3, 2, 500).tolist()
    counts = [int(part.split(" from ")[0]) for part in str(histogram(values, "s")).split("<title>")[1:]]
    assert sum(counts) == 500
    assert len(counts) <= 26
    assert "5 from 3 to 3.1 s" in histogram([3.0] * 5, "s")
    assert "no data" in histogram([], "s")
