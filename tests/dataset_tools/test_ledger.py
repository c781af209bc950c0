from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from dataset_tools.errors import ManifestError, SampleError, StoppedError
from dataset_tools.ledger import Ledger, LedgerRow, read_ledger
from dataset_tools.workspace import Workspace


def row(name: str, key: str = "k", **values: object) -> LedgerRow:
    return LedgerRow(id=f"clip/{name}", status="ok", stage="cut", key=key, **values)


def test_what_is_done_is_known_again(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"12345")
    done = row("a", path="clips/a.mp4", size_bytes=5, sha256="x", values={"frames": 9})
    with Ledger(place) as ledger:
        ledger.record(done)
    with Ledger(place) as ledger:
        assert ledger.finished("clip/a", "k") == done
        assert ledger.finished("clip/a", "another key") is None
        assert ledger.finished("clip/b", "k") is None
        (tmp_path / "clips" / "a.mp4").write_bytes(b"1234")
        assert ledger.finished("clip/a", "k") is None
        (tmp_path / "clips" / "a.mp4").unlink()
        assert ledger.finished("clip/a", "k") is None


def test_a_failure_is_kept_with_its_reason_and_is_not_finished(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    with Ledger(place) as ledger:
        ledger.fail("clip/a", "cut", SampleError("torn", where="a.avi"), key="k")
        assert ledger.finished("clip/a", "k") is None
    (failed,) = read_ledger(place.ledger).values()
    assert (failed.status, failed.stage, failed.reason) == ("failed", "cut", {"found": "torn", "where": "a.avi"})


def test_the_order_of_work_leaves_no_trace(tmp_path: Path) -> None:
    contents = set()
    for seed in range(3):
        place = Workspace(tmp_path / str(seed))
        names = list("abcdef")
        random.Random(seed).shuffle(names)
        with Ledger(place) as ledger:
            for name in names:
                ledger.record(row(name))
        contents.add(place.ledger.read_bytes())
    assert len(contents) == 1
    assert contents.pop().count(b"\n") == 6


@pytest.mark.parametrize("keep", range(1, 120, 7))
def test_killed_while_writing_it_loses_at_most_the_torn_row(tmp_path: Path, keep: int) -> None:
    place = Workspace(tmp_path)
    whole = msgspec.json.encode(row("a")) + b"\n"
    place.ledger.write_bytes(whole + msgspec.json.encode(row("b"))[:keep])
    with Ledger(place) as ledger:
        assert set(ledger.rows) == {"clip/a"}
        ledger.record(row("c"))
        # Killed again before the end: what is there so far can be read.
        assert set(read_ledger(place.ledger)) == {"clip/a", "clip/c"}
    assert place.ledger.read_bytes().count(b"\n") == 2


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    line = msgspec.json.encode(row("a")) + b"\n"
    place.ledger.write_bytes(b"{rubbish\n" + line)
    with pytest.raises(ManifestError) as caught, Ledger(place):
        pass
    assert caught.value.where == f"{place.ledger}, line 1"


def test_two_commands_in_one_workspace_do_not_mix(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    with Ledger(place), pytest.raises(StoppedError, match="Another command"), Ledger(place):
        pass
    with Ledger(place) as ledger:
        assert ledger.rows == {}


def test_samples_that_left_the_data_set_are_forgotten(tmp_path: Path) -> None:
    with Ledger(Workspace(tmp_path)) as ledger:
        for name in "abc":
            ledger.record(row(name))
        ledger.record(LedgerRow(id="utterance/a", status="ok", stage="speak"))
        ledger.keep_only("clip", {"b"})
        assert sorted(ledger.rows) == ["clip/b", "utterance/a"]
