"""Coqui TTS: neural voices (package ``coqui-tts``, imported as ``TTS``; extra ``coqui``).

Supports any Coqui model: by name, such as ``tts_models/en/vctk/vits`` (downloaded once by Coqui), or as a local folder
with ``config.json`` and the weights. Each speaker of a multi-speaker model is a voice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import sys
import warnings
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dataset_tools.core import torch_compat
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.core.extras import install_command
from dataset_tools.core.files import sha256_of
from dataset_tools.speech.engines.interface import Voice

_DEFAULT_MODEL = "tts_models/en/vctk/vits"
_WEIGHTS = ("*.pth", "*.pth.tar")


@dataclass(frozen=True)
class CoquiVoice(Voice):
    """A speaker of a model. Attributes: speaker: its name in the model; None for a single-speaker model."""

    speaker: str | None


@dataclass(frozen=True)
class CoquiEngine:
    """One model of Coqui TTS, on the CPU with a single thread, so that the output does not depend on the load.

    Attributes:
        model: name of a model, or path of a folder.
    """

    model: str = _DEFAULT_MODEL
    name: str = "coqui"

    @classmethod
    def from_options(cls, options: str) -> CoquiEngine:
        """Creates the engine for ``coqui:OPTIONS``: name of a model or path of a folder; default model if empty."""
        return cls(model=options or _DEFAULT_MODEL)

    @cached_property
    def version(self) -> str:
        """Version of the package, and SHA-256 of configuration and weights.

        Raises:
            InputError: as in `voices`.
        """
        _load(self.model)
        files = sorted(
            file for file in _folder(self.model).rglob("*") if file.suffix in (".json", ".pth", ".tar", ".pt")
        )
        digest = hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()
        return f"{version('coqui-tts')} {Path(self.model).name} {digest[:16]}"

    def voices(self, language: str) -> tuple[CoquiVoice, ...]:
        """Returns all speakers of the model if it supports the language; one that names no language supports any.

        Raises:
            InputError: the extra is not installed, there is no such model, or its weights cannot be loaded.
        """
        if not self._speaks(language):
            return ()
        model = _load(self.model)
        if model.is_multi_lingual and _own_code(model, language) is None:
            return ()
        speakers = model.speakers or [None]
        names = [_slug(speaker) for speaker in speakers]
        stem = _slug(Path(self.model).name if _is_local(self.model) else self.model.removeprefix("tts_models/"))
        ids = [f"{stem}+{name}" if name else stem for name in names]
        # Two names may have the same slug ("Ben B", "ben-b"): the position in the model's list is appended.
        unique = [name if ids.count(name) == 1 else f"{name}-{place}" for place, name in enumerate(ids)]
        return tuple(
            CoquiVoice(id=one, language=language, timbre=one, speaker=speaker)
            for one, speaker in zip(unique, speakers, strict=True)
        )

    def speak(self, text: str, voice: Voice, *, path: Path, seed: int) -> None:
        """Writes the utterance to ``path`` at the model's sample rate; ``seed`` determines durations and noise.

        Raises:
            SampleError: the model fails on this text.
            InputError: as in `voices`.
        """
        import numpy as np
        import torch

        assert isinstance(voice, CoquiVoice)
        model = _load(self.model)
        language = _own_code(model, voice.language) if model.is_multi_lingual else None
        with _quietly(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            try:
                sound = model.tts(text, speaker=voice.speaker, language=language, split_sentences=False)
            except Exception as error:  # models may raise any exception
                raise SampleError(
                    f"The model cannot speak this sentence: {error}",
                    where=text,
                    expected=f"a sentence in the language of {self.model}",
                    next_step="choose another model or text",
                ) from error
        samples = np.clip(np.nan_to_num(np.asarray(sound, dtype=np.float64)), -1.0, 1.0)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, int(model.synthesizer.output_sample_rate), 0, "NONE", ""))
            file.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())

    def _speaks(self, language: str) -> bool:
        if not self.model.startswith("tts_models/"):
            return True
        spoken = self.model.split("/")[1]
        return spoken in ("multilingual", "multi-dataset") or spoken.partition("-")[0] == language


def _own_code(model: Any, language: str) -> str | None:
    """Returns a multilingual model's name of a language: its code, or its code with a region; None: it has none.

    XTTS v2 has ``zh-cn`` and no ``zh``, YourTTS ``fr-fr`` and ``pt-br``.
    """
    names: list[str] = model.languages or []
    regional = (name for name in names if name.lower().partition("-")[0] == language)
    return language if language in names else next(regional, None)


def _slug(text: str | None) -> str:
    return re.sub(r"[^a-z0-9]+", "-", (text or "").lower()).strip("-")


def _is_local(model: str) -> bool:
    return Path(model).is_dir()


def _folder(model: str) -> Path:
    """Folder of the files of a model, which need not exist yet."""
    if _is_local(model):
        return Path(model)
    from trainer.io import get_user_data_dir

    return Path(get_user_data_dir("tts")) / model.replace("/", "--")


@lru_cache(maxsize=1)
def _load(model: str) -> Any:
    """Loads a model; one at a time per process."""
    api = _api()
    import torch

    torch.set_num_threads(1)
    if _is_local(model):
        config, weights = _local_files(Path(model))
        arguments = {"model_path": str(weights), "config_path": str(config)}
    elif model.startswith("tts_models/"):
        arguments = {"model_name": model}
    else:
        raise InputError(
            f"There is no Coqui model {model!r}",
            where=model,
            expected="a name such as tts_models/en/vctk/vits, or the path of a folder with config.json and the weights",
            next_step="list the names with: tts --list_models",
        )
    try:
        with _quietly(), torch.random.fork_rng(devices=[]):  # layers are initialized at random before loading
            return api.TTS(**arguments, progress_bar=sys.stderr.isatty())
    except EOFError as error:
        raise InputError(
            "The license of the model must be accepted first",
            where=model,
            next_step="read the license on the page of the model; if you accept it, set COQUI_TOS_AGREED=1",
        ) from error
    except (KeyError, ValueError) as error:
        if not _is_local(model):
            raise InputError(
                f"Coqui has no model named {model!r}",
                where=model,
                expected="one of the names that `tts --list_models` prints",
                next_step="correct the name after coqui:",
            ) from error
        raise _unusable(model, error) from error
    except Exception as error:  # from requests, torch or json: not documented by the library
        raise _unusable(model, error) from error


def _unusable(model: str, error: Exception) -> InputError:
    if _is_local(model):
        return InputError(
            f"The model cannot be loaded: {error}",
            where=model,
            expected="the config.json and the weights of the same model, as written in training",
            next_step="check that both belong to the same model and are complete",
        )
    return InputError(
        f"The weights of {model} are not on this machine and cannot be downloaded ({type(error).__name__})",
        where=_folder(model),
        expected="a connection to github.com or huggingface.co, or the weights in that folder",
        next_step=f"on a machine with a connection run: tts --model_name {model} --text hello; then copy the folder "
        f"{_folder(model).name} to {_folder(model).parent}",
    )


def _api() -> Any:
    """Imports the module TTS.api, after torchaudio, which is patched if necessary."""
    try:
        with _quietly():
            torch_compat.torchaudio()
            import TTS.api

            return TTS.api
    except (ImportError, OSError, RuntimeError) as error:
        raise InputError(
            f"Coqui's TTS cannot be used: {error}",
            expected="the extra coqui",
            next_step=f"{install_command('coqui')}, or use the engine espeak",
        ) from error


def _local_files(folder: Path) -> tuple[Path, Path]:
    """Configuration and weights in a folder: ``config.json``, and ``model.pth`` or the only file of weights."""
    config = folder / "config.json"
    weights = [
        file
        for file in sorted({file for pattern in _WEIGHTS for file in folder.glob(pattern)})
        if not file.name.startswith("speakers")
    ]
    if (folder / "model.pth") in weights:
        weights = [folder / "model.pth"]
    if not config.is_file() or len(weights) != 1:
        raise InputError(
            f"The folder has {'a' if config.is_file() else 'no'} config.json and "
            f"{count_of(len(weights), 'weight file')}",
            where=folder,
            expected="config.json and model.pth",
            next_step="use the folder that Coqui TTS wrote in training, with the checkpoint renamed to model.pth",
        )
    try:
        json.loads(config.read_bytes())
    except ValueError as error:
        raise InputError(
            "config.json is not JSON", where=config, next_step="copy the file from the training folder"
        ) from error
    return config, weights[0]


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Redirects the library's output to stderr and drops its warnings and logs, on which users cannot act."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
