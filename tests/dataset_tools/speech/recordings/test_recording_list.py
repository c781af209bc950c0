"""CSV lists of recordings: rows and the files that they name."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.manifests import ClipRow
from dataset_tools.speech.recordings.recording_import import ImportSummary
from dataset_tools.speech.recordings.recording_list import ListedFiles

CARROT = "cut_carrot_knife"
Load = Callable[..., ImportSummary]


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_list_as_a_spreadsheet_on_windows_writes_it(
    tmp_path: Path, clips: list[ClipRow], take: Callable[..., Path], load: Load, sign: str
) -> None:
    take(tmp_path / "in" / "rec" / "a 1.wav", 200)
    take(tmp_path / "in" / "rec" / "b.wav", 250)
    lines = [
        "Path, Class ,clip,VOICE,text,age_band,,",
        rf'rec\a 1.wav,{CARROT},,Jürgen,"He cuts{sign} slowly",30–44,,',
        f"rec/b.wav,,{clips[3].id},Anna,,18-29,,",
        ",,,,,,,",
        "",
    ]
    text = f"sep={sign}\r\n" + "\r\n".join(line.replace(",", sign) for line in lines)
    (tmp_path / "in" / "list.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    summary = load(tmp_path / "in" / "list.csv")
    assert (summary.mismatches, summary.refused) == ((), {})
    assert {voice: facts.age_band for voice, facts in summary.speakers.items()} == {"jurgen": "30-44", "anna": "18-29"}
    assert [
        (row.utterance.class_id, row.utterance.clip, row.utterance.voice, row.utterance.text) for row in summary.added
    ] == [
        (CARROT, None, "jurgen", f"He cuts{sign} slowly"),
        ("squeeze_lemon", clips[3].id, "anna", ""),
    ]


def test_lines_are_counted_from_the_first_one(tmp_path: Path, take: Callable[..., Path], load: Load) -> None:
    take(tmp_path / "a.wav", 200)
    (tmp_path / "list.csv").write_text(f"sep=;\npath;class\na.wav;{CARROT}\n;\n\nb.wav;{CARROT}\na.wav;{CARROT};x\n")
    assert load(tmp_path / "list.csv").mismatches == (
        "list.csv, line 6: there is no file 'b.wav'",
        "list.csv, line 7: more fields than columns",
    )


def test_an_index_as_pandas_writes_it_is_ignored(tmp_path: Path, take: Callable[..., Path], load: Load) -> None:
    take(tmp_path / "a.wav", 200)
    (tmp_path / "list.csv").write_text(f",path,class\n0,a.wav,{CARROT}\n")
    summary = load(tmp_path / "list.csv")
    assert (len(summary.added), summary.mismatches) == (1, ())


@pytest.mark.parametrize("header", ["path,klass", "class,clip", "path,voice", "", "path,class,Path"])
def test_a_list_with_other_columns_is_refused(tmp_path: Path, header: str, load: Load) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text(header + "\n")
    with pytest.raises(InputError, match="The CSV has the columns"):
        load(listing, known_clips=[])


def test_files_are_found_by_paths_of_any_system(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Tür/Öffnen 1.wav") for form in ("NFC", "NFD"))
    file = tmp_path / decomposed
    file.parent.mkdir()
    file.touch()
    (tmp_path / r"a\b.wav").touch()
    files = ListedFiles(tmp_path)
    assert files.find(composed) == files.find(decomposed) == files.find(composed.replace("/", "\\")) == file
    assert files.find(str(tmp_path / composed)) == file
    assert files.find(f"../{tmp_path.name}/{composed}") == tmp_path / ".." / tmp_path.name / decomposed
    assert files.find(r"a\b.wav") == tmp_path / r"a\b.wav"
    for name in ("", "Tür", "Tür/Öffnen 2.wav", "Tür/Öffnen 1.wav/x", "\0", "x" * 5000, "C:\\a.wav"):
        assert files.find(name) is None
