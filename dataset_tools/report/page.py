"""Report page: a single HTML file that needs no server and no network, with thumbnails beside it.

A script renders the sample cards from JSON in the page, a few dozen at a time: as static HTML, all of 50,000 cards
would be rendered before the first is visible. Without scripts, the page lists the utterances instead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from markupsafe import Markup

from dataset_tools.build_record import read_build
from dataset_tools.classes.known_classes import check_known
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError, ToolkitError
from dataset_tools.core.files import clear_partial, write_bytes
from dataset_tools.core.jsonl import count_rows
from dataset_tools.core.ledger import read_ledger
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.agreement import agreement
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.manifests import SPLIT_SIDES, ClipRow, UtteranceRow, read_rows
from dataset_tools.report.card_data import SCRIPTS, STYLE, card_data
from dataset_tools.report.cards import Card, read_cards
from dataset_tools.report.histogram import histogram
from dataset_tools.report.statistics import Statistics, describe_dataset, loudness_of
from dataset_tools.report.thumbnails import spread, thumbnail_name, without_thumbnail, write_thumbnails
from dataset_tools.speech.recordings.consents import Withdrawal, read_speakers, read_withdrawals
from dataset_tools.speech.recordings.speaker_facts import count_speakers
from dataset_tools.speech.recordings.withdrawn_recordings import with_consent

TEMPLATE = Path(__file__).with_name("page.html.jinja")
TITLE = b"<title>Data set: "
"""Identifies a page as a report."""
THUMBNAILS_A_CLASS = 12
SHOWN_OF_A_REASON = 200


@dataclass(frozen=True)
class ReportSummary:
    """Path of the page that was written, and counts of its contents.

    Attributes:
        missing: files of clips and utterances that do not exist.
        without_picture: why existing clips have no thumbnail, by id.
        withdrawn: tombstones of the speakers who withdrew their consent.
        dry_run: whether nothing was written; ``to_draw``: then, the number of thumbnails that would be drawn.
    """

    page: str
    clips: int
    utterances: int
    classes: int
    persons: int
    failed: int
    missing: tuple[str, ...]
    without_picture: Mapping[str, str]
    withdrawn: tuple[Withdrawal, ...]
    is_standin: bool
    dry_run: bool = False
    to_draw: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "withdrawn": msgspec.to_builtins(self.withdrawn)}


def write_report(
    workspace: Workspace,
    classes: ClassFile,
    folder: Path | str | None = None,
    *,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> ReportSummary:
    """Writes ``index.html`` and ``thumbnails/`` to ``folder`` (default: report/ in the workspace).

    Clips and utterances are linked, not copied: the page stays with its workspace, and marks missing files. With
    ``dry_run``, everything is checked, but nothing is written.

    Raises:
        InputError: there is no data set in the workspace, a manifest or build.json cannot be read, the class file lacks
            classes of the data set, or the folder has an index.html that is not a report.
        StoppedError: the disk is full.
    """
    manifest = workspace.manifests / "clips.jsonl"
    if not manifest.is_file():
        raise InputError(
            "There is no data set to report on",
            where=workspace.manifests,
            expected="clips.jsonl",
            next_step="make one with fmn-data build",
        )
    clips = list(read_rows(manifest, ClipRow))
    spoken = workspace.manifests / "utterances.jsonl"
    utterances = with_consent(workspace, read_rows(spoken, UtteranceRow, missing_ok=True))
    check_known((row.class_id for row in (*clips, *utterances)), classes, workspace.manifests)
    built = read_build(workspace)
    cards = read_cards(workspace, clips, utterances)
    ledger = read_ledger(workspace.ledger)
    statistics = describe_dataset(clips, utterances, classes, cards, ledger, built, _split_counts(workspace))
    if folder is not None:
        _refuse_other(Path(folder))
    folder = Path(folder or workspace.root / "report")
    pictures_folder = folder / "thumbnails"
    shown = [clip for line in statistics.classes for clip in spread(line.clips, THUMBNAILS_A_CLASS)]
    to_draw, failures = 0, dict[str, ToolkitError]()
    if dry_run:
        to_draw = len(without_thumbnail(shown, pictures_folder))
    else:
        for place in (folder, pictures_folder):
            clear_partial(place)
        failures = write_thumbnails(shown, workspace.root, pictures_folder, jobs=jobs, progress=progress)
    pictures = {clip.id: f"thumbnails/{thumbnail_name(clip)}" for clip in shown if clip.id not in failures}
    media = {row.path for row in clips} | {row.path for row in utterances}
    missing = sorted(path for path in media if not (workspace.root / path).is_file())
    page = _page(statistics, cards, built, workspace, folder, pictures=pictures, missing=missing)
    if not dry_run:
        write_bytes(folder / "index.html", page.encode())
    return ReportSummary(
        page=str(folder / "index.html"),
        clips=len(clips),
        utterances=len(utterances),
        classes=sum(bool(line.clips) for line in statistics.classes),
        persons=len(statistics.persons),
        failed=statistics.failed,
        missing=tuple(missing),
        without_picture={
            clip.id: failures[clip.id].found for clip in shown if clip.id in failures and clip.path not in missing
        },
        withdrawn=read_withdrawals(workspace),
        is_standin=built.get("stand_in") is not None,
        dry_run=dry_run,
        to_draw=to_draw,
    )


def _refuse_other(folder: Path) -> None:
    page, pictures = folder / "index.html", folder / "thumbnails"
    is_other = page.exists() and not (page.is_file() and TITLE in page.read_bytes()[:1000])
    if is_other or (pictures.exists() and not pictures.is_dir()):
        raise InputError(
            f"The {'page' if is_other else 'file'} is not a report of a data set, and would be overwritten",
            where=page if is_other else pictures,
            expected="a folder without index.html and thumbnails, or with an earlier report",
            next_step="name another folder with --out",
        )


def _split_counts(workspace: Workspace) -> dict[str, int]:
    paths = {name: workspace.manifests / f"{name}.jsonl" for name in SPLIT_SIDES}
    return {name: count_rows(path) for name, path in paths.items() if path.is_file()}


def _page(
    statistics: Statistics,
    cards: Sequence[Card],
    built: Mapping[str, Any],
    workspace: Workspace,
    folder: Path,
    *,
    pictures: Mapping[str, str],
    missing: list[str],
) -> str:
    from jinja2 import Environment, StrictUndefined
    from jinja2.exceptions import UndefinedError

    to_workspace = os.path.relpath(workspace.root.resolve(), folder.resolve()).replace(os.sep, "/")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"clock": _clock, "count": count_of}

    def media(path: str) -> str:
        return quote(os.fsencode(f"{to_workspace}/{path}"))  # the path of the workspace need not be UTF-8

    try:
        return environment.from_string(TEMPLATE.read_text("utf-8")).render(
            data=statistics,
            speakers=count_speakers(
                (row.voice for row in statistics.utterances if row.source == "recorded"),
                read_speakers(workspace),
            ),
            agreement=agreement(read_reviews(reviews_path(workspace))),
            built=built,
            stand_in=built.get("stand_in"),
            missing=missing,
            withdrawn=read_withdrawals(workspace),
            media=media,
            pictures=pictures,
            samples=lambda **view: f"#samples?{urlencode(view)}",
            cards=_inline_json([card_data(card, media, pictures.get(card.id)) for card in cards]),
            card_script=Markup("\n".join(path.read_text("utf-8") for path in SCRIPTS)),
            card_style=Markup(STYLE.read_text("utf-8")),
            strip=lambda clips: spread(clips, THUMBNAILS_A_CLASS),
            loudness=loudness_of,
            most=max(statistics.counts.values(), default=1),
            shown_of_a_reason=SHOWN_OF_A_REASON,
            clip_lengths=histogram([clip.duration_s for clip in statistics.clips], "seconds"),
            utterance_lengths=histogram([row.duration_s for row in statistics.utterances], "seconds"),
            loudnesses=histogram(
                [value for row in statistics.utterances if (value := loudness_of(row)) is not None], "LUFS"
            ),
        )
    except UndefinedError as error:
        raise InputError(
            f"The record of the build lacks a value that the report shows: {error}",
            where=workspace.manifests / "build.json",
            expected="the JSON object that fmn-data build writes",
            next_step="run fmn-data build again",
        ) from error


def _inline_json(value: object) -> Markup:
    """Encodes JSON so that it is safe within a script element."""
    return Markup(msgspec.json.encode(value).decode().replace("<", "\\u003c"))


def _clock(seconds: float) -> str:
    """``1 h 02 min``, ``3 min 20 s``, ``4.5 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
