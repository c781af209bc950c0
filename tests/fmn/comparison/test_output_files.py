from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.markup import escape

import fmn.comparison.output_files
from dataset_tools.core.errors import InputError
from fmn.comparison.output_files import check_files, write_files
from fmn.comparison.rendering import rich_tables
from fmn.comparison.results import Results
from fmn.comparison.table import QUOTED, blocks, significantly_best

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


@pytest.mark.filterwarnings("ignore:.*Glyph.*")
def test_all_files_are_written_and_agree(results: Results, tmp_path: Path) -> None:
    written = write_files(results.values, tmp_path / "out", latex=True)
    names = {"compare.json", "compare.md", "compare.csv", "compare.tex", "compare.png"}
    assert {path.name for path in written} == names == {path.name for path in (tmp_path / "out").iterdir()}
    values = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert values == results.values

    text = (tmp_path / "out" / "compare.md").read_text()
    figure = values["systems"]["cca"]["metrics"]["audio_to_video"]["class_hit"]["1"]
    assert f"{figure['mean']:.1f}±{figure['sd']:.1f}" in text
    assert "Other data: Table 2 of the paper, as printed" in text
    assert "| FMN | 3.37 | 12.45 | 25.63 | 3.56 | 12.23 | 24.37 |" in text
    assert text.index("Other data") > text.index("video → audio  (12 queries, gallery 12)")
    assert text.count("* musimnet: an approximation") == 5  # below every table that it stands in
    assert "| musimnet |" not in text
    assert text.count("| musimnet * |") == 5
    assert "preset demo with n_mfcc=4, n_mels=8, " in text.splitlines()[0]  # what is not as in the preset
    apart = values["systems"]["cca"]["difference"]["video_to_audio"]["class_map"]["all"]
    shown = text.partition("## Difference to fmn, video → audio")[2].partition("## ")[0]
    row = next(line for line in shown.splitlines() if line.startswith("| cca |"))
    assert f"{apart['mean']:+.1f} [{apart['low']:+.1f}, {apart['high']:+.1f}]" in row.split("|")[2]

    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "compare.csv").read_text())))
    assert len(rows) == (4 + 2) * 2 * (3 * 3 + 2) + len(QUOTED) * 6  # three metrics at three k, mAP and rank in class
    told = {row["system"]: (row["class_cross_entropy"], row["footnote"][:16]) for row in rows if row["parameters"]}
    assert told == {
        "cca": ("speech", ""),
        "musimnet": ("no", "an approximation"),
        "fmn": ("both sides", ""),
        "file_size": ("no", ""),
    }
    row = next(row for row in rows if (row["system"], row["metric"], row["k"]) == ("cca", "class_hit", "1"))
    assert float(row["mean"]) == pytest.approx(figure["mean"])
    assert {row["other_data"] for row in rows if row["system"].endswith("(as printed)")} == {"yes"}

    tex = (tmp_path / "out" / "compare.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 6
    assert r"file\_size" in tex
    for line in tex.splitlines():
        if line.endswith(r"\\") and "cca" in line:
            assert line.count("&") in (12, 4, 7)

    from PIL import Image

    with Image.open(tmp_path / "out" / "compare.png") as picture:
        assert picture.width > 1000


@pytest.mark.filterwarnings("ignore:.*Glyph.*")
def test_files_of_an_earlier_call_do_not_stay_beside_new_ones(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(results.values, tmp_path, latex=True)
    changed = json.loads(json.dumps(results.values))
    changed["systems"]["cca"]["metrics"]["audio_to_video"]["class_hit"]["1"]["mean"] = 12.34
    assert tmp_path / "compare.tex" in write_files(changed, tmp_path)
    for name in ("compare.md", "compare.csv", "compare.tex"):
        assert "12.3" in (tmp_path / name).read_text(), name

    def killed(path: Path, content: bytes) -> None:
        if path.name == "compare.md":
            raise KeyboardInterrupt
        path.write_bytes(content)

    with monkeypatch.context() as patch:
        patch.setattr(fmn.comparison.output_files, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            write_files(results.values, tmp_path)
    assert tmp_path / "compare.tex" in write_files(changed, tmp_path, latex=True)
    for system in changed["systems"].values():  # all failed
        for key in ("metrics", "difference", "partner_rank", "by_class"):
            system.pop(key, None)
    write_files(changed, tmp_path)
    assert not (tmp_path / "compare.png").exists()
    edited = (tmp_path / "compare.tex").read_bytes() + b"% mine\n"
    (tmp_path / "compare.tex").write_bytes(edited)
    assert tmp_path / "compare.tex" not in write_files(results.values, tmp_path)
    with pytest.raises(InputError, match=r"compare.tex is not the table of the compare.json beside it") as raised:
        check_files(tmp_path, latex=True)
    assert raised.value.where == str(tmp_path / "compare.tex")
    with pytest.raises(InputError, match=r"compare.tex"):
        write_files(results.values, tmp_path, latex=True)
    assert (tmp_path / "compare.tex").read_bytes() == edited
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "compare.tex").write_text("somebody's")
    write_files(changed, tmp_path / "other")
    assert (tmp_path / "other" / "compare.tex").read_text() == "somebody's"


def test_tables_of_other_manifests_are_moved(results: Results, tmp_path: Path) -> None:
    earlier = {path.name: path.read_bytes() for path in write_files(results.values, tmp_path, latex=True)}
    said: list[str] = []
    assert len(write_files(results.values, tmp_path, warn=said.append)) == 5
    assert said == []
    written = write_files(results.values | {"test_sha256": "0" * 64}, tmp_path, warn=said.append)
    assert said == [f"Earlier results, of other manifests, were moved to {tmp_path / 'earlier-results-1'}"]
    assert {path.name for path in written} == set(earlier)  # compare.tex again, too
    assert {path.name: path.read_bytes() for path in (tmp_path / "earlier-results-1").iterdir()} == earlier
    (tmp_path / "compare.tex").write_text("edited")
    assert tmp_path / "compare.tex" not in write_files(results.values, tmp_path)
    assert (tmp_path / "earlier-results-2" / "compare.tex").read_text() == "edited"
    assert not (tmp_path / "compare.tex").exists()


def test_in_a_terminal_a_note_of_several_tables_is_said_once(results: Results) -> None:
    said = "\n".join(str(table.caption or "") for table in rich_tables(results.values)).splitlines()
    noted = [note for block in blocks(results.values) for note in block.notes]
    assert len(noted) > len(set(noted))
    assert sorted(filter(None, said)) == sorted({escape(note) for note in noted if note})


@pytest.mark.parametrize(
    ("intervals", "classes", "said"),
    [
        ([(48.0, 45.0, 51.0), (52.0, 50.0, 54.0)], 6, "none of 2 systems: instance hit measures the class"),
        ([(48.0, 45.0, 51.0), (40.0, 35.0, 45.0)], 6, "in 1 of 2 systems (one in twenty does by chance alone): b 40.0"),
        ([(0.0, 0.0, 0.0), (100.0, 100.0, 100.0)], 5, "none of 2 systems: instance hit measures the class"),
    ],
)
def test_whether_instance_hit_is_evidence_is_said(
    results: Results, intervals: list[tuple[float, float, float]], classes: int, said: str
) -> None:
    values = json.loads(json.dumps(results.values))
    template = values["systems"]["fmn"]
    levels = {"levels": {"class": classes, "voice": 2, "seed": 9}}
    ranked = [dict(zip(("mean", "low", "high"), each, strict=True)) | levels for each in intervals]
    values["systems"] = {
        name: template | {"partner_rank": {"audio_to_video": each}} for name, each in zip("ab", ranked, strict=True)
    }
    assert any(said in note for note in blocks(values)[0].notes)


def test_bold_is_what_lies_beyond_the_interval() -> None:
    def values(apart: dict[str, tuple[float, float, float]]) -> dict[str, Any]:
        systems = {"fmn": _system(50.0, None)}
        systems |= {name: _system(50 + mean, (mean, low, high)) for name, (mean, low, high) in apart.items()}
        return {"systems": systems}

    def best(apart: dict[str, tuple[float, float, float]]) -> str | None:
        return significantly_best(values(apart), "audio_to_video", "class_hit", "1")

    assert best({"a": (5, 1, 9), "b": (-3, -5, -1)}) == "a"
    assert best({"a": (5, -1, 9), "b": (-3, -5, -1)}) is None
    assert best({"a": (-2, -4, -1), "b": (-3, -5, -1)}) == "fmn"
    assert best({"a": (-2, -4, 1), "b": (-3, -5, -1)}) is None
    assert best({}) is None


def _system(mean: float, apart: tuple[float, float, float] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"metrics": {"audio_to_video": {"class_hit": {"1": {"mean": mean}}}}}
    if apart:
        interval = dict(zip(("mean", "low", "high"), apart, strict=True)) | {"levels": {"corpus": 3, "class": 4}}
        found["difference"] = {"audio_to_video": {"class_hit": {"1": interval}}}
    return found
