"""Speech synthesis of clip descriptions: one utterance per clip, in a voice of the clip's person."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError, SampleError, ToolkitError
from dataset_tools.core.files import partial_folder
from dataset_tools.core.ledger import Ledger, failed
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.seeds import seed_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.sentence_files import read_sentences
from dataset_tools.manifests import ClipRow, UtteranceRow, WindowOrigin
from dataset_tools.speech.audio.audio_io import SAMPLE_RATE_HZ
from dataset_tools.speech.audio.loudness_normalization import Finish
from dataset_tools.speech.audio.recording_quality import Limits
from dataset_tools.speech.audio.utterance_writer import write_utterance
from dataset_tools.speech.engines.interface import Engine, Voice
from dataset_tools.speech.engines.registry import engine_for_workers
from dataset_tools.speech.sentences.clip_sentences import Text, assign_texts
from dataset_tools.speech.utterance_tasks import UtteranceTask, make_utterances
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
        sentences: TACoS files or tables, whose sentences are used before those of the grammar; a `str` becomes a path,
            and one file a tuple.
        seed: random seed of sentences, voices and renderings.
        augment: number of augmented copies per utterance of a clip (`dataset_tools.speech.augmentation`).
    """

    engine: str = "espeak"
    language: str = "en"
    sentences: tuple[Path, ...] = ()
    seed: int = 0
    augment: int = 0

    def __post_init__(self) -> None:
        given: Any = self.sentences
        given = [given] if isinstance(given, Path | str) else given
        object.__setattr__(self, "sentences", tuple(map(Path, given)))


@dataclass(frozen=True)
class _Task(UtteranceTask):
    engine: Engine
    voice: Voice
    seed: int


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
    version = engine.version
    tasks: list[_Task] = []
    failures: dict[str, ToolkitError] = {}
    for clip in clips:
        if clip.id not in texts:
            advice = _ADVICE_ON_WINDOWS if isinstance(clip.origin, WindowOrigin) else _ADVICE
            found = f"The clip has no sentence in the language {language!r}"
            failures[clip.id] = SampleError(found, where=clip.id, **advice)
            ledger.record(failed(f"utterance/{clip.id}", _STAGE, failures[clip.id]))
            continue
        voice, rejected = _voice(clip, assignment, seed, judged_bad)
        tasks.append(_task(clip, texts[clip.id], voice, rejected, engine, version, options, workspace))
    shared = "" if assignment.apart else f"{engine.name} has fewer voices than there are persons: persons share voices"

    def of_all_clips(stage: str, done: int, total: int, note: str = "") -> None:
        progress(stage, done + len(clips) - len(tasks), len(clips), note or shared)

    rows, unspoken = make_utterances(
        _speak, tasks, _STAGE, workspace, jobs=jobs, ledger=ledger, dry_run=dry_run, progress=of_all_clips
    )
    return rows, dict(sorted((failures | unspoken).items()))


def no_sentence(language: str, clips: Sequence[ClipRow] = ()) -> InputError:
    """Returns the error for a data set without any sentence in a language without grammar; its clips, if known."""
    are_windows = any(isinstance(clip.origin, WindowOrigin) for clip in clips)
    return InputError(
        f"No clip has a sentence in the language {language!r}", **(_ADVICE_ON_WINDOWS if are_windows else _ADVICE)
    )


def _voice(clip: ClipRow, assignment: VoiceAssignment, seed: int, judged_bad: Mapping[str, int]) -> tuple[Voice, int]:
    """Returns the voice of the clip's person with the fewest rejected renderings, and their number."""
    own = assignment.voices[clip.person]
    first = seed_of(seed, "voice", clip.id) % len(own)
    bad = {voice: judged_bad.get(f"{clip.id}_{voice.id}", 0) for voice in (*own[first:], *own[:first])}
    voice = min(bad, key=bad.__getitem__)  # the first one on a tie
    return voice, bad[voice]


def _task(
    clip: ClipRow,
    text: Text,
    voice: Voice,
    rejected: int,
    engine: Engine,
    version: str,
    options: SpeechOptions,
    workspace: Workspace,
) -> _Task:
    utterance_id = f"{clip.id}_{voice.id}"
    target = workspace.speech / f"{utterance_id}.wav"
    seed = seed_of(options.seed, "utterance", clip.id, *([rejected] if rejected else []))
    inputs = {
        "form": _VERSION,
        "engine": [engine.name, version],
        "voice": asdict(voice),
        "text": text,
        "seed": seed,
        "limits": asdict(Limits()),
        "settings": asdict(Finish()),
    }
    planned = UtteranceRow(
        id=utterance_id,
        class_id=clip.class_id,
        clip=clip.id,
        text=text.text,
        text_source=text.source,
        language=options.language,
        voice=voice.id,
        source="synthesized",
        engine=f"{engine.name} {version}",
        path=workspace.relative(target),
        sample_rate_hz=SAMPLE_RATE_HZ,
        duration_s=0.0,
        sha256="",
        quality={},
    )
    key = hashlib.sha256(msgspec.json.encode(inputs, order="sorted")).hexdigest()
    return _Task("utterance", key, target, planned, engine, voice, seed)


def _speak(task: _Task) -> UtteranceRow:
    """Runs in a worker process."""
    task.target.parent.mkdir(parents=True, exist_ok=True)
    with partial_folder(task.target.parent) as folder:
        spoken = folder / f"spoken-{task.target.name}"
        task.engine.speak(task.planned.text, task.voice, path=spoken, seed=task.seed)
        return msgspec.structs.replace(task.planned, **asdict(write_utterance(spoken, task.target)))
