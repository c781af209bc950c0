"""Every reader of `dataset_tools` of content from outside: a result, or an error that names the file."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
import soundfile

from dataset_tools.build.inputs import read_inputs
from dataset_tools.build.untrusted import check_untrusted
from dataset_tools.build_record import read_last_build
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.jsonl import Row
from dataset_tools.core.ledger import read_ledger
from dataset_tools.core.progress import silent
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.annotations.formats import read_annotations as read_intervals
from dataset_tools.corpora.mpii import mpii_download
from dataset_tools.corpora.mpii.annotations import read_annotations
from dataset_tools.corpora.mpii.mpii_corpus import MAT_NAME, open_corpus
from dataset_tools.corpora.mpii.tacos import read_sentences
from dataset_tools.corpora.mpii.unpacking import unpack_archive
from dataset_tools.decisions.journal import read_reviews
from dataset_tools.decisions.unread import unread_warning
from dataset_tools.decisions.verdicts import with_verdicts
from dataset_tools.label_studio.export_file import pull_from_file
from dataset_tools.label_studio.predictions import read_guesses
from dataset_tools.label_studio.projects import remembered
from dataset_tools.manifests import ClipRow, PairRow, SplitPairRow, UtteranceRow, read_rows
from dataset_tools.pairs.pairing import PairOptions, make_pairs
from dataset_tools.pairs.split_record import read_split
from dataset_tools.report.page import write_report
from dataset_tools.speech.consents import Consents
from dataset_tools.speech.recording_files import find_recordings
from dataset_tools.speech.recording_rows import read_recordings
from dataset_tools.video.frame_index import read_frame_index
from dataset_tools.video.source_videos import READER, remembered_sources

OLD = Path(__file__).parents[1] / "fixtures" / "workspace_0_1_0"
SHA256 = "0123456789abcdef" * 4
CLIP = json.loads((OLD / "manifests" / "clips.jsonl").read_text("utf-8").splitlines()[0])
UTTERANCE = json.loads((OLD / "manifests" / "utterances.jsonl").read_text("utf-8").splitlines()[0])
TIME = "2026-11-22T07:00:00.000000Z"


def rows(*values: Mapping[str, object]) -> Callable[[], bytes]:
    return lambda: b"".join(json.dumps(value).encode() + b"\n" for value in values)


def review(number: int) -> dict[str, object]:
    made = {"server": "http://x", "project": 1, "task": number, "annotation": number, "created": TIME}
    shown = {
        "class": CLIP["class"],
        "sentence": "Cut it.",
        "first_frame": CLIP["start_frame"],
        "frames": CLIP["frames"],
    }
    fields = {"id": CLIP["id"], "item": "clip", "content_sha256": CLIP["sha256"], "verdict": "trim", "annotator": "a"}
    trim = [CLIP["start_frame"], CLIP["start_frame"] + 9]
    return {"schema": "fmn.review/1", **fields, "time": TIME, "trim": trim, "shown": shown, "label_studio": made}


def export() -> bytes:
    data = {"clip_id": CLIP["id"], "clip_sha256": CLIP["sha256"], "class": CLIP["class"], "interval": None}
    data |= {"first_frame": CLIP["start_frame"], "frames": CLIP["frames"], "sentence": "Cut it.", "look": 1}
    data |= {"utterance_id": UTTERANCE["id"], "utterance_sha256": UTTERANCE["sha256"]}
    result = [
        {"from_name": "verdict", "type": "choices", "value": {"choices": ["trim"]}},
        {"from_name": "trim", "type": "timelinelabels", "value": {"ranges": [{"start": 2, "end": 9}]}},
        {"from_name": "action", "type": "taxonomy", "value": {"taxonomy": [["a", "cut"]]}},
        {"from_name": "sentence", "type": "textarea", "value": {"text": ["Cut it now."]}},
        {"from_name": "speech_rating", "type": "rating", "value": {"rating": 4}},
        {"from_name": "trim_start", "type": "number", "value": {"number": 3}},
    ]
    times = {"created_at": TIME, "updated_at": TIME, "lead_time": 3.0}
    annotation = {"id": 7, "completed_by": {"email": "a@x"}, "result": result, "was_cancelled": False, **times}
    return json.dumps([{"id": 3, "project": 2, "data": data, "annotations": [annotation]}]).encode()


def pull(root: Path) -> None:
    (root / "annotations" / "reviews.jsonl").unlink(missing_ok=True)
    pull_from_file(Workspace(root), root / "export.json")
    decide(root)


def decide(root: Path) -> None:
    clips = list(read_rows(root / "manifests" / "clips.jsonl", ClipRow))
    utterances = list(read_rows(root / "manifests" / "utterances.jsonl", UtteranceRow))
    with_verdicts(clips, utterances, read_reviews(root / "annotations" / "reviews.jsonl"))


def report(root: Path) -> None:
    (root / "manifests" / "clips.jsonl").write_bytes(b"")  # no pictures to draw
    write_report(Workspace(root), load_classes(count=None), jobs=1)


def mat() -> bytes:
    """A file of two intervals, as MATLAB writes it."""
    buffer = io.BytesIO()
    names = ["cutV", "carrot", "knife", "washV"]
    with h5py.File(buffer, "w") as file:
        refs, annos = file.create_group("#refs#"), file.create_group("annos")

        def text(value: str) -> h5py.Reference:
            data = np.frombuffer(value.encode("utf-16-le"), "<u2")[:, None]
            stored = refs.create_dataset(f"{len(refs):x}", data=data)
            stored.attrs["MATLAB_class"] = np.bytes_("char")
            return stored.ref

        cells = {"activity": ["cutV", "washV"], "attributeMap": names, "fileName": ["s07-d72-cam-002"] * 2}
        for key, values in cells.items():
            annos[key] = np.array([[text(value)] for value in values], h5py.ref_dtype)
        for key, numbers in {"startFrame": [1, 50], "endFrame": [40, 90], "frameRate": [29.4]}.items():
            annos[key] = np.array(numbers, np.float64)[:, None]
        annos["iaMat"] = np.array([[1, 0], [1, 1], [1, 0], [0, 1]], np.float64)
    return buffer.getvalue()


def video(suffix: str, codec: str) -> Callable[[], bytes]:
    def content() -> bytes:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=suffix) as output:
            stream = output.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(20):
                picture = np.full((48, 64, 3), number * 12, np.uint8)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            output.mux(stream.encode(None))
        return buffer.getvalue()

    return content


def sound(kind: str) -> Callable[[], bytes]:
    def content() -> bytes:
        buffer = io.BytesIO()
        soundfile.write(buffer, np.sin(np.arange(8000) * 0.05) / 2, 16000, format=kind)
        return buffer.getvalue()

    return content


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("TACoS-Multi-Level-1.0/index.tsv", "a\tb\n" * 50)
        archive.writestr("TACoS-Multi-Level-1.0/corpus/s07-d72.tsv", "1\t2\n" * 50)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("videos/s07-d72-cam-002.avi")
        member.size = 2000
        archive.addfile(member, io.BytesIO(b"RIFF" * 500))
    return gzip.compress(buffer.getvalue())


def unpack(part: str) -> Callable[[Path], object]:
    def read(root: Path) -> object:
        return unpack_archive(root / "in" / "archive", part, root / "out", "https://example.org/x", "again", silent)

    return read


def pairs(root: Path) -> None:
    make_pairs(Workspace(root), load_classes(count=None), PairOptions(), dry_run=True)


def read_all(name: str, row_type: type[Row]) -> Callable[[Path], object]:
    return lambda root: list(read_rows(root / "manifests" / f"{name}.jsonl", row_type))


def untrusted(root: Path) -> None:
    """It lists problems, and raises nothing of the rows; media are looked at only where there are none."""
    assert check_untrusted(root).problems


def tacos(root: Path) -> object:
    return read_sentences(root / "in" / "tacos.json")


def corpus(root: Path) -> object:
    (root / "in" / MAT_NAME).write_bytes(mat())
    return open_corpus(root / "in")


SPANS = {"s17-d69.avi": {"timestamps": [[1, 40], [50, 90]], "sentences": ["Cut it.", "Wash it."], "num_frames": 100}}
INDEX = {"frames": 3, "rate": "25", "stamps": [0, 1, 2], "key_frames": [1], "tick_s": "1/25"}
NOTE = {"reader": READER, "source": {"path": "x", "marks": [1, 2, 3, 4], "sha256": SHA256, "index": INDEX}}
FOOTAGE = {"kind": "mpii", "path": "in", "videos": None}
CONSENT = {"schema": "fmn.consent/1", "id": "ann", "name": "Ann", "text": "Yes.", "time": "2026-11-22T07:00:00Z"}
RECORDING = {"original": "recordings/a.wav", "original_sha256": SHA256, "name": "a.wav", "licence": "", "take": 1}
GUESS = {"class": CLIP["class"], "clip_sha256": SHA256, "confidence": 0.5, "uncertainty": 0.5, "model": "m"}
LINKS = {"schema": "fmn.label-studio/1", "servers": {}}
ACCOUNT = {"email": "a@x", "password": "p", "api_key": "k"}

VIA = {
    "attribute": {"1": {"aname": "label", "type": 4, "options": {"0": "cut it"}}},
    "file": {"1": {"fname": "a.mp4"}},
    "view": {"1": {"fid_list": ["1"]}},
    "metadata": {"a": {"vid": "1", "z": [1, 2.5], "av": {"1": "0"}}},
}
TIMELINE = [
    {
        "type": "timelinelabels",
        "from_name": "label",
        "id": "r",
        "value": {"ranges": [{"start": 1, "end": 9}], "timelinelabels": ["cut it"]},
    },
    {"type": "textarea", "id": "r", "value": {"text": ["He cuts it."]}},
]
ELAN = b"""<?xml version="1.0"?><ANNOTATION_DOCUMENT><HEADER><MEDIA_DESCRIPTOR MEDIA_URL="a.mp4"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="1"/><TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="9"/></TIME_ORDER>
<TIER TIER_ID="label"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="c" TIME_SLOT_REF1="a" TIME_SLOT_REF2="b">
<ANNOTATION_VALUE>cut it</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="said"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="d" ANNOTATION_REF="c">
<ANNOTATION_VALUE>He cuts it.</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""
CVAT = b"""<annotations><meta><task><source>a.mp4</source></task></meta><track label="cut it">
<box frame="1" outside="0"/><box frame="2" outside="0"/><box frame="3" outside="1"/></track></annotations>"""


TARGETS: dict[str, tuple[str, str, Callable[[Path], object], Callable[[], bytes] | None]] = {
    "intervals": (
        "csv",
        "in/a.csv",
        lambda root: read_intervals(root / "in" / "a.csv"),
        lambda: b"video,start_frame,end_frame,action,subject,object\na.mp4,1,40,cut,carrot,knife\nb,5,9,wash,apple,\n",
    ),
    "intervals of EPIC-KITCHENS-100": (
        "csv",
        "in/a.csv",
        lambda root: read_intervals(root / "in" / "a.csv"),
        lambda: (
            b"narration_id,participant_id,video_id,start_timestamp,stop_timestamp,narration,verb,noun,all_nouns\n"
            b"P01_11_0,P01,P01_11,00:00:00.00,00:00:01.89,take plate,take,plate,['plate']\n"
        ),
    ),
    "intervals of ActivityNet": (
        "json",
        "in/a.json",
        lambda root: read_intervals(root / "in" / "a.json"),
        lambda: json.dumps({"database": {"x": {"annotations": [{"segment": [1, 2.5], "label": "Cut it"}]}}}).encode(),
    ),
    "intervals of ActivityNet Captions": (
        "json",
        "in/a.json",
        lambda root: read_intervals(root / "in" / "a.json"),
        lambda: json.dumps({"v_x": {"timestamps": [[1, 2.5]], "sentences": ["He cuts it."]}}).encode(),
    ),
    "intervals of VIA": (
        "json",
        "in/a.json",
        lambda root: read_intervals(root / "in" / "a.json", tier="label"),
        lambda: json.dumps(VIA).encode(),
    ),
    "intervals of Label Studio": (
        "json",
        "in/a.json",
        lambda root: read_intervals(root / "in" / "a.json", tier="label"),
        lambda: json.dumps([{"id": 1, "data": {"video": "a.mp4"}, "annotations": [{"result": TIMELINE}]}]).encode(),
    ),
    "intervals of ELAN": (
        "bytes",
        "in/a.eaf",
        lambda root: read_intervals(root / "in" / "a.eaf", tier="label"),
        lambda: ELAN,
    ),
    "intervals of CVAT": ("bytes", "in/a.xml", lambda root: read_intervals(root / "in" / "a.xml"), lambda: CVAT),
    "sentences beside a video": (
        "bytes",
        "in/cut_it/a.txt",
        lambda root: [(root / "in" / "cut_it" / "a.mp4").touch(), read_intervals(root / "in")],
        lambda: b"Cut it.\nNow cut it.\n",
    ),
    "class file": (
        "bytes",
        "annotations/classes.yaml",
        lambda root: load_classes(root / "annotations" / "classes.yaml"),
        shipped_file("classes.yaml").read_bytes,
    ),
    "clips": ("rows", "manifests/clips.jsonl", lambda root: pairs(root), None),
    "utterances": ("rows", "manifests/utterances.jsonl", lambda root: pairs(root), None),
    "pairs": (
        "rows",
        "manifests/pairs.jsonl",
        lambda root: list(read_rows(root / "manifests/pairs.jsonl", PairRow)),
        None,
    ),
    "train": (
        "rows",
        "manifests/train.jsonl",
        lambda root: list(read_rows(root / "manifests/train.jsonl", SplitPairRow)),
        None,
    ),
    "reviews": ("rows", "annotations/reviews.jsonl", decide, rows(review(1), review(2))),
    "ledger": ("rows", "ledger.jsonl", lambda root: read_ledger(root / "ledger.jsonl"), None),
    "ledger's journal": (
        "rows",
        "cache/ledger.journal",
        lambda root: read_ledger(root / "ledger.jsonl"),
        (OLD / "ledger.jsonl").read_bytes,
    ),
    "build record": ("json", "manifests/build.json", lambda root: read_last_build(Workspace(root)), None),
    "report of a build record": ("json", "manifests/build.json", report, None),
    "report of a ledger": ("rows", "ledger.jsonl", report, None),
    "split record": ("json", "manifests/split.json", lambda root: read_split(Workspace(root)), None),
    "inputs": (
        "json",
        "cache/inputs.json",
        lambda root: read_inputs(Workspace(root)),
        lambda: json.dumps({"schema": "fmn.inputs/1", "footage": FOOTAGE, "class_file": None}).encode(),
    ),
    "consents": (
        "rows",
        "recordings/consents.jsonl",
        lambda root: Consents(Workspace(root), "Yes.").known("Ann"),
        rows(CONSENT),
    ),
    "recordings": (
        "rows",
        "recordings/recordings.jsonl",
        lambda root: read_recordings(Workspace(root)),
        rows({"schema": "fmn.recording/1", "id": "a", **RECORDING, "utterance": UTTERANCE}),
    ),
    "list of recordings": (
        "csv",
        "in/a.csv",
        lambda root: find_recordings(root / "in" / "a.csv", load_classes(count=None), ()),
        lambda: b"path,class,voice,text\na.csv,wash_apple,Ann,Wash the apple.\n",
    ),
    "predictions": (
        "rows",
        "runs/fmn/predictions.jsonl",
        lambda root: read_guesses(root / "runs" / "fmn"),
        rows({"schema": "fmn.prediction/1", "id": CLIP["id"], **GUESS}),
    ),
    "annotation file": ("bytes", f"in/{MAT_NAME}", lambda root: read_annotations(root / "in" / MAT_NAME), mat),
    "sentences": ("json", "in/tacos.json", tacos, lambda: json.dumps(SPANS).encode()),
    "sentence table": (
        "bytes",
        "in/s13-d21.tsv",
        lambda root: read_sentences(root / "in"),
        lambda: b"start\tend\tsentence\n236\t387\tShe cuts it.\n388\t500\tShe washes it.\n",
    ),
    "official list": ("bytes", "in/experimentalSetup/sequencesVal.txt", corpus, lambda: b"s07-d72 # a\ns08-d20\n"),
    "stand-in mark": ("json", "in/STANDIN.json", corpus, lambda: b'{"schema": "fmn.standin/1", "seed": 1}'),
    "export": ("json", "export.json", pull, export),
    "zip": ("bytes", "in/archive", unpack("sentences"), zipped),
    "tar": ("bytes", "in/archive", unpack("videos"), tarred),
    "downloads": (
        "json",
        "in/DOWNLOADS.json",
        lambda root: mpii_download._read_records(root / "in"),
        lambda: json.dumps({"a": {"url": "u", "sha256": SHA256, "size_bytes": 1}}).encode(),
    ),
    "wav": ("bytes", "in/a.wav", lambda root: decode(root / "in" / "a.wav"), sound("WAV")),
    "flac": ("bytes", "in/a.flac", lambda root: decode(root / "in" / "a.flac"), sound("FLAC")),
    "ogg": ("bytes", "in/a.ogg", lambda root: decode(root / "in" / "a.ogg"), sound("OGG")),
    "mp4": ("bytes", "in/a.mp4", lambda root: read_frame_index(root / "in" / "a.mp4"), video("mp4", "mpeg4")),
    "avi": ("bytes", "in/a.avi", lambda root: read_frame_index(root / "in" / "a.avi"), video("avi", "mpeg4")),
    "mkv": ("bytes", "in/a.mkv", lambda root: read_frame_index(root / "in" / "a.mkv"), video("matroska", "mpeg4")),
    "note on a video": (
        "json",
        "cache/sources/a.json",
        lambda root: remembered_sources(root / "cache" / "sources"),
        lambda: json.dumps(NOTE).encode(),
    ),
    "projects": (
        "json",
        "annotations/label-studio/projects.json",
        lambda root: remembered(Workspace(root), "http://x"),
        lambda: json.dumps(LINKS).encode(),
    ),
    "unread": (
        "json",
        "annotations/label-studio/unread.json",
        lambda root: unread_warning(Workspace(root)),
        lambda: b'{"a": 3}',
    ),
    "untrusted manifest": ("rows", "manifests/clips.jsonl", untrusted, None),
}


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_any_change_gives_a_result_or_names_the_file(fuzz: Callable[..., None], name: str) -> None:
    fuzz(*TARGETS[name])
