"""Speech synthesis of clip descriptions: one utterance per clip, in a voice of the clip's person."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import msgspec

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError, SampleError, ToolkitError
from dataset_tools.core.execution import run_each
from dataset_tools.core.files import partial_folder
from dataset_tools.core.ledger import Ledger, LedgerRow, failed, ok
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.seeds import seed_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.sentence_files import read_sentences
from dataset_tools.manifests import ClipRow, UtteranceRow, WindowOrigin
from dataset_tools.speech.audio.audio_io import SAMPLE_RATE_HZ
from dataset_tools.speech.audio.loudness_normalization import Finish
from dataset_tools.speech.audio.recording_quality import Limits
from dataset_tools.speech.audio.utterance_writer import Written, write_utterance
from dataset_tools.speech.engines.interface import Engine, Voice
from dataset_tools.speech.engines.registry import engine_for_workers
from dataset_tools.speech.sentences.clip_sentences import Text, assign_texts
from dataset_tools.speech.voices import VoiceAssignment, assign_voices

_VERSION = 1  # version of the algorithm; if it changes, all utterances are made again
_STAGE = "speak"
_ADVICE = {
    "expected": "a sentence in the annotations: in English and Chinese only, sentences are generated",
    "next_step": "add sentences to the annotations (with --clips, a .txt beside the video) and build again; or choose"
    " --language en or zh; or use recordings: fmn-data build --no-speech, then fmn-data speech import",
}
_ADVICE_ON_WINDOWS = _ADVICE | {
    "next_step": "build with --shortfall accept: sentences of the annotations describe whole intervals, not windows",
}


@dataclass(frozen=True)
class SpeechOptions:
    """Options of speech synthesis.

    Attributes:
        engine: voice engine (see `dataset_tools.speech.engines.registry.open_engine`).
        language: its code, ``en``; in languages other than English and Chinese, only clips with a sentence are spoken.
        sentences: TACoS files or tables, whose sentences are used before those of the grammar.
        seed: random seed of sentences, voices and renderings.
        augment: number of augmented copies per utterance of a clip (`dataset_tools.speech.augmentation`).
    """

    engine: str = "espeak"
    language: str = "en"
    sentences: tuple[Path, ...] = ()
    seed: int = 0
    augment: int = 0


@dataclass(frozen=True)
class _Task:
    """One utterance to synthesize, for a worker process."""

    utterance_id: str
    clip: ClipRow
    text: Text
    voice: Voice
    engine: Engine
    seed: int
    target: Path
    limits: Limits
    settings: Finish

    def __str__(self) -> str:
        return self.utterance_id

    def key(self, engine_version: str) -> str:
        """Cache key: SHA-256 of everything that the WAV depends on."""
        inputs = {
            "form": _VERSION,
            "engine": [self.engine.name, engine_version],
            "voice": asdict(self.voice),
            "text": self.text,
            "seed": self.seed,
            "limits": asdict(self.limits),
            "settings": asdict(self.settings),
        }
        return hashlib.sha256(msgspec.json.encode(inputs, order="sorted")).hexdigest()


def synthesize(
    workspace: Workspace,
    clips: Sequence[ClipRow],
    classes: ClassFile,
    options: SpeechOptions = SpeechOptions(),
    *,
    jobs: int = 1,
    ledger: Ledger,
    progress: Progress = silent,
    agreed: Mapping[str, tuple[str, bool]] = MappingProxyType({}),
    judged_bad: Mapping[str, int] = MappingProxyType({}),
    dry_run: bool = False,
) -> tuple[list[UtteranceRow], dict[str, ToolkitError]]:
    """Synthesizes one description of every clip, ``speech/<clip id>_<voice id>.wav``.

    Utterances that the ledger has with the same text, voice, seed and versions are not synthesized again. Voices are
    assigned across the persons of all clips, and sentences across the clips of a class: pass all clips of the data set.

    Args:
        workspace: of the data set.
        clips: all clips of the data set.
        classes: their class file.
        options: of synthesis; copies are not made here.
        jobs: number of processes; does not affect the output.
        ledger: open; gets a row ``utterance/<id>`` for each utterance.
        progress: progress callback.
        agreed: sentences that annotators agreed with, by clip id (`dataset_tools.decisions.verdicts`).
        judged_bad: number of rejected renderings by utterance id (see the same module). The clip gets the next voice of
            its person, or another rendering if all voices were rejected.
        dry_run: synthesize nothing: utterances to be synthesized have an empty ``sha256``, and are skipped in the
            ledger, which has to be a `DryRunLedger`.

    Returns:
        The rows, sorted by id; and the errors of failed utterances, by id.

    Raises:
        InputError: the engine cannot be used or has no voice for the language, a sentence file cannot be read, or no
            clip has a sentence in the language; nothing was written.
    """
    language, seed = options.language, options.seed
    engine, voices = engine_for_workers(options.engine, language)
    sentences = read_sentences(options.sentences) if options.sentences else None
    assignment = assign_voices((clip.person for clip in clips), voices)
    texts = assign_texts(clips, classes, language=language, seed=seed, sentences=sentences, agreed=agreed)
    if clips and not texts:
        raise no_sentence(language, clips)
    spoken = [clip for clip in clips if clip.id in texts]
    tasks = [_task(clip, texts[clip.id], assignment, engine, seed, judged_bad, workspace) for clip in spoken]
    keys = {task.utterance_id: task.key(engine.version) for task in tasks}

    rows: list[UtteranceRow] = []
    failures: dict[str, ToolkitError] = {}
    for clip in clips:
        if clip.id not in texts:
            advice = _ADVICE_ON_WINDOWS if isinstance(clip.origin, WindowOrigin) else _ADVICE
            found = f"The clip has no sentence in the language {language!r}"
            failures[clip.id] = SampleError(found, where=clip.id, **advice)
            ledger.record(failed(f"utterance/{clip.id}", _STAGE, failures[clip.id]))
    todo: list[_Task] = []
    for task in tasks:
        done = ledger.finished(f"utterance/{task.utterance_id}", keys[task.utterance_id])
        if done is not None:
            rows.append(done.value("row", UtteranceRow))
        elif (died := ledger.died(f"utterance/{task.utterance_id}", keys[task.utterance_id])) is not None:
            failures[task.utterance_id] = died
        else:
            todo.append(task)
    of_engine = f"{engine.name} {engine.version}"
    if dry_run:
        unknown = Written(duration_s=0.0, sha256="", quality={})
        for task in todo:
            ledger.record(LedgerRow(id=f"utterance/{task.utterance_id}", status="skipped", stage=_STAGE))
            rows.append(_row(task, unknown, workspace, language, of_engine))
        todo = []
    note = "" if assignment.apart else f"{engine.name} has fewer voices than there are persons: persons share voices"
    total = len(tasks) + len(clips) - len(spoken)
    progress(_STAGE, len(rows) + len(failures), total, note)
    ledger.mark_for_replacement(f"utterance/{task.utterance_id}" for task in todo)
    for outcome in run_each(_speak, todo, jobs=jobs):
        task, key = outcome.item, keys[outcome.item.utterance_id]
        row_id = f"utterance/{task.utterance_id}"
        if outcome.result is not None:
            row = _row(task, outcome.result, workspace, language, of_engine)
            values = msgspec.to_builtins(row)
            ledger.record(ok(row_id, _STAGE, key, task.target, workspace.root, row.sha256, row=values))
            rows.append(row)
        elif outcome.error is not None:
            ledger.record(failed(row_id, _STAGE, outcome.error, key))
            failures[task.utterance_id] = outcome.error
        progress(_STAGE, len(rows) + len(failures), total, note)
    return sorted(rows, key=lambda row: row.id), dict(sorted(failures.items()))


def no_sentence(language: str, clips: Sequence[ClipRow] = ()) -> InputError:
    """Returns the error for a data set without any sentence in a language without grammar; its clips, if known."""
    are_windows = any(isinstance(clip.origin, WindowOrigin) for clip in clips)
    return InputError(
        f"No clip has a sentence in the language {language!r}", **(_ADVICE_ON_WINDOWS if are_windows else _ADVICE)
    )


def _task(
    clip: ClipRow,
    text: Text,
    assignment: VoiceAssignment,
    engine: Engine,
    seed: int,
    judged_bad: Mapping[str, int],
    workspace: Workspace,
) -> _Task:
    own = assignment.voices[clip.person]
    first = seed_of(seed, "voice", clip.id) % len(own)
    bad = {voice: judged_bad.get(f"{clip.id}_{voice.id}", 0) for voice in (*own[first:], *own[:first])}
    voice = min(bad, key=bad.__getitem__)  # the first one on a tie
    utterance_id = f"{clip.id}_{voice.id}"
    return _Task(
        utterance_id=utterance_id,
        clip=clip,
        text=text,
        voice=voice,
        engine=engine,
        seed=seed_of(seed, "utterance", clip.id, *([bad[voice]] if bad[voice] else [])),
        target=workspace.speech / f"{utterance_id}.wav",
        limits=Limits(),
        settings=Finish(),
    )


def _speak(task: _Task) -> Written:
    """Runs in a worker process."""
    task.target.parent.mkdir(parents=True, exist_ok=True)
    with partial_folder(task.target.parent) as folder:
        spoken = folder / f"spoken-{task.target.name}"
        task.engine.speak(task.text.text, task.voice, path=spoken, seed=task.seed)
        return write_utterance(spoken, task.target, limits=task.limits, settings=task.settings)


def _row(task: _Task, written: Written, workspace: Workspace, language: str, engine: str) -> UtteranceRow:
    return UtteranceRow(
        id=task.utterance_id,
        class_id=task.clip.class_id,
        clip=task.clip.id,
        text=task.text.text,
        text_source=task.text.source,
        language=language,
        voice=task.voice.id,
        source="synthesized",
        engine=engine,
        path=workspace.relative(task.target),
        sample_rate_hz=SAMPLE_RATE_HZ,
        duration_s=written.duration_s,
        sha256=written.sha256,
        quality=written.quality,
    )
