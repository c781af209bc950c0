"""A speaker withdraws: nothing of the voice stays, whenever the command is killed, and nothing brings it back."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file
from typer.testing import CliRunner

from dataset_tools.classes.reader import load_classes
from dataset_tools.cli.main import app
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import PARTIAL
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, append_reviews, read_reviews, reviews_path
from dataset_tools.label_studio.withdrawn_tasks import without_withdrawn
from dataset_tools.manifests import ClipRow, SplitPairRow, UtteranceRow, read_rows, write_rows
from dataset_tools.pairs.dealing import PairOptions
from dataset_tools.pairs.pairing import make_pairs
from dataset_tools.speech.consents import CONSENT, Consents, note_speakers
from dataset_tools.speech.dataset_speech import SpeechOptions, assemble, import_dataset, synthesize_dataset
from dataset_tools.speech.recording_rows import RecordingRow
from dataset_tools.speech.speaker_facts import SpeakerFacts
from dataset_tools.speech.transcripts import TranscriptRow, transcripts_path
from dataset_tools.speech.withdrawn_recordings import withdrawn_utterances
from dataset_tools.withdrawal.forgetting import forget_voice
from dataset_tools.withdrawal.recorded_voice import find_voice
from dataset_tools.withdrawal.remains import own_files, sizes_of

CLASSES = load_classes()
VOICE, OTHER = "annabel-q", "ben"
STONE = hashlib.sha256(VOICE.encode()).hexdigest()
SPEECH = SpeechOptions(augment=1)


def rows(place: Workspace) -> list[UtteranceRow]:
    return list(read_rows(place.manifests / "utterances.jsonl", UtteranceRow))


def of(place: Workspace, voice: str) -> list[UtteranceRow]:
    return [row for row in rows(place) if row.voice == voice]


def run(place: Workspace, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "-w", str(place.root)])
    return result.exit_code, result.stdout if "--json" in arguments else result.output


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A list of recordings of two voices, turn about: of clips, and the last four of a class only."""
    folder = tmp_path / "monday"
    folder.mkdir()
    random = np.random.default_rng(3)
    lines = ["path,class,clip,voice,text"]
    for number in range(12):
        time_s = np.arange(24_000) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * random.uniform(200, 900) * time_s) * (np.sin(2 * np.pi * 2 * time_s) > -0.5)
        soundfile.write(folder / f"{number}.wav", tone, 16_000)
        clip = f"s{number:02d}-d20_000001-000050" if number < 8 else ""
        lines.append(f"{number}.wav,{'' if clip else 'cut_carrot_knife'},{clip},{(VOICE, OTHER)[number % 2]},")
    (folder / "list.csv").write_text("\n".join(lines), "utf-8")
    return folder / "list.csv"


@pytest.fixture
def place(
    tmp_path: Path, source: Path, make_clip: Callable[..., ClipRow], make_review: Callable[..., ReviewRow]
) -> Workspace:
    """A workspace with traces of the voice wherever commands leave them."""
    place = Workspace(tmp_path / "set")
    clips = [make_clip(("cut_carrot_knife", "wash_apple")[n // 4 % 2], n, 20, 1) for n in range(16)]
    clips = sorted(clips, key=lambda clip: clip.id)
    write_rows(place.manifests / "clips.jsonl", clips)
    Consents(place, CONSENT).admit("Annabel Q", agreed=True)
    Consents(place, CONSENT).admit("Ben", agreed=True)
    synthesize_dataset(place, CLASSES, SPEECH)
    import_dataset(place, source, CLASSES)
    synthesize_dataset(place, CLASSES, SPEECH)  # copies of the recordings, too
    make_pairs(place, CLASSES, PairOptions())
    own, others = ([row for row in of(place, voice) if row.clip] for voice in (VOICE, OTHER))
    assert len(own) == 8, "recordings of four clips, and a copy of each"

    copy = next(row for row in own if row.id.endswith("_aug1"))
    record = {"schema": "fmn.build/1", "failures": [copy.id, "s00"]}
    (place.manifests / "build.json").write_text(json.dumps(record), "utf-8")
    split = json.loads((place.manifests / "split.json").read_text("utf-8"))
    split["merged"] = [[own[0].id, own[1].id], [others[0].id, others[1].id, own[0].id]]
    (place.manifests / "split.json").write_text(json.dumps(split), "utf-8")
    for folder, digests in {
        "audio-0": [row.sha256 for row in rows(place)] + ["a" * 64],  # the last of a copy of earlier days
        "audio-volume-0": [path.stem for path in place.recordings.glob("*.wav")],  # of queries
        "video-0": ["b" * 64],
    }.items():
        for digest in digests:
            path = place.cache / "features" / folder / digest[:2] / f"{digest}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(digest.encode())
    checked = [
        TranscriptRow(id=row.id, sha256=row.sha256, text=row.text, checker="none", score=3.0) for row in rows(place)
    ]
    write_rows(transcripts_path(place), checked)
    (place.cache / "booth").mkdir()
    (place.cache / "booth" / "left.wav").write_bytes(b"a take that was not kept")
    for index in ("fmn-demo-clip-test", "fmn-demo-speech-test"):  # of utterances, and of clips
        (place.cache / "index" / index).mkdir(parents=True)
        (place.cache / "index" / index / "half.f32").write_bytes(b"codes")
    (place.root / "report").mkdir()
    (place.root / "report" / "index.html").write_text(f"<code>{VOICE}</code> ../speech/{own[0].id}.wav", "utf-8")
    append_reviews(
        reviews_path(place),
        [
            make_review(minute=number, annotation=number, id=name, item=item, content_sha256=digest)
            for number, row in enumerate((own[0], others[0]), start=1)
            for name, item, digest in ((row.clip, "clip", "c" * 64), (row.id, "utterance", row.sha256))
        ],
    )
    sent = [task(number, row) for number, row in enumerate((own[0], others[0]), start=1)]
    folder = place.annotations / "label-studio"
    folder.mkdir(parents=True)
    (folder / "2026-11-22T07-00-00_project-1.json").write_text(json.dumps(sent), "utf-8")
    (folder / "torn-2026.txt").write_text(f'{{"id":"{own[0].id}","item', "utf-8")
    for left in (
        "cache/features/audio-0",
        "cache/index/fmn-demo-clip-test",
        "cache/booth",
        "annotations",
        "report",
    ):  # by killed commands
        partial = place.root / left / f"{PARTIAL}x"
        partial.mkdir(parents=True)
        (partial / "half.txt").write_text(VOICE, "utf-8")
        (partial / ".lock").touch()
    return place


def task(number: int, row: UtteranceRow) -> dict[str, object]:
    data = {"clip_id": row.clip, "speech": f"/{row.path}", "utterance_id": row.id, "utterance_sha256": row.sha256}
    return {"id": number, "data": data, "annotations": [{"id": number}]}


def contents_of(place: Workspace, voice: str) -> set[str]:
    """SHA-256 of everything that the voice is heard in, from the files themselves."""
    listed = (place.recordings / "recordings.jsonl").read_text("utf-8").splitlines()
    originals = {json.loads(line)["original"] for line in listed if json.loads(line)["utterance"]["voice"] == voice}
    paths = [place.root / name for name in originals] + [p for p in place.speech.iterdir() if voice in p.name]
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def found(place: Workspace, contents: set[str]) -> list[str]:
    """Files, outside of runs/, whose name or content has the voice's name or one of the contents, or is one."""
    words = re.compile("|".join([VOICE, "Annabel", *contents]).encode())
    paths = [path for path in place.root.rglob("*") if path.is_file() and "runs" not in path.parts]
    return sorted(
        str(path.relative_to(place.root))
        for path in paths
        if words.search(path.name.encode())
        or words.search(path.read_bytes())
        or hashlib.sha256(path.read_bytes()).hexdigest() in contents
    )


def stones(place: Workspace) -> list[str]:
    lines = (place.recordings / "consents.jsonl").read_text("utf-8").splitlines()
    return [row["withdrawn"] for row in map(json.loads, lines) if "withdrawn" in row]


def test_nothing_of_the_voice_stays_and_everything_of_others_does(place: Workspace) -> None:
    contents, before = contents_of(place, VOICE), rows(place)
    kept = [row for row in before if row.voice != VOICE]
    others = contents_of(place, OTHER)
    assert len(contents) == 6 * 2 + 4
    assert len(found(place, contents)) > 40
    forget_voice(place, "Annabel Q")
    assert found(place, contents) == []
    assert stones(place) == [STONE]
    assert rows(place) == kept
    assert contents_of(place, OTHER) == others
    assert [path.parent.name for path in (place.cache / "index").rglob("*.f32")] == ["fmn-demo-speech-test"]
    left = {path.stem for path in (place.cache / "features").rglob("*.npy")}
    assert left == {row.sha256 for row in kept} | {"b" * 64}
    assert [(row.item, row.label_studio.annotation) for row in read_reviews(reviews_path(place))] == [
        ("clip", 1),
        ("clip", 2),
        ("utterance", 2),
    ]
    sides = {name: list(read_rows(place.manifests / f"{name}.jsonl", SplitPairRow)) for name in ("train", "test")}
    split = json.loads((place.manifests / "split.json").read_text("utf-8"))
    assert {name: split[name] for name in sides} == {name: len(of_side) for name, of_side in sides.items()}
    assert [one["voice_sha256"] for one in split["withdrawn"]] == [STONE]
    assert [len(same) for same in split["merged"]] == [2]
    assert json.loads((place.manifests / "build.json").read_text("utf-8"))["failures"] == ["s00"]
    raw = json.loads(next((place.annotations / "label-studio").glob("*_project-1.json")).read_text("utf-8"))
    assert [one["data"]["utterance_id"] is None for one in raw] == [True, False]


def test_the_places_are_filled_again(place: Workspace) -> None:
    def counts() -> dict[str, int]:
        own = [row for row in rows(place) if "_aug" not in row.id]
        return {name: sum(row.class_id == name for row in own) for name in ("cut_carrot_knife", "wash_apple")}

    before = counts()
    forget_voice(place, VOICE)
    assert counts() != before
    synthesize_dataset(place, CLASSES, SPEECH)
    assert counts() == before
    summary = make_pairs(place, CLASSES, PairOptions())
    assert summary.utterances == len(rows(place))
    assert not of(place, VOICE)


def killed_at(place: Workspace, number: int) -> bool:
    """Forgets the voice in a process that dies right before its ``number``-th change of a file; whether it died."""
    pid = os.fork()
    if pid == 0:
        changes = 0

        def die(event: str, arguments: Sequence[object]) -> None:
            nonlocal changes
            if event in ("os.remove", "os.rename", "os.truncate"):
                changes += 1
                if changes == number:
                    os._exit(9)

        sys.addaudithook(die)
        try:
            forget_voice(place, VOICE)
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 9)
    return code == 9


def test_killed_before_any_change_of_a_file_nothing_revives_it_and_a_rerun_completes(
    place: Workspace, tmp_path: Path
) -> None:
    contents, clips = contents_of(place, VOICE), list(read_rows(place.manifests / "clips.jsonl", ClipRow))
    number, died, half = 0, True, 0
    while died:
        number += 1
        copy = Workspace(tmp_path / f"copy-{number}")
        shutil.copytree(place.root, copy.root)
        died = killed_at(copy, number)
        if stones(copy):  # from here on, whatever is run in between takes nothing of the voice
            half += died
            make_pairs(copy, CLASSES, PairOptions())
            for name in ("pairs", "train", "test", "split"):
                for path in copy.manifests.glob(f"{name}.*"):
                    assert VOICE not in path.read_text("utf-8"), (number, path.name)
            with Ledger(copy.ledger) as ledger:
                write_rows(copy.manifests / "utterances.jsonl", assemble(copy, clips, CLASSES, ledger))
            assert not of(copy, VOICE), number
        else:
            assert len(of(copy, VOICE)) == 10, number
        forget_voice(copy, VOICE)
        assert found(copy, contents) == [], number
        assert stones(copy) == [STONE], number
        shutil.rmtree(copy.root)
    assert half > 40, "the kills were spread over the files"


def test_a_recording_that_a_killed_import_left_without_a_row_goes_too(place: Workspace) -> None:
    contents = contents_of(place, VOICE)
    for listing in ("recordings/recordings.jsonl", "manifests/utterances.jsonl", "ledger.jsonl"):
        path = place.root / listing
        path.write_text(
            "".join(line + "\n" for line in path.read_text("utf-8").splitlines() if VOICE not in line), "utf-8"
        )
    forget_voice(place, VOICE)
    assert found(place, contents) == []


def test_what_the_same_file_made_under_an_earlier_name_goes_too(place: Workspace) -> None:
    own = of(place, VOICE)[0]
    earlier = place.speech / f"{own.id.replace(VOICE, 'ben')}.wav"  # its row was removed, and it was imported again
    earlier.write_bytes(b"the same words")
    forget_voice(place, VOICE)
    assert not earlier.exists()


def test_a_rerun_names_the_copies_that_the_killed_command_would_have(place: Workspace, source: Path) -> None:
    shutil.copy(source.parent / "0.wav", place.root / "take1.wav")
    voice = find_voice(place, VOICE)
    assert "take1.wav" in own_files(place, voice, sizes_of(place, voice))
    for row in read_rows(place.recordings / "recordings.jsonl", RecordingRow):
        (place.root / row.original).unlink()  # as a kill leaves it, before or after recordings.jsonl is written
    assert "take1.wav" in own_files(place, voice, sizes_of(place, voice))
    (place.recordings / "recordings.jsonl").unlink()
    voice = find_voice(place, VOICE)
    assert "take1.wav" in own_files(place, voice, sizes_of(place, voice))


def test_files_of_users_in_its_folders_stay(place: Workspace) -> None:
    own = of(place, VOICE)[0]
    mine = [
        place.recordings / f"{own.id.rpartition('_')[2]}.txt",
        place.annotations / "label-studio" / "my_notes.json",
    ]
    for path in mine:
        path.write_text(json.dumps({"about": own.id}), "utf-8")
    forget_voice(place, VOICE)
    assert all(path.is_file() for path in mine)


def test_what_is_said_of_a_speaker_without_recordings_goes(place: Workspace) -> None:
    note_speakers(place, {"zoe-quill": SpeakerFacts(accent="Welsh")})
    forget_voice(place, "zoe-quill")
    assert b"Welsh" not in (place.recordings / "consents.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["split.json", "build.json"])
def test_a_record_that_cannot_be_read_stops_it_before_it_begins(place: Workspace, name: str) -> None:
    (place.manifests / name).write_text("{", "utf-8")
    before = {path: path.read_bytes() for path in place.root.rglob("*") if path.is_file() and path.suffix != ".lock"}
    for _ in range(2):
        with pytest.raises(InputError, match="record"):
            forget_voice(place, VOICE)
    assert {path: path.read_bytes() for path in before} == before


def test_nobody_takes_the_voice_again_until_consent_is_given_anew(place: Workspace, source: Path) -> None:
    forget_voice(place, VOICE)
    state = sorted((path, path.read_bytes()) for path in place.root.rglob("*.jsonl"))
    with pytest.raises(InputError, match=rf"withdrawn for the voice {VOICE}") as refused:
        import_dataset(place, source, CLASSES)
    assert refused.value.next_step is not None
    assert f"--renewed-consent {VOICE}" in refused.value.next_step
    assert sorted((path, path.read_bytes()) for path in place.root.rglob("*.jsonl")) == state
    with pytest.raises(InputError, match="No withdrawn consent to renew: ben"):
        import_dataset(place, source, CLASSES, renewed=[OTHER])
    consents = Consents(place, CONSENT)
    with pytest.raises(InputError, match="removed when consent was withdrawn"):
        consents.admit("Annabel Q", agreed=True)
    assert consents.admit("Annabel Q", agreed=True, other=True) == f"{VOICE}-2", "who has the same name"
    code, said = run(place, "speech", "import", str(source), "--renewed-consent", VOICE)
    assert code == 0, said
    assert len(of(place, VOICE)) == 6
    assert stones(place) == [STONE]
    forget_voice(place, VOICE)
    assert not of(place, VOICE)
    assert set(stones(place)) == {STONE}
    assert consents.admit("Annabel Q", agreed=True, anew=True) == VOICE
    assert consents.is_admitted(VOICE)


def test_what_label_studio_still_shows_comes_back_without_the_voice(place: Workspace) -> None:
    own, other = of(place, VOICE)[0], of(place, OTHER)[0]
    assert without_withdrawn(task(1, own), withdrawn_utterances(place)) == task(1, own)
    forget_voice(place, VOICE)
    cleared = without_withdrawn(task(1, own), withdrawn_utterances(place))
    assert VOICE not in json.dumps(cleared)
    assert cleared["annotations"] == [{"id": 1}]
    assert without_withdrawn(task(2, other), withdrawn_utterances(place)) == task(2, other)


def test_the_command_shows_asks_and_names_runs_and_own_files(place: Workspace, source: Path) -> None:
    contents = contents_of(place, VOICE)
    shutil.copytree(source.parent, place.root / "monday")
    of_mine = ["manifests/train-v1.jsonl", "recordings/backup.wav"]  # beside those that the command mends and removes
    shutil.copy(place.manifests / "train.jsonl", place.root / of_mine[0])
    shutil.copy(source.parent / "0.wav", place.root / of_mine[1])
    of_study = "runs/noise-demo/20/train.jsonl"  # as of fmn noise
    (place.root / of_study).parent.mkdir(parents=True)
    shutil.copy(place.manifests / "train.jsonl", place.root / of_study)
    (place.runs / "noise-demo" / "noise.json").write_text('{"systems": ["fmn"]}', "utf-8")
    digest = hashlib.sha256((place.manifests / "train.jsonl").read_bytes()).hexdigest()
    states: dict[str, dict[str, object] | None] = {
        "trained": {"fitted_utterances": [row.id for row in rows(place)], "manifest_sha256": digest},
        "validated": {"fitted_utterances": [], "manifest_sha256": digest},
        "none": {"fitted_utterances": [], "manifest_sha256": "0" * 64},
        "learned": {"fitted_utterances": [], "manifest_sha256": "0" * 64},
        "ranked": {"fitted_utterances": [], "manifest_sha256": "0" * 64},
        "silent": None,
    }
    for name, state in states.items():
        (place.runs / name).mkdir(parents=True)
        (place.runs / name / "config.json").write_text("{}", "utf-8")
        if state is not None:
            (place.runs / name / "state.json").write_text(json.dumps(state), "utf-8")
    mine = [row.id for row in of(place, VOICE)]
    about = json.dumps({"items": {"video": [], "audio": mine}})  # as of fmn learn
    save_file({"rows": np.zeros(3)}, place.runs / "learned" / "new_classes.safetensors", {"about": about})
    save_file({"rows": np.zeros(3)}, place.runs / "none" / "new_classes.safetensors", {"about": "{}"})
    (place.runs / "ranked" / "trec").mkdir()
    (place.runs / "ranked" / "trec" / "audio.run.txt").write_text(f"{mine[0]} Q0 c1 1 0.5 fmn\n", "utf-8")
    before = {path: path.read_bytes() for path in place.root.rglob("*") if path.is_file()}
    code, said = run(place, "speech", "forget", VOICE)
    assert code == 2
    assert "--yes" in said
    code, said = run(place, "speech", "forget", VOICE, "--dry-run", "--json")
    planned = json.loads(said)
    assert code == 0
    assert planned["dry_run"]
    assert {path: path.read_bytes() for path in place.root.rglob("*") if path.is_file()} == before
    code, said = run(place, "speech", "forget", VOICE, "--yes", "--json")
    done = json.loads(said)
    assert code == 0, said
    gone = [path for path in before if not path.exists()]
    assert done["files"] == planned["files"] == len(gone)
    assert done["size_bytes"] == sum(len(before[path]) for path in gone)
    assert {one["run"]: (one["link"], one["utterances"]) for one in done["runs"]} == {
        "runs/trained": ("trained", 10),
        "runs/validated": ("validated", 0),
        "runs/silent": ("unknown", 0),
        "runs/learned": ("learned", 0),
        "runs/ranked": ("named", 0),
    }
    assert done["left"] == sorted(
        ["monday/list.csv", *(f"monday/{number}.wav" for number in range(0, 12, 2)), *of_mine, of_study]
    )
    assert planned["left"] == done["left"]
    for name in (*of_mine, of_study):
        (place.root / name).unlink()
    shutil.rmtree(place.root / "monday")
    assert found(place, contents) == []
    code, said = run(place, "speech", "forget", VOICE, "--yes")
    assert code == 0
    assert "no data of the voice" in said


def test_a_file_that_cannot_be_read_is_named_and_keeps_nothing_from_being_said(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = place.root / "notes.txt"
    locked.write_text("nothing", "utf-8")
    read_bytes = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    code, said = run(place, "speech", "forget", VOICE, "--yes", "--json")
    assert code == 0, said
    assert json.loads(said)["left"] == ["notes.txt"]


def test_who_cannot_be_forgotten(place: Workspace) -> None:
    code, said = run(place, "speech", "forget", "nobody", "--yes")
    assert code == 2
    assert VOICE in said
    assert OTHER in said
    voice = next(row.voice for row in rows(place) if row.source == "synthesized")
    code, said = run(place, "speech", "forget", voice, "--yes")
    assert code == 2
    assert "speech engine" in said
    assert "--voices" in said
