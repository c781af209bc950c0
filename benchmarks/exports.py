"""Benchmark of exports: time against a copy of the same files, and peak memory.

    python benchmarks/exports.py [--items 20000] [--formats csv webdataset huggingface] [--media-bytes 20000]
    python benchmarks/exports.py --items 1000000 --no-media

Synthetic rows: as many utterances as clips, one pair each. Every format is measured with a tenth of the items and with
all of them, each in a separate process whose peak resident memory is reported, and read back in another process. The
ratio is the throughput relative to a plain copy of the same media (shutil.copytree, which neither hashes nor flushes)
made immediately before. Without media, rows are exported without the rebuild recipe.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from made_up_rows import clip_row, interval_id, utterance_row

from dataset_tools.core.workspace import Workspace
from dataset_tools.exports.exported_rows import ExportedRows
from dataset_tools.exports.exporting import export_dataset
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.exports.registry import FORMATS, FormatOptions, find_format
from dataset_tools.manifests import ClassLabel, ClipRow, PairRow, SplitPairRow, UtteranceRow, write_rows

CLASSES = 20
SHARD_BYTES = 50_000_000


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--media-bytes", type=int, default=20_000, help="bytes of each clip and each utterance")
    parser.add_argument("--no-media", action="store_true")
    parser.add_argument("--device", help=argparse.SUPPRESS)  # accepted by all benchmarks
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        what, name, folder = options.measure
        found = exported(Path(folder), name) if what == "export" else read_back(Path(folder) / "export", name)
        print(json.dumps({**found, "peak_mb": peak_mb()}))
        return found
    print(f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}; one is used")
    results: dict[str, Any] = {}
    for count in (options.items // 10, options.items):
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root)
            make_up(Workspace(folder / "data"), count, 0 if options.no_media else options.media_bytes)
            for name in options.formats:
                found = {} if options.no_media else {"copy_s": copied_s(folder)}
                found |= measured("export", name, folder)
                read = measured("read", name, folder)
                found |= {"read_s": read["read_s"], "read_peak_mb": read["peak_mb"], "rows": read["rows"]}
                if not options.no_media:
                    media_gb = 2 * count * options.media_bytes / 1e9
                    found |= {"gb_per_s": media_gb / found["export_s"], "ratio": found["copy_s"] / found["export_s"]}
                results.setdefault(name, {})[str(count)] = found
                shown = ", ".join(f"{key} {value:,.3g}" for key, value in found.items() if key != "rows")
                print(f"{name}, {count:,} clips and utterances: {shown}")
                shutil.rmtree(folder / "export")
    print(json.dumps(results))
    return results


def make_up(place: Workspace, count: int, media_bytes: int) -> None:
    """Writes manifests of clips and utterances, row by row, and their files if ``media_bytes`` is not 0."""
    for folder in (place.manifests, place.clips, place.speech):
        folder.mkdir(parents=True)
    for row in (row for number in range(count if media_bytes else 0) for row in item(number, media_bytes)):
        (place.root / row.path).write_bytes(content_of(row.id, media_bytes))
    write_rows(place.manifests / "clips.jsonl", (item(number, media_bytes)[0] for number in range(count)))
    write_rows(place.manifests / "utterances.jsonl", (item(number, media_bytes)[1] for number in range(count)))
    write_rows(place.manifests / "pairs.jsonl", (pair(number) for number in range(count)))
    for side in ("train", "test"):
        numbers = (number for number in range(count) if (number % 10 == 0) == (side == "test"))
        write_rows(place.manifests / f"{side}.jsonl", (split_pair(number, side, media_bytes) for number in numbers))
    record = {"schema": "fmn.build/1", "stand_in": {"notice": "made up"}, "own_footage": False, "licences": []}
    (place.manifests / "build.json").write_text(json.dumps(record))


def item(number: int, media_bytes: int) -> tuple[ClipRow, UtteranceRow]:
    class_id, clip_id = f"class{number % CLASSES}", interval_id("s07-d20", 60 * number + 1, digits=9)
    utterance_id = f"{clip_id}_en+m1"
    return (
        clip_row(clip_id, class_id, sha256=digest_of(clip_id, media_bytes)),
        utterance_row(utterance_id, class_id, clip_id, sha256=digest_of(utterance_id, media_bytes)),
    )


def content_of(name: str, media_bytes: int) -> bytes:
    """Incompressible bytes, different for every name."""
    return hashlib.shake_128(name.encode()).digest(media_bytes)


def digest_of(name: str, media_bytes: int) -> str:
    return hashlib.sha256(content_of(name, media_bytes) if media_bytes else name.encode()).hexdigest()


def pair(number: int) -> PairRow:
    clip, utterance = item(number, 0)
    return PairRow(id=f"{clip.id}__{utterance.id}", class_id=clip.class_id, clip=clip.id, utterance=utterance.id)


def split_pair(number: int, side: Any, media_bytes: int) -> SplitPairRow:
    clip, utterance = item(number, media_bytes)
    label = ClassLabel(id=clip.class_id, action="cut", subject=clip.class_id, object=None)
    fold = number % 5 if side == "train" else None
    return SplitPairRow(id=pair(number).id, label=label, clip=clip, utterance=utterance, split=side, fold=fold)


def copied_s(folder: Path) -> float:
    """Seconds of a plain copy of the media."""
    started = time.perf_counter()
    for kind in ("clips", "speech"):
        shutil.copytree(folder / "data" / kind, folder / "copy" / kind)
    took_s = time.perf_counter() - started
    shutil.rmtree(folder / "copy")
    return took_s


def measured(what: str, name: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", what, name, str(folder)]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return found


def exported(folder: Path, name: str) -> dict[str, Any]:
    place, options = Workspace(folder / "data"), FormatOptions(shard_bytes=SHARD_BYTES)
    has_media = any(place.clips.iterdir())
    before_mb, started = peak_mb(), time.perf_counter()
    if has_media:
        export_dataset(place, name, folder / "export", options=options)
    else:
        with OutputFolder(folder / "export", {"schema": "fmn.export/1"}) as output:
            find_format(name)(ExportedRows(place, with_media=False), output, options)
    return {"export_s": time.perf_counter() - started, "before_mb": before_mb}


def read_back(folder: Path, name: str) -> dict[str, Any]:
    """Reads every row and every file of an export, one at a time, and counts the rows."""
    started, rows = time.perf_counter(), 0
    if name == "csv":
        for table in folder.glob("*.csv"):
            with table.open(newline="", encoding="utf-8") as file:
                rows += sum(1 for _ in csv.DictReader(file))
        for path in folder.glob("*/*"):
            path.read_bytes()
    elif name == "webdataset":
        for shard in folder.glob("*.tar"):
            with tarfile.open(shard, "r|") as archive:
                for member in archive:
                    archive.extractfile(member).read()  # type: ignore[union-attr]
                    rows += member.name.endswith(".json")
                    archive.members = []  # otherwise it keeps all members in memory
        for table in folder.glob("*.jsonl"):
            with table.open("rb") as lines:
                rows += sum(1 for _ in lines)
    else:
        from pyarrow.parquet import ParquetFile

        for shard in folder.glob("data/*.parquet"):
            rows += sum(batch.num_rows for batch in ParquetFile(shard).iter_batches(batch_size=256))
    return {"read_s": time.perf_counter() - started, "rows": rows}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)


if __name__ == "__main__":
    main()
