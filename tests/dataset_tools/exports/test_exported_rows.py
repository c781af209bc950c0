"""The rows of an export: splits of items and pairs, manifests that do not fit together, memory, other packages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count as counter
from pathlib import Path

import msgspec
import pytest

from dataset_tools.core.errors import InputError, ManifestError
from dataset_tools.core.workspace import Workspace
from dataset_tools.exports.exported_rows import ExportedRows
from dataset_tools.exports.exporting import export_dataset
from dataset_tools.exports.registry import find_format
from dataset_tools.manifests import ClipRow, PairRow, SplitPairRow, read_rows, write_rows


def test_items_of_a_split_of_pairs_are_on_both_sides(workspace: Workspace) -> None:
    train = list(read_rows(workspace.manifests / "train.jsonl", SplitPairRow))
    test = list(read_rows(workspace.manifests / "test.jsonl", SplitPairRow))
    first = train[0]
    write_rows(workspace.manifests / "train.jsonl", train[1:])
    crossed = msgspec.structs.replace(
        first, id=f"{first.clip.id}__{test[0].utterance.id}", utterance=test[0].utterance, fold=3
    )
    write_rows(workspace.manifests / "train.jsonl", sorted([*train, crossed], key=lambda row: row.id))
    rows = ExportedRows(workspace, with_media=True)
    found = {one.row.id: (one.split, one.fold) for one in rows.rows("utterances")}
    assert found[test[0].utterance.id] == ("both", 3)
    clips = {one.row.id: (one.split, one.fold) for one in rows.rows("clips")}
    assert clips[first.clip.id] == ("train", 3)
    assert rows.counts["pairs"] == {"train": 3, "test": 2, "neither": 3}
    assert [one.row.id for one in rows.rows("pairs", "train")] == sorted([*(row.id for row in train), crossed.id])


def test_items_without_pairs_are_in_neither(workspace: Workspace) -> None:
    for side in ("train", "test"):
        rows = [row for row in read_rows(workspace.manifests / f"{side}.jsonl", SplitPairRow) if row.label.id != "peel"]
        write_rows(workspace.manifests / f"{side}.jsonl", rows)
    found = ExportedRows(workspace, with_media=True)
    assert found.counts["clips"] == {"train": 1, "test": 1, "neither": 2}
    assert {one.label for one in found.rows("clips", "neither")} == {None}


@pytest.mark.parametrize("name", ["clips", "pairs"])
def test_pairs_of_an_earlier_data_set_are_refused(workspace: Workspace, tmp_path: Path, name: str) -> None:
    path = workspace.manifests / f"{name}.jsonl"
    kind: type[ClipRow | PairRow] = ClipRow if name == "clips" else PairRow
    write_rows(path, list(read_rows(path, kind))[1:])
    with pytest.raises(InputError, match="are inconsistent"):
        export_dataset(workspace, "csv", tmp_path / "out")


def test_a_clip_that_was_built_anew_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    path = workspace.manifests / "clips.jsonl"
    clips = [msgspec.structs.replace(row, sha256="0" * 64) for row in read_rows(path, ClipRow)]
    write_rows(path, clips)
    with pytest.raises(InputError, match="are inconsistent"):
        export_dataset(workspace, "csv", tmp_path / "out")


def test_a_clip_that_another_command_adds_meanwhile_is_refused(workspace: Workspace) -> None:
    rows = ExportedRows(workspace, with_media=True)
    path = workspace.manifests / "clips.jsonl"
    clips = list(read_rows(path, ClipRow))
    write_rows(path, [*clips, msgspec.structs.replace(clips[-1], id=f"{clips[-1].id}-new")])
    with pytest.raises(InputError, match="-new' differs between them, or is missing in some"):
        list(rows.rows("clips"))


def test_without_pairs_it_says_what_to_do(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.manifests / "train.jsonl").unlink()
    with pytest.raises(InputError, match="no such manifest") as refused:
        export_dataset(workspace, "csv", tmp_path / "out")
    assert "fmn-data pairs" in str(refused.value.next_step)


@pytest.mark.parametrize("name", ["csv", "lhotse", "webdataset", "huggingface", "mteb"])
def test_memory_does_not_grow_with_the_pairs(
    workspace: Workspace,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    peak_bytes: Callable[..., int],
) -> None:
    monkeypatch.setattr("dataset_tools.exports.copy_batch._THREADS", 1)  # each copies with a buffer of 256 KiB
    if name in ("huggingface", "mteb"):
        pytest.importorskip("pyarrow")
        monkeypatch.setattr("dataset_tools.exports.formats.huggingface._ROW_GROUP_ROWS", 100)
        monkeypatch.setattr("dataset_tools.exports.formats.mteb._ROW_GROUP_ROWS", 100)
    first = next(iter(read_rows(workspace.manifests / "train.jsonl", SplitPairRow)))
    tested = next(iter(read_rows(workspace.manifests / "test.jsonl", SplitPairRow)))
    write_rows(workspace.manifests / "test.jsonl", [tested])

    def exported(count: int, *, limit: float = 0) -> tuple[int, int]:
        """Bytes of the manifests of so many pairs, and of memory while they are exported (see `peak_bytes`)."""
        copies = [msgspec.structs.replace(first, id=f"{number:06d}") for number in range(count)]
        write_rows(workspace.manifests / "train.jsonl", copies)
        rows = [
            PairRow(id=row.id, class_id=row.label.id, clip=row.clip.id, utterance=row.utterance.id)
            for row in (*copies, tested)
        ]
        write_rows(workspace.manifests / "pairs.jsonl", rows)

        def export() -> None:
            summary = export_dataset(workspace, name, tmp_path / f"out-{next(numbers)}")
            assert summary.counts["pairs"] == {"train": count, "test": 1}

        size_bytes = sum((workspace.manifests / f"{part}.jsonl").stat().st_size for part in ("train", "pairs"))
        return size_bytes, peak_bytes(export, limit=limit)

    numbers = counter()
    small_bytes, small_peak_bytes = exported(100)
    limit = small_peak_bytes + 1.5e5
    large_bytes, large_peak_bytes = exported(1_100, limit=limit)
    assert large_bytes - small_bytes > 8e5
    assert large_peak_bytes < limit


@pytest.fixture
def install_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Installs a package of one module, whose function ``write`` is the format ``theirs``."""

    def install(code: str) -> None:
        info = tmp_path / "installed" / "their_package-1.0.dist-info"
        info.mkdir(parents=True)
        (info.parent / "their_export.py").write_text(code)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[fmn.exports]\ntheirs = their_export:write\n")
        monkeypatch.syspath_prepend(info.parent)
        monkeypatch.delitem(sys.modules, "their_export", raising=False)

    return install


def test_a_format_of_another_package(
    workspace: Workspace, tmp_path: Path, install_format: Callable[[str], None]
) -> None:
    install_format(
        "def write(rows, output, options):\n"
        "    output.add_text('ids.txt', ''.join(one.row.id + '\\n' for one in rows.rows('clips')))\n"
    )
    export_dataset(workspace, "theirs", tmp_path / "out")
    ids = [row.id for row in read_rows(workspace.manifests / "clips.jsonl", ClipRow)]
    assert (tmp_path / "out" / "ids.txt").read_text("utf-8").splitlines() == ids
    with pytest.raises(InputError, match="theirs") as refused:
        find_format("nothing")
    assert refused.value.expected == "one of croissant, csv, huggingface, lhotse, mteb, webdataset, theirs"


@pytest.mark.parametrize(
    ("body", "reason", "left"),
    [
        ("raise RuntimeError('no table')", "RuntimeError: no table", []),
        ("raise SystemExit", "SystemExit", []),
        ("return 42", "TypeError: it returned an object of the type int", []),
        ("output.add_text('a', 'a'); raise KeyError('b')", "KeyError: 'b'", ["a", "export.json"]),
    ],
)
def test_a_format_that_fails_is_named_and_leaves_only_what_can_be_resumed(
    body: str, reason: str, left: list[str], workspace: Workspace, tmp_path: Path, install_format: Callable[[str], None]
) -> None:
    install_format(f"def write(rows, output, options):\n    {body}\n")
    with pytest.raises(InputError) as refused:
        export_dataset(workspace, "theirs", tmp_path / "out")
    assert refused.value.found == f"The extension 'theirs' of the package their-package failed: {reason}"
    assert sorted(path.name for path in (tmp_path / "out").glob("*")) == left
    assert (tmp_path / "out").exists() == bool(left)


def test_memory_does_not_grow_with_clips_and_utterances(workspace: Workspace, peak_bytes: Callable[..., int]) -> None:
    train = next(iter(read_rows(workspace.manifests / "train.jsonl", SplitPairRow)))
    replace = msgspec.structs.replace

    def peak(count: int, *, limit: float = 0) -> int:
        numbers = [f"{number:06d}" for number in range(count)]
        write_rows(workspace.manifests / "clips.jsonl", (replace(train.clip, id=f"c{one}") for one in numbers))
        write_rows(
            workspace.manifests / "utterances.jsonl", (replace(train.utterance, id=f"u{one}") for one in numbers)
        )
        write_rows(
            workspace.manifests / "train.jsonl",
            (
                replace(
                    train,
                    id=one,
                    clip=replace(train.clip, id=f"c{one}"),
                    utterance=replace(train.utterance, id=f"u{one}"),
                )
                for one in numbers
            ),
        )
        write_rows(
            workspace.manifests / "pairs.jsonl",
            (PairRow(id=one, class_id=train.label.id, clip=f"c{one}", utterance=f"u{one}") for one in numbers),
        )
        write_rows(workspace.manifests / "test.jsonl", ())

        def read() -> None:
            rows = ExportedRows(workspace, with_media=False)
            assert rows.counts == {table: {"train": count} for table in ("clips", "utterances", "pairs")}

        return peak_bytes(read, limit=limit)

    limit = peak(500) + 250_000  # a dictionary of 3,000 more items takes 1 MB
    assert peak(2_000, limit=limit) < limit


def test_two_clips_of_one_name_are_refused(workspace: Workspace) -> None:
    path = workspace.manifests / "clips.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *lines]) + "\n")
    with pytest.raises((InputError, ManifestError)):
        ExportedRows(workspace, with_media=True)
