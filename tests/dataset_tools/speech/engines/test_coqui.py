"""Coqui's engine with a tiny model of random weights: what it says is noise, how it is called is real."""

from __future__ import annotations

import sys
import warnings
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.seeds import seed_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow
from dataset_tools.speech.audio.utterance_writer import write_utterance
from dataset_tools.speech.engines import coqui
from dataset_tools.speech.engines.coqui import CoquiEngine
from dataset_tools.speech.engines.registry import open_engine
from dataset_tools.speech.synthesis import SpeechOptions, synthesize

pytestmark = pytest.mark.xdist_group("coqui")  # in one worker: three seconds to import


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VITS with three speakers, as a training writes it."""
    coqui._api()  # imports torchaudio, repaired where need be
    import torch
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig
    from TTS.tts.models.vits import Vits
    from TTS.tts.utils.speakers import SpeakerManager

    folder = tmp_path_factory.mktemp("models") / "Tiny VITS"
    folder.mkdir()
    speakers = SpeakerManager()
    speakers.name_to_id = {"anna": 0, "Ben B": 1, "ben-b": 2}
    speakers.save_ids_to_file(str(folder / "speakers.json"))
    arguments = VitsArgs(
        hidden_channels=16,
        hidden_channels_ffn_text_encoder=32,
        num_layers_text_encoder=1,
        num_layers_posterior_encoder=2,
        num_layers_flow=2,
        upsample_initial_channel_decoder=32,
        init_discriminator=False,
        use_speaker_embedding=True,
        speaker_embedding_channels=8,
        speakers_file=str(folder / "speakers.json"),
        length_scale=3.0,  # random weights speak fast: too short for an utterance
    )
    config = VitsConfig(model_args=arguments, use_phonemes=False, text_cleaner="basic_cleaners")
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model = Vits.init_from_config(config)
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    config.save_json(str(folder / "config.json"))
    return folder


def test_every_speaker_is_a_voice(tiny_model: Path) -> None:
    voices = open_engine(f"coqui:{tiny_model}").voices("en")
    # Two of the names have the same slug, and still become two voices.
    assert [voice.id for voice in voices] == ["tiny-vits+anna", "tiny-vits+ben-b-1", "tiny-vits+ben-b-2"]
    assert [getattr(voice, "speaker", None) for voice in voices] == ["anna", "Ben B", "ben-b"]


def test_speaks_and_the_seed_decides(tiny_model: Path, tmp_path: Path) -> None:
    engine = CoquiEngine(model=str(tiny_model))
    anna, ben, _ = engine.voices("en")
    said = {
        "first": (anna, 1),
        "again": (anna, 1),
        "another seed": (anna, 2),
        "another speaker": (ben, 1),
    }
    for name, (voice, seed) in said.items():
        engine.speak("cut the carrot with a knife", voice, path=tmp_path / name, seed=seed)
    hashes = {name: sha256_of(tmp_path / name) for name in said}
    assert hashes["first"] == hashes["again"]
    assert len(set(hashes.values())) == 3
    with wave.open(str(tmp_path / "first")) as file:
        assert file.getparams()[:3] == (1, 2, 22050)
        assert 0.3 < file.getnframes() / 22050 < 20


def test_speaking_leaves_the_users_random_state_alone(tiny_model: Path, tmp_path: Path) -> None:
    import torch

    engine = CoquiEngine(model=str(tiny_model))
    before = torch.random.get_rng_state()
    engine.speak("cut the carrot", engine.voices("en")[0], path=tmp_path / "a.wav", seed=1)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_data_set_in_its_voices(
    tiny_model: Path, tmp_path: Path, make_clip: Callable[..., ClipRow], classes: ClassFile
) -> None:
    clips = [make_clip("cut_carrot_knife", 7 + n, 1, 100 * n + 1) for n in range(3)]
    workspace = Workspace(tmp_path / "workspace")
    spec = f"coqui:{tiny_model}"
    with Ledger(workspace.ledger) as ledger:
        rows, failures = synthesize(workspace, clips, classes, SpeechOptions(spec), ledger=ledger, jobs=1)
    assert not failures
    assert len({row.voice for row in rows}) == 3  # one for each of three persons
    engine = CoquiEngine(model=str(tiny_model))
    voices = {voice.id: voice for voice in engine.voices("en")}
    for row in rows:
        assert row.engine == f"coqui {engine.version}"
        # A worker process said it: this one says the same.
        again = tmp_path / f"{row.id}.wav"
        engine.speak(row.text, voices[row.voice], path=again, seed=seed_of(0, "utterance", str(row.clip)))
        written = write_utterance(again, again)
        assert written.sha256 == row.sha256


def test_other_weights_are_another_version(tiny_model: Path, tmp_path: Path) -> None:
    import shutil

    import torch

    copy = tmp_path / "Tiny VITS"
    shutil.copytree(tiny_model, copy)
    same = CoquiEngine(model=str(copy)).version
    assert same == CoquiEngine(model=str(tiny_model)).version
    weights = torch.load(copy / "model.pth", weights_only=True)
    next(iter(weights["model"].values())).add_(1)
    torch.save(weights, copy / "model.pth")
    coqui._load.cache_clear()
    assert CoquiEngine(model=str(copy)).version != same


def test_what_the_library_prints_stays_off_stdout(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coqui._load.cache_clear()
    CoquiEngine(model=str(tiny_model)).voices("en")
    assert capsys.readouterr().out == ""


def test_without_a_connection_it_says_what_to_download_and_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    def refuse(*arguments: object, **options: object) -> None:
        raise requests.exceptions.ConnectionError("no network")

    monkeypatch.setenv("TTS_HOME", str(tmp_path))
    monkeypatch.setattr(requests, "get", refuse)
    with pytest.raises(InputError) as caught:
        open_engine("coqui:tts_models/en/vctk/vits").voices("en")
    message = str(caught.value)
    assert "tts_models/en/vctk/vits are not on this machine" in message
    assert "tts --model_name tts_models/en/vctk/vits" in message
    assert str(tmp_path) in message
    assert "tts_models--en--vctk--vits" in message


def test_a_model_of_another_language_has_no_voice_and_is_not_loaded() -> None:
    assert open_engine("coqui:tts_models/de/thorsten/vits").voices("en") == ()


@pytest.mark.parametrize("spec", ["coqui:tts_models/en/nosuch/vits", "coqui:nowhere"])
def test_an_unknown_model_is_refused(spec: str) -> None:
    with pytest.raises(InputError, match=r"no (Coqui )?model"):
        open_engine(spec).voices("en")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json and 0 weight files") as caught:
        open_engine(f"coqui:{tmp_path}").voices("en")
    assert caught.value.where == str(tmp_path)


def test_weights_that_do_not_fit_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_model / "config.json").read_bytes())
    (tmp_path / "model.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match="The model cannot be loaded"):
        open_engine(f"coqui:{tmp_path}").voices("en")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "TTS"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "TTS", None)
    coqui._load.cache_clear()
    with pytest.raises(InputError) as caught:
        open_engine("coqui").voices("en")
    assert "[coqui]'" in str(caught.value)


def test_a_multilingual_model_is_called_with_its_own_name_of_the_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As XTTS v2 and YourTTS name them; a language that the model lacks would be spoken as another, or not at all."""
    called: list[str | None] = []

    def tts(_: str, *, language: str | None, **__: object) -> list[float]:
        called.append(language)
        return [0.0]

    names = ["en", "zh-cn", "fr-fr", "pt-br", "pt"]
    model = SimpleNamespace(
        is_multi_lingual=True,
        languages=names,
        speakers=["anna"],
        tts=tts,
        synthesizer=SimpleNamespace(output_sample_rate=8),
    )
    monkeypatch.setattr(coqui, "_load", lambda _: model)
    engine = CoquiEngine(model="tts_models/multilingual/multi-dataset/xtts_v2")
    for language in ("en", "zh", "fr", "pt"):
        (voice,) = engine.voices(language)
        assert voice.language == language
        engine.speak("a", voice, path=tmp_path / "a.wav", seed=0)
    assert called == ["en", "zh-cn", "fr-fr", "pt"]
    assert engine.voices("de") == ()
