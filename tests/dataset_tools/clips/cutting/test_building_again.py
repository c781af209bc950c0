"""A build that is run again, elsewhere, or after kills: the same bytes, and nothing is cut twice."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from dataset_tools.build.building import build_dataset
from dataset_tools.build_record import BuildOptions
from dataset_tools.classes.reader import load_classes
from dataset_tools.core import worker_pool
from dataset_tools.core.ledger import read_ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Corpus

CLASSES = load_classes()
OPTIONS = BuildOptions(per_class=8, short_side=64, speech=False)


def test_jobs_make_no_difference_and_a_second_build_does_nothing(
    corpus: Corpus, tmp_path: Path, contents: Callable[[Workspace], dict[str, bytes]]
) -> None:
    one, three = Workspace(tmp_path / "one"), Workspace(tmp_path / "three")
    build_dataset(one, corpus, CLASSES, OPTIONS, jobs=1)
    build_dataset(three, corpus, CLASSES, OPTIONS, jobs=3)
    assert contents(one) == contents(three)
    before = {path: path.stat().st_mtime_ns for path in one.clips.iterdir()}
    build_dataset(one, corpus, CLASSES, OPTIONS, jobs=2)
    assert contents(one) == contents(three)
    assert {path: path.stat().st_mtime_ns for path in one.clips.iterdir()} == before


def test_nothing_is_cut_again_elsewhere_or_without_ledger_and_cache(
    corpus: Corpus, workspace: Workspace, contents: Callable[[Workspace], dict[str, bytes]]
) -> None:
    build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=2)
    expected = contents(workspace)
    moved = Workspace(workspace.root.with_name("moved"))
    workspace.root.rename(moved.root)
    videos = {}
    for name, path in corpus.videos.items():  # other places, other times, the same contents
        other = path.with_name("copy-" + path.name)
        shutil.copy(path, other)
        os.utime(other, (1, 1))
        path.unlink()
        videos[name] = other
    elsewhere = Corpus(**{**vars(corpus), "videos": videos})
    before = {path: path.stat().st_mtime_ns for path in moved.clips.iterdir()}
    build_dataset(moved, elsewhere, CLASSES, OPTIONS, jobs=2)
    assert contents(moved) == expected
    shutil.rmtree(moved.cache)
    moved.ledger.unlink()
    build_dataset(moved, elsewhere, CLASSES, OPTIONS, jobs=2)
    assert contents(moved) == expected
    assert {path: path.stat().st_mtime_ns for path in moved.clips.iterdir()} == before


def test_another_content_is_cut_again_even_with_the_times_of_the_old(
    corpus: Corpus,
    workspace: Workspace,
    write_video: Callable[..., Path],
    read_numbers: Callable[[Path], list[int]],
    rows_of: Callable,
) -> None:
    path = corpus.videos["s07-d20-cam-002"]
    os.truncate(path, path.stat().st_size + 100_000)  # zeros at the end, which readers ignore
    build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=2)
    status = path.stat()
    with path.open("r+b") as file:
        file.write(write_video(path.with_name("other.avi"), range(1001, 1301), g=250).read_bytes())
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=2)
    for row in rows_of(workspace):
        first = row.start_frame + (1000 if row.person == "s07" else 0)
        assert read_numbers(workspace.root / row.path)[0] == first


def test_another_selection_leaves_no_stale_rows_and_deletes_no_files(
    corpus: Corpus, workspace: Workspace, rows_of: Callable, contents: Callable[[Workspace], dict[str, bytes]]
) -> None:
    build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=2)
    whole = contents(workspace)
    few = BuildOptions(**{**vars(OPTIONS), "per_class": 3})
    build_dataset(workspace, corpus, CLASSES, few, jobs=2)
    rows = rows_of(workspace)
    assert len(rows) == 6
    assert len(list(workspace.clips.iterdir())) == 16
    assert {name for name in read_ledger(workspace.ledger) if name.startswith("clip/")} == {
        f"clip/{r.id}" for r in rows
    }
    times = {path: path.stat().st_mtime_ns for path in workspace.clips.iterdir()}
    build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=2)
    assert contents(workspace) == whole
    assert {path: path.stat().st_mtime_ns for path in workspace.clips.iterdir()} == times


def build_with_speech(workspace: Workspace, corpus: Corpus) -> None:
    vars(sys.modules["__main__"]).pop("__file__", None)  # as in a command: workers import what they need, no more
    build_dataset(workspace, corpus, CLASSES, BuildOptions(per_class=8, short_side=64), jobs=2)


@contextmanager
def started_build(workspace: Workspace, corpus: Corpus) -> Iterator[BaseProcess]:
    """A build with speech in a process of its own, which has all imported."""
    context = worker_pool.worker_context(worker_pool.imported_by_workers(build_with_speech))
    process = context.Process(target=build_with_speech, args=(workspace, corpus))  # type: ignore[attr-defined]
    process.start()
    yield process
    process.join()
    process.close()


def test_killed_again_and_again_a_build_ends_with_the_same_bytes(
    corpus: Corpus, tmp_path: Path, contents: Callable[[Workspace], dict[str, bytes]]
) -> None:
    undisturbed = Workspace(tmp_path / "undisturbed")
    started = time.monotonic()
    with started_build(undisturbed, corpus) as process:
        process.join()
        assert process.exitcode == 0
    took_s = time.monotonic() - started
    expected = contents(undisturbed)
    assert len([name for name in expected if name.endswith(".wav")]) == 16
    killed = Workspace(tmp_path / "killed")
    finished: dict[Path, int] = {}
    for share in (0.3, 0.4, 0.5, None):
        with started_build(killed, corpus) as process:
            if share is None:
                process.join()
                assert process.exitcode == 0
            else:
                time.sleep(took_s * share)
                process.kill()
        now = {path: path.stat().st_mtime_ns for path in killed.clips.glob("[!.]*")}
        assert {path: now[path] for path in finished} == finished  # nothing that was finished is done again
        finished = now
    assert contents(killed) == expected
