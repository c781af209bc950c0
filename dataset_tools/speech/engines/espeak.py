"""espeak-ng voice engine (wheel `espeakng-loader`): eight English accents, Mandarin and others, in many variants.

espeak-ng (https://github.com/espeak-ng/espeak-ng, GPL-3.0) is loaded at run time, in separate processes.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import selectors
import subprocess
import sys
import threading
import time
import wave
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import dataset_tools.speech.engines.espeak_server as server
from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.core.languages import has_chinese_characters
from dataset_tools.core.seeds import seed_of
from dataset_tools.speech.engines.interface import Voice

ACCENTS = {
    # British (espeak-ng calls it "en"), American, New York, Scottish, Received Pronunciation, Lancashire, West
    # Midlands, Caribbean. "en-shaw" differs from "en" only in how it reads Shavian letters.
    "en": ("en", "en-us", "en-us-nyc", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029"),
    "zh": ("cmn",),  # Mandarin; Cantonese ("yue") is another language
    "no": ("nb",),  # Norwegian: Bokmål
}

# The variants (timbres) in use: the default voice, "", and 61 of the 104 in espeak-ng 1.52. Each was measured on 22
# sentences "Take out the ‹thing›.", one per thing of the shipped classes. Excluded are variants that
# - a nearest-neighbor classifier (dynamic time warping of normalized MFCC, references: voices en-us, f2 and m3)
#   misrecognizes in at least one sentence, whereas all others reach 22 of 22: kaukovalta 2, zac 2, Alicia 6,
#   shelby 11, Demonic 16, ian 17, Lee 18, UniRobot 20, norbert 20, david 21;
# - are unvoiced in more than half of their frames (whisper, whisperf, croak, caleb, grandpa, Storm, klatt, klatt2), or
#   vary the pitch by less than half a semitone (Alex, AnxiousAndy, robosoft6, robosoft8);
# - are robots by name (anikaRobot, robosoft to robosoft8);
# - sound like another variant: mean log spectra less than 1 dB apart, with the same pitch (fast, Mike, m6, aunty,
#   benjamin, klatt4, klatt5, klatt6, miguel, RicishayMax3, robert, steph2, steph3) or differing only in pitch (Gene2).
# In Mandarin, all are recognized by the same classifier, except Marco (20 of 22) and RicishayMax2 (21).
# In other languages they were not measured. None is silent: levels are -28 to -11 dBFS before normalization.
VARIANTS = (
    "", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Jacky", "Marco", "Mario", "Michael",
    "Mr serious", "Nguyen", "Reed", "RicishayMax", "RicishayMax2", "Tweaky", "adam", "anika", "announcer", "antonio",
    "belinda", "boris", "ed", "edward", "edward2", "f1", "f2", "f3", "f4", "f5", "grandma", "gustave", "iven", "iven2",
    "iven3", "iven4", "john", "klatt3", "linda", "m1", "m2", "m3", "m4", "m5", "m7", "m8", "marcelo", "max", "michel",
    "mike2", "pablo", "paul", "pedro", "quincy", "rob", "sandro", "steph", "travis", "victor",
)  # fmt: skip

_VOLUME = 30  # percent: from 40, the loudest variants clip; the loudness is normalized later
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class EspeakVoice(Voice):
    """A speaker of espeak-ng.

    Attributes:
        espeak_name: accent and variant as named by espeak-ng, ``en-us+Mr serious``.
        pitch: base pitch, 0-99; 50 is the default of the variant.
        rate_wpm: base rate in words per minute.
    """

    espeak_name: str
    pitch: int
    rate_wpm: int


@dataclass(frozen=True)
class EspeakEngine:
    """espeak-ng's voices: every accent with every variant, each with its own pitch and rate.

    Attributes:
        accent: the only accent to use, as named by espeak-ng in lower case (``pt-br``); None: those of the language.
    """

    accent: str | None = None
    name: str = "espeak"
    licences: ClassVar[tuple[str, ...]] = ("spoken by espeak-ng, loaded at run time (GPL-3.0-or-later)",)

    @classmethod
    def from_options(cls, options: str) -> EspeakEngine:
        """Creates the engine for ``espeak:OPTIONS``: an accent, such as ``pt-br``; those of the language if empty.

        Raises:
            InputError: the installed data have no such accent.
        """
        accent = options.lower()
        if accent and accent not in _installed():
            raise InputError(
                f"espeak-ng has no accent {options!r}",
                where=f"--voices espeak:{options}",
                expected="one of " + ", ".join(sorted(name for name in _installed() if "-" in name)),
                next_step="choose one of these, or use espeak alone: the language of the text selects its voices",
            )
        return cls(accent or None)

    @cached_property
    def version(self) -> str:
        """Version of the wheel that contains the library and its data."""
        _library_and_data()
        return version("espeakng-loader")

    def voices(self, language: str) -> tuple[EspeakVoice, ...]:
        """``en``: 8 accents × 62 variants; other languages that espeak-ng speaks, or the only accent to use: 62."""
        accents = ACCENTS.get(language, (language,) if language in _installed() else ())
        if self.accent is not None:
            is_of_language = self.accent in accents or self.accent.partition("-")[0] in accents
            accents = (self.accent,) if is_of_language else ()
        return tuple(_voice(language, accent, name) for accent in accents for name in VARIANTS)

    def speak(self, text: str, voice: Voice, *, path: Path, seed: int) -> None:
        """Writes the utterance to ``path`` at 22,050 Hz; ``seed`` varies rate and pitch slightly (see `Engine.speak`).

        Raises:
            SampleError: espeak-ng fails on this text, cannot read its script, or does not answer within a minute.
            InputError: espeak-ng is not installed.
        """
        assert isinstance(voice, EspeakVoice)
        if not text.strip():
            raise SampleError("The sentence to speak is empty", where=voice.id)
        if voice.language not in ("en", "zh", "yue") and has_chinese_characters(text):
            raise SampleError(  # it would say "Chinese letter" for each
                f"espeak-ng cannot read Chinese characters in the language {voice.language!r}",
                where=text,
                expected="a sentence in the letters of the language, such as kana",
                next_step="write them so, choose another engine with --voices, or have people record the sentences"
                " (fmn-data speech record)",
            )
        request = {
            "text": text,
            "voice": voice.espeak_name,
            "rate": round(voice.rate_wpm * (1 + _between(-0.06, 0.06, seed, "rate"))),
            "pitch": round(voice.pitch + _between(-4, 4, seed, "pitch")),
            "volume": _VOLUME,
            "seed": seed_of(seed, "espeak") % 2**31,
        }
        sound, sample_rate_hz = _ask(request)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, sample_rate_hz, 0, "NONE", ""))
            file.writeframes(sound)


def phonemes(text: str, voice: str) -> str:
    """Grapheme-to-phoneme conversion: the text in IPA with stress marks, words separated by spaces, no punctuation.

    Args:
        text: words or a sentence.
        voice: an accent as named by espeak-ng, ``en-us``.

    Raises:
        SampleError: espeak-ng does not know the voice, or returns no phonemes.
        InputError: espeak-ng is not installed.
    """
    spoken = _ask({"text": text, "voice": voice})[0].decode()
    return re.sub(r"\([a-z-]+\)", "", spoken)  # language switches, such as "(en)"


def _voice(language: str, accent: str, variant: str) -> EspeakVoice:
    slug = variant.lower().replace(" ", "-")
    voice_id = f"{accent}+{slug}" if variant else accent
    return EspeakVoice(
        id=voice_id,
        language=language,
        timbre=slug or "default",
        espeak_name=f"{accent}+{variant}" if variant else accent,
        pitch=round(_between(35, 65, 0, "pitch", voice_id)),
        rate_wpm=round(_between(140, 190, 0, "rate", voice_id)),
    )


def _between(low: float, high: float, seed: int, *names: str) -> float:
    """Pseudorandom number from ``low`` to ``high``, determined by the seed and the names."""
    return low + (high - low) * seed_of(seed, *names) / 2**64


def _library_and_data() -> tuple[str, str]:
    try:
        import espeakng_loader
    except ImportError as error:
        raise InputError(
            "espeak-ng is not installed",
            expected="the package espeakng-loader, which contains its library and data",
            next_step="pip install espeakng-loader, or choose another engine with --voices",
        ) from error
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()


@lru_cache(maxsize=1)
def _installed() -> frozenset[str]:
    """Returns the languages and accents of the installed data, in lower case.

    espeak-ng names their files by the codes of ISO 639, for an accent with its region. Those of a transliteration
    (``cmn-latn-pinyin``) are left out: they cannot read the usual script.
    """
    data = Path(_library_and_data()[1])
    files = [path for path in (data / "lang").rglob("*") if path.is_file() and "-Latn" not in path.name]
    return frozenset(path.name.lower() for path in files if (data / f"{_dictionary(path)}_dict").is_file())


def _dictionary(language: Path) -> str:
    """Returns the name of a language's dictionary, which the data has not of all (of Faroese, for example)."""
    stated = re.search(r"^dictionary\s+(\S+)", language.read_text(encoding="utf-8"), re.MULTILINE)
    return stated[1] if stated else language.name.partition("-")[0]


class _Server:
    """Worker process (see `espeak_server`), which ends with this process."""

    def __init__(self) -> None:
        if not hasattr(os, "fork"):
            raise InputError(
                "espeak-ng cannot be used on this system: every utterance needs a forked process",
                expected="Linux or macOS",
                next_step="use WSL on Windows, or another engine with --voices coqui",
            )
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", server.__file__, *_library_and_data()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        atexit.register(self.close)

    def ask(self, request: dict[str, object]) -> tuple[bytes, int]:
        """Returns the 16-bit mono samples of an utterance (or its phonemes), and the sample rate.

        Raises:
            SampleError: espeak-ng produced no output.
            EOFError, BrokenPipeError, TimeoutError: the process has ended, or takes too long.
        """
        assert self._process.stdin is not None
        deadline = time.monotonic() + _TIMEOUT_S
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        header, rest = self._read_line(deadline)
        answer = json.loads(header)
        if "error" in answer:
            raise SampleError(answer["error"], where=str(request["text"]), next_step="choose another voice or text")
        return self._read(rest, answer["size"], deadline), answer["sample_rate_hz"]

    def _read_line(self, deadline: float) -> tuple[bytes, bytes]:
        data = b""
        while b"\n" not in data:
            data += self._read_some(deadline)
        line, _, rest = data.partition(b"\n")
        return line, rest

    def _read(self, data: bytes, size: int, deadline: float) -> bytes:
        parts, length = [data], len(data)
        while length < size:
            parts.append(self._read_some(deadline))
            length += len(parts[-1])
        return b"".join(parts)

    def _read_some(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
        if not (data := os.read(self._process.stdout.fileno(), 1 << 20)):
            raise EOFError
        return data

    def close(self) -> None:
        """Kills the process; it would also end with this one, which closes its input."""
        atexit.unregister(self.close)
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # unread input
                if stream is not None:
                    stream.close()
        self._process.wait()


_asking = threading.Lock()


def _renew_lock() -> None:
    global _asking
    _asking = threading.Lock()  # after a fork, the thread that held it is not there to release it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _ask(request: dict[str, object]) -> tuple[bytes, int]:
    """Has the worker of this process answer a request (see `_Server.ask`); threads take turns.

    Raises:
        SampleError: espeak-ng failed, or took too long.
    """
    with _asking:
        worker = _server(os.getpid())
        try:
            return worker.ask(request)
        except SampleError:
            raise
        except BaseException as error:  # an interrupt, too: the next request would be given the answer to this one
            _server.cache_clear()  # the next utterance starts a new process, even if the next line is interrupted
            worker.close()
            if not isinstance(error, EOFError | BrokenPipeError | TimeoutError):
                raise
            raise SampleError(
                f"espeak-ng {'timed out' if isinstance(error, TimeoutError) else 'crashed'}",
                where=str(request["text"]),
                next_step="run the command again: it retries the utterance",
            ) from error


@lru_cache(maxsize=1)
def _server(_process_id: int) -> _Server:
    """Returns the worker of this process; a forked process, which has another id, starts its own."""
    return _Server()
