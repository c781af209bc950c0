from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from dataset_tools.build.build_speech import check_speech_options
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.speech.synthesis import SpeechOptions, synthesize

OPTIONS = {field.name for field in fields(SpeechOptions)}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def clips(make_clip: Callable[..., ClipRow]) -> list[ClipRow]:
    """Three clips of four classes, of four persons."""
    ids = ["cut_carrot_knife", "stir_onion_spatula", "pour_milk_frying-pan", "squeeze_lemon"]
    return [
        make_clip(one, 7 + (n + place) % 4, 1 + place, 100 * n + 1) for place, one in enumerate(ids) for n in range(3)
    ]


def speak(workspace: Workspace, clips: list[ClipRow], classes: ClassFile, **options) -> tuple[list[UtteranceRow], dict]:
    chosen = SpeechOptions(**{name: options.pop(name) for name in OPTIONS & options.keys()})
    with Ledger(workspace.ledger) as ledger:
        return synthesize(workspace, clips, classes, chosen, ledger=ledger, **options)


def contents(workspace: Workspace) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(workspace.speech.iterdir())}


def test_one_utterance_a_clip(workspace: Workspace, clips: list[ClipRow], classes: ClassFile) -> None:
    rows, failures = speak(workspace, clips, classes, jobs=2)
    assert not failures
    assert sorted(row.clip for row in rows) == sorted(clip.id for clip in clips)
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    by_id = {clip.id: clip for clip in clips}
    for row in rows:
        assert row.id == f"{row.clip}_{row.voice}"
        assert row.path == f"speech/{row.id}.wav"
        assert row.class_id == by_id[row.clip].class_id
        assert (row.language, row.source, row.text_source) == ("en", "synthesized", "grammar")
        assert row.engine is not None
        assert row.engine.startswith("espeak ")
        path = workspace.root / row.path
        assert row.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        with wave.open(str(path)) as file:
            assert file.getparams()[:3] == (1, 2, 16000) == (1, 2, row.sample_rate_hz)
            assert row.duration_s == file.getnframes() / 16000
        assert 0.8 < row.duration_s < 6
        assert row.quality["warnings"] == []
        assert row.quality["loudness_lufs"] + row.quality["gain_db"] == pytest.approx(-23, abs=3)
    assert sorted(contents(workspace)) == sorted(f"{row.id}.wav" for row in rows)  # and nothing else


def test_what_was_judged_bad_gets_another_voice_and_then_another_rendering(
    workspace: Workspace, clips: list[ClipRow], classes: ClassFile
) -> None:
    engine = "espeak:en-us"  # an eighth of the voices
    rows, _ = speak(workspace, clips, classes, engine=engine)
    first, *others = rows
    own = {row.voice for row in rows if row.id.startswith(f"{first.clip}_")}
    bad: dict[str, int] = {}
    renderings = {first.sha256}
    now = first
    while not bad.get(now.id):  # until all voices of the person were judged bad once
        bad[now.id] = 1
        anew, _ = speak(workspace, clips, classes, engine=engine, judged_bad=bad)
        (now,) = (row for row in anew if row.clip == first.clip)
        assert [row for row in anew if row.clip != first.clip] == others
        assert now.text == first.text
        assert now.sha256 not in renderings
        renderings.add(now.sha256)
        own.add(now.voice)
    assert now.id == first.id
    assert len(renderings) == len(bad) + 1 == len(own) + 1
    assert own.isdisjoint({row.voice for row in others if row.clip.split("-")[0] != first.clip.split("-")[0]})
    assert speak(workspace, clips, classes, engine=engine)[0] == rows


def test_a_voice_belongs_to_one_person(workspace: Workspace, clips: list[ClipRow], classes: ClassFile) -> None:
    rows, _ = speak(workspace, clips, classes, jobs=2)
    person_of = {clip.id: clip.person for clip in clips}
    persons: dict[str, set[str]] = {}
    for row in rows:
        persons.setdefault(row.voice.rpartition("+")[2], set()).add(person_of[row.clip])
    assert all(len(owners) == 1 for owners in persons.values())
    assert len(persons) > len(set(person_of.values()))  # several each


def test_the_same_bytes_whatever_the_jobs(tmp_path: Path, clips: list[ClipRow], classes: ClassFile) -> None:
    one, three = Workspace(tmp_path / "one"), Workspace(tmp_path / "three")
    assert speak(one, clips, classes, jobs=1) == speak(three, clips[::-1], classes, jobs=3)
    assert contents(one) == contents(three)
    assert one.ledger.read_bytes() == three.ledger.read_bytes()


def test_another_seed_is_another_data_set(tmp_path: Path, clips: list[ClipRow], classes: ClassFile) -> None:
    texts, voices = [], []
    for seed in (0, 1):
        rows, _ = speak(Workspace(tmp_path / str(seed)), clips[:6], classes, jobs=2, seed=seed)
        by_clip = {row.clip: row for row in rows}
        texts.append([by_clip[clip.id].text for clip in clips[:6]])
        voices.append([by_clip[clip.id].voice for clip in clips[:6]])
    assert texts[0] != texts[1]
    assert voices[0] != voices[1]


def test_other_options_in_the_same_workspace_make_what_they_make_in_a_fresh_one(
    tmp_path: Path, clips: list[ClipRow], classes: ClassFile, plain_engine: Callable[[str], str]
) -> None:
    engine = plain_engine("plain") + ":1"  # one voice: the names of the files stay, the sentences change
    used, fresh = Workspace(tmp_path / "used"), Workspace(tmp_path / "fresh")
    speak(used, clips[:3], classes, engine=engine, seed=0)
    before = contents(used)
    rows = speak(used, clips[:3], classes, engine=engine, seed=1)
    assert rows == speak(fresh, clips[:3], classes, engine=engine, seed=1)
    assert contents(used) == contents(fresh)
    assert contents(used).keys() == before.keys()
    assert contents(used) != before


def test_a_persons_sentence_takes_the_place_of_the_grammars(
    workspace: Workspace, clips: list[ClipRow], classes: ClassFile, tmp_path: Path
) -> None:
    (before,), _ = speak(workspace, clips[:1], classes)
    span = {"timestamps": [[1, 9999]], "sentences": ["He chops the carrot."], "fps": 29.4, "num_frames": 9999}
    tacos = tmp_path / "sentences.json"
    tacos.write_text(json.dumps({f"{clips[0].person}-{clips[0].dish}.avi": span}))
    (after,), _ = speak(workspace, clips[:1], classes, sentences=(tacos,))
    assert (before.text_source, after.text_source) == ("grammar", "tacos")
    assert after.text == "He chops the carrot."
    assert after.path == before.path  # the same voice says something else now
    assert after.sha256 == sha256_of(workspace.root / after.path) != before.sha256


def test_what_is_done_is_not_done_again(workspace: Workspace, clips: list[ClipRow], classes: ClassFile) -> None:
    first = speak(workspace, clips, classes, jobs=2)
    times = {path: path.stat().st_mtime_ns for path in workspace.speech.iterdir()}
    gone = workspace.root / first[0][3].path
    before = gone.read_bytes()
    gone.unlink()
    seen: list[tuple[int, int]] = []
    again = speak(
        workspace, clips, classes, jobs=2, progress=lambda stage, done, total, note="": seen.append((done, total))
    )
    assert again == first
    assert gone.read_bytes() == before
    assert seen == [(11, 12), (12, 12)]
    assert {path for path, time_ns in times.items() if path.stat().st_mtime_ns != time_ns} == {gone}


KILLED = """
import os, signal, sys
from pathlib import Path
import msgspec
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.ledger import Ledger
from dataset_tools.manifests import ClipRow
from dataset_tools.speech.synthesis import synthesize
from dataset_tools.core.workspace import Workspace

if __name__ == "__main__":
    workspace = Workspace(Path(sys.argv[1]))
    clips = msgspec.json.decode(sys.argv[2], type=list[ClipRow])
    with Ledger(workspace.ledger) as ledger:
        synthesize(workspace, clips, load_classes(), ledger=ledger, jobs=2,
                   progress=lambda stage, done, *_: done == 5 and os.kill(os.getpid(), signal.SIGKILL))
"""


def test_killed_and_run_again_it_ends_with_the_same_bytes(
    tmp_path: Path, make_clip: Callable[..., ClipRow], classes: ClassFile
) -> None:
    import msgspec

    clips = [make_clip("cut_carrot_knife", 7 + n % 3, 1, 100 * n + 1) for n in range(60)]
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    killed, whole = Workspace(tmp_path / "killed"), Workspace(tmp_path / "whole")
    arguments = [sys.executable, str(script), str(killed.root), msgspec.json.encode(clips).decode()]
    assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
    done = len(list(killed.speech.glob("s*.wav")))
    assert 5 <= done < 60
    (killed.speech / ".partial-x.wav").touch()
    deadline = time.monotonic() + 60
    while _speaking(killed.root):  # the workers notice that they are alone
        assert time.monotonic() < deadline
        time.sleep(0.05)
    seen: list[int] = []
    rows = speak(killed, clips, classes, jobs=2, progress=lambda stage, done, total, note="": seen.append(done))
    assert seen[0] >= done - 4  # what was on its way when the kill came is made again
    assert rows == speak(whole, clips, classes, jobs=2)
    assert contents(killed) == contents(whole)  # and what was half written is gone
    assert killed.ledger.read_bytes() == whole.ledger.read_bytes()


def _speaking(root: Path) -> bool:
    """Whether a process that the killed one started is still there."""
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(root).encode() in status.read_bytes():
                return True
        except OSError:
            continue
    return False


def test_failures_are_isolated_named_and_retried(
    workspace: Workspace,
    clips: list[ClipRow],
    classes: ClassFile,
    plain_engine: Callable[[str], str],
    tmp_path: Path,
) -> None:
    engine = plain_engine("plain")
    flag = tmp_path / "site" / "fails"
    flag.touch()
    rows, failures = speak(workspace, clips, classes, jobs=2, engine=engine)
    class_of = {clip.id: clip.class_id for clip in clips}
    reasons = {class_of[name.rpartition("_")[0]]: error.found for name, error in failures.items()}
    assert reasons["stir_onion_spatula"] == "It cannot say onion"
    assert "silent" in reasons["pour_milk_frying-pan"]
    assert "killed by signal 6 (SIGABRT)" in reasons["squeeze_lemon"]  # the engine took it with it
    assert len(failures) == 9
    assert {row.class_id for row in rows} == {"cut_carrot_knife"}
    assert sorted(contents(workspace)) == sorted(f"{row.id}.wav" for row in rows)
    with Ledger(workspace.ledger) as ledger:
        assert [row.id for row in ledger.status("failed")] == [f"utterance/{name}" for name in failures]

    flag.unlink()
    rows, failures = speak(workspace, clips, classes, jobs=2, engine=engine)
    assert {class_of[name.rpartition("_")[0]] for name in failures} == {"pour_milk_frying-pan", "squeeze_lemon"}
    with Ledger(workspace.ledger, retry_died=True):
        pass  # asked for
    rows, failures = speak(workspace, clips, classes, jobs=2, engine=engine)
    assert {class_of[name.rpartition("_")[0]] for name in failures} == {"pour_milk_frying-pan"}
    assert len(rows) == 9


def test_too_few_voices_are_shared_and_it_is_said(
    workspace: Workspace, clips: list[ClipRow], classes: ClassFile, plain_engine: Callable[[str], str]
) -> None:
    notes: set[str] = set()
    rows, _ = speak(
        workspace,
        clips[:3],
        classes,
        engine=plain_engine("plain") + ":1",
        progress=lambda stage, done, total, note="": notes.add(note),
    )
    assert {row.voice for row in rows} == {"tone-0"}
    assert notes == {"plain has fewer voices than there are persons: persons share voices"}


def test_a_language_that_the_engine_does_not_speak_is_refused_before_anything_is_written(
    workspace: Workspace, clips: list[ClipRow], classes: ClassFile, plain_engine: Callable[[str], str]
) -> None:
    with pytest.raises(InputError, match="no voice for the language 'zh'"):
        speak(workspace, clips, classes, engine=plain_engine("plain"), language="zh")
    assert not workspace.speech.exists()


@pytest.mark.parametrize(
    ("held", "why"),
    [
        ("self.lock = __import__('threading').Lock()", "TypeError: cannot pickle '_thread.lock' object"),
        ("self.__class__ = type('Local', (Plain,), {})", "PicklingError: Can't pickle <class 'plain_speech.Local'>"),
        ("Plain.__setstate__ = lambda self, state: state['model']", "KeyError: 'model'"),
    ],
)
def test_an_engine_that_workers_cannot_have_is_refused_before_anything_is_written(
    workspace: Workspace,
    clips: list[ClipRow],
    classes: ClassFile,
    plain_engine: Callable[[str], str],
    tmp_path: Path,
    held: str,
    why: str,
) -> None:
    engine = plain_engine("plain")
    code = tmp_path / "site" / "plain_speech.py"
    code.write_text(code.read_text().replace("int(options)\n", f"int(options)\n        {held}\n"))
    with pytest.raises(InputError, match="The extension 'plain' of the package plain cannot be pickled") as raised:
        speak(workspace, clips, classes, engine=engine)
    assert why in raised.value.found
    assert "opened by speak()" in str(raised.value.expected)
    with pytest.raises(InputError, match="cannot be pickled"):  # before clips are cut
        check_speech_options(SpeechOptions(engine), classes)
    assert not workspace.speech.exists()


def test_chinese(workspace: Workspace, clips: list[ClipRow], classes: ClassFile) -> None:
    rows, failures = speak(workspace, clips[:4], classes, language="zh", jobs=2)
    assert not failures
    assert {row.language for row in rows} == {"zh"}
    assert all(row.text.endswith("。") and row.voice.startswith("cmn") for row in rows)
    assert os.listdir(workspace.speech)
