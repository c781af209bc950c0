"""Every reader of footage's annotations and of downloaded archives: a result, or an error that names the file."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from dataset_tools.core.progress import silent
from dataset_tools.corpora.annotations.formats import ListOptions, read_intervals
from dataset_tools.corpora.mpii import mpii_download
from dataset_tools.corpora.mpii.annotations import read_mpii_annotations
from dataset_tools.corpora.mpii.mpii_corpus import MAT_NAME, open_corpus
from dataset_tools.corpora.mpii.unpacking import unpack_archive
from dataset_tools.corpora.sentence_files import read_sentences

SHA256 = "0123456789abcdef" * 4


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


def tacos(root: Path) -> object:
    return read_sentences(root / "in" / "tacos.json")


def corpus(root: Path) -> object:
    (root / "in" / MAT_NAME).write_bytes(mat())
    return open_corpus(root / "in")


SPANS = {"s17-d69.avi": {"timestamps": [[1, 40], [50, 90]], "sentences": ["Cut it.", "Wash it."], "num_frames": 100}}


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
        lambda root: read_intervals(root / "in" / "a.json", ListOptions(tier="label")),
        lambda: json.dumps(VIA).encode(),
    ),
    "intervals of Label Studio": (
        "json",
        "in/a.json",
        lambda root: read_intervals(root / "in" / "a.json", ListOptions(tier="label")),
        lambda: json.dumps([{"id": 1, "data": {"video": "a.mp4"}, "annotations": [{"result": TIMELINE}]}]).encode(),
    ),
    "intervals of ELAN": (
        "bytes",
        "in/a.eaf",
        lambda root: read_intervals(root / "in" / "a.eaf", ListOptions(tier="label")),
        lambda: ELAN,
    ),
    "intervals of CVAT": ("bytes", "in/a.xml", lambda root: read_intervals(root / "in" / "a.xml"), lambda: CVAT),
    "sentences beside a video": (
        "bytes",
        "in/cut_it/a.txt",
        lambda root: [(root / "in" / "cut_it" / "a.mp4").touch(), read_intervals(root / "in")],
        lambda: b"Cut it.\nNow cut it.\n",
    ),
    "annotation file": ("bytes", f"in/{MAT_NAME}", lambda root: read_mpii_annotations(root / "in" / MAT_NAME), mat),
    "sentences": ("json", "in/tacos.json", tacos, lambda: json.dumps(SPANS).encode()),
    "sentence table": (
        "bytes",
        "in/s13-d21.tsv",
        lambda root: read_sentences(root / "in"),
        lambda: b"start\tend\tsentence\n236\t387\tShe cuts it.\n388\t500\tShe washes it.\n",
    ),
    "official list": ("bytes", "in/experimentalSetup/sequencesVal.txt", corpus, lambda: b"s07-d72 # a\ns08-d20\n"),
    "stand-in mark": ("json", "in/STANDIN.json", corpus, lambda: b'{"schema": "fmn.standin/1", "seed": 1}'),
    "zip": ("bytes", "in/archive", unpack("sentences"), zipped),
    "tar": ("bytes", "in/archive", unpack("videos"), tarred),
    "downloads": (
        "json",
        "in/DOWNLOADS.json",
        lambda root: mpii_download._read_records(root / "in"),
        lambda: json.dumps({"a": {"url": "u", "sha256": SHA256, "size_bytes": 1}}).encode(),
    ),
}


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_any_change_gives_a_result_or_names_the_file(fuzz: Callable[..., None], name: str) -> None:
    fuzz(*TARGETS[name])
