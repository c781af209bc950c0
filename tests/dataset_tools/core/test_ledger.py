"""The ledger: rows survive a kill, one command at a time, and only what is really there counts as finished."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pkgutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.core.errors import ManifestError, SampleError, StoppedError, WorkerDiedError
from dataset_tools.core.ledger import DryRunLedger, Ledger, LedgerRow, failed, ok, read_ledger
from dataset_tools.manifests import PairRow


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def made(path: Path, name: str, key: str = "k", content: str = "abc") -> LedgerRow:
    file = path.parent / name
    file.write_text(content)
    return ok(f"clip/{name}", "cut", key, file, path.parent, "0" * 64, frames=3)


def recorded(path: Path, name: str, content: str) -> LedgerRow:
    file = path.parent / name
    file.write_text(content)
    return ok(f"clip/{name}", "cut", "k", file, path.parent, hashlib.sha256(content.encode()).hexdigest())


def test_a_file_that_a_killed_command_was_to_replace_is_finished_only_if_it_was_not(path: Path) -> None:
    with Ledger(path) as ledger:
        first = {name: recorded(path, name, "abc") for name in ("a", "b", "c")}
        for row in first.values():
            ledger.record(row)
    complete = path.read_bytes()
    with Ledger(path) as ledger:
        ledger.mark_for_replacement(["clip/a", "clip/b", "clip/new"])
        (path.parent / "a").write_text("xyz")  # of the same size; a kill leaves no row of it
    with Ledger(path) as ledger:  # another command, so that the journal is gone
        assert set(ledger.rows) == {"clip/a", "clip/b", "clip/c"}
    with DryRunLedger(path) as planned:
        assert [name for name in first if planned.finished(f"clip/{name}", "k")] == ["b", "c"]
    with Ledger(path) as ledger:
        assert ledger.finished("clip/a", "k") is None
        assert [ledger.finished(f"clip/{name}", "k") for name in "bc"] == [first["b"], first["c"]]
        ledger.record(recorded(path, "a", "abc"))
    assert path.read_bytes() == complete


@pytest.mark.parametrize("reader", ["dataset_tools.core.ledger.read_jsonl", "pathlib.Path.read_bytes"])
def test_a_command_that_ends_while_its_ledger_is_read(path: Path, monkeypatch: pytest.MonkeyPatch, reader: str) -> None:
    """It ends after the file was read, or before its journal is."""
    with Ledger(path) as ledger:
        ledger.record(made(path, "a"))
    running, usual = ExitStack(), pkgutil.resolve_name(reader)
    running.enter_context(Ledger(path)).record(made(path, "b"))

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(reader, usual)
        found = list(usual(*arguments, **options)) if reader.endswith("jsonl") else None
        running.close()
        return usual(*arguments, **options) if found is None else found

    monkeypatch.setattr(reader, meanwhile)
    assert sorted(read_ledger(path)) == ["clip/a", "clip/b"]


def test_what_is_finished(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.record(made(path, "b"))
        ledger.record(made(path, "a"))
        ledger.record(failed("clip/c", "cut", SampleError("It broke", where="c.avi"), key="k"))
        assert ledger.finished("clip/a", "k") == ledger.rows["clip/a"]
        assert ledger.finished("clip/a", "other") is None
        assert ledger.finished("clip/c", "k") is None
        assert ledger.finished("clip/d", "k") is None
        (path.parent / "a").write_text("abcd")
        assert ledger.finished("clip/a", "k") is None
        (path.parent / "b").unlink()
        assert ledger.finished("clip/b", "k") is None
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["clip/a", "clip/b", "clip/c"]
    assert lines[0]["schema"] == "fmn.ledger/1"
    assert (lines[0]["path"], lines[0]["size_bytes"], lines[0]["values"]) == ("a", 3, {"frames": 3})
    assert lines[2]["reason"] == {"found": "It broke", "where": "c.avi"}


def test_what_killed_its_worker_is_known_until_its_inputs_change_or_it_is_asked_for(path: Path) -> None:
    died = WorkerDiedError("Killed by signal 9", where="c.avi", expected="life", next_step="fewer --jobs")
    with Ledger(path) as ledger:
        ledger.record(failed("clip/c", "cut", died, key="k"))
        ledger.record(failed("clip/d", "cut", SampleError("It broke"), key="k"))
    with Ledger(path) as ledger:
        known = ledger.died("clip/c", "k")
        assert known is not None
        assert known.as_dict() == died.as_dict()
        ledger.record(failed("clip/c", "cut", known, key="k"))  # as the next run notes it
        assert ledger.died("clip/c", "k") is not None
        assert ledger.died("clip/c", "other") is None
        assert ledger.died("clip/d", "k") is None
        assert ledger.died("clip/e", "k") is None
    before = path.read_bytes()
    for retry_died in (False, True):
        with DryRunLedger(path, retry_died=retry_died) as ledger:
            assert (ledger.died("clip/c", "k") is None) == retry_died
    assert path.read_bytes() == before
    with Ledger(path, retry_died=True) as ledger:
        assert ledger.died("clip/c", "k") is None
        assert len(ledger.status("failed")) == 2
    with Ledger(path) as ledger:
        assert ledger.died("clip/c", "k") is None


def test_rows_are_the_same_when_read_again_and_in_any_order(path: Path) -> None:
    rows = [made(path, name) for name in "abcdef"]
    with Ledger(path) as ledger:
        for row in rows:
            ledger.record(row)
    first = path.read_bytes()
    path.unlink()
    with Ledger(path) as ledger:
        for row in reversed(rows):
            ledger.record(row)
    assert path.read_bytes() == first
    assert list(read_ledger(path).values()) == rows
    assert not list(path.parent.glob("cache/*journal*"))


def test_the_last_row_of_a_sample_counts_and_rows_can_be_forgotten(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.record(failed("clip/a", "cut", SampleError("It broke")))
        ledger.record(made(path, "a"))
        ledger.record(made(path, "b"))
    with Ledger(path) as ledger:
        assert [row.id for row in ledger.status("ok")] == ["clip/a", "clip/b"]
        assert ledger.status("failed") == []
        ledger.forget(["clip/b", "clip/never"])
    assert list(read_ledger(path)) == ["clip/a"]


KILLED = """
import os, signal, sys
from pathlib import Path
from dataset_tools.core.errors import SampleError
from dataset_tools.core.ledger import Ledger, failed
with Ledger(Path(sys.argv[1])) as ledger:
    for number in range(100):
        ledger.record(failed(f"clip/{number:03d}", "cut", SampleError("It broke")))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_loses_nothing(path: Path) -> None:
    command = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert command.returncode == -signal.SIGKILL
    journal = path.parent / "cache" / "ledger.journal"
    torn = journal.read_bytes()[:-20]
    journal.write_bytes(torn)
    assert len(read_ledger(path)) == 99
    with Ledger(path) as ledger:
        assert len(ledger.rows) == 99
        assert len(path.read_text().splitlines()) == 99  # merged at once, before anything new is written
        ledger.record(failed("clip/099", "cut", SampleError("It broke")))
    assert list(read_ledger(path)) == [f"clip/{number:03d}" for number in range(100)]


def test_a_kill_brings_no_row_back_that_was_forgotten_before_the_ledger_was_saved(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.record(made(path, "a"))
    with Ledger(path) as ledger:
        ledger.record(made(path, "b"))
        ledger.record(made(path, "c"))
        ledger.forget(["clip/a", "clip/b"])
        assert set(read_ledger(path)) == {"clip/a", "clip/b", "clip/c"}  # as after a kill
        ledger.save()
        assert set(read_ledger(path)) == {"clip/c"}
        ledger.record(made(path, "d"))
        assert set(read_ledger(path)) == {"clip/c", "clip/d"}
    assert set(read_ledger(path)) == {"clip/c", "clip/d"}


def test_what_a_kill_left_half_written_goes_when_the_next_command_starts(path: Path) -> None:
    left = [path.parent / name for name in (".partial-a.jsonl", "clips/.partial-b.mp4", "manifests/.partial-c.jsonl")]
    kept = [path.parent / name for name in ("notes.txt", "clips/a.mp4")]
    for file in (*left, *kept):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    with Ledger(path):
        assert not any(file.exists() for file in left)
        assert all(file.exists() for file in kept)


def test_a_second_command_is_refused_and_not_for_ever(path: Path) -> None:
    with Ledger(path), pytest.raises(StoppedError) as caught:
        Ledger(path).__enter__()
    assert "Another command" in caught.value.found
    assert caught.value.exit_code == 3
    with Ledger(path):
        pass


@pytest.mark.parametrize(
    ("line", "told"), [("{", "line 2"), ('{"schema":"fmn.ledger/2","id":"clip/b"}', "line 2"), ("[]", "line 2")]
)
def test_a_broken_file_is_refused_and_left_alone(path: Path, line: str, told: str) -> None:
    with Ledger(path) as ledger:
        ledger.record(made(path, "a"))
    content = path.read_text() + line + "\n"
    path.write_text(content)
    with pytest.raises(ManifestError) as caught:
        Ledger(path).__enter__()
    assert told in str(caught.value.where)
    assert "ledger.jsonl" in str(caught.value.next_step)
    assert path.read_text() == content
    path.unlink()
    with Ledger(path):  # the refusal let go of the lock
        pass


def test_a_full_disk_stops(path: Path) -> None:
    with Ledger(path) as ledger:
        assert ledger._journal is not None
        ledger._journal.close()
        ledger._journal = io.FileIO("/dev/full", "wb")
        with pytest.raises(StoppedError) as caught:
            ledger.record(failed("clip/a", "cut", SampleError("It broke")))
        assert os.strerror(28) in caught.value.found
        assert "clip/a" not in ledger.rows


@pytest.mark.parametrize("values", [{}, {"row": 3}, {"row": {"id": "a"}}])
def test_a_row_whose_values_are_not_what_the_toolkit_writes_is_named(values: dict[str, object]) -> None:
    row = LedgerRow(id="utterance/a", status="ok", stage="speak", values=values)
    for read in (lambda: row.value("row", PairRow), lambda: row.values_as(PairRow)):
        with pytest.raises(ManifestError, match="utterance/a") as caught:
            read()
        assert caught.value.where == "ledger.jsonl"
