from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from dataset_tools.core.errors import InputError
from dataset_tools.speech.engines.interface import Voice
from dataset_tools.speech.engines.registry import (
    ENTRY_POINT_GROUP,
    engine_for_workers,
    faults_named,
    open_engine,
    voice_licences,
    voices_in,
)


def test_a_voice_id_can_stand_in_a_file_name() -> None:
    with pytest.raises(ValueError, match="Ben B"):
        Voice("Ben B", "en", "ben")


def test_an_engine_from_outside(plain_engine: Callable[[str], str]) -> None:
    engine = open_engine(plain_engine("plain"))
    assert engine.name == "plain"
    assert engine.voices("en")[0].id == "tone-0"


def test_the_package_in_the_docs_adds_an_engine(plain_engine: Callable[..., str], tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "recording.md").read_text("utf-8")
    (code,), (project,) = (re.findall(rf"^```{kind}\n(.*?)^```", page, re.M | re.S) for kind in ("python", "toml"))
    [(name, place)] = tomllib.loads(project)["project"]["entry-points"][ENTRY_POINT_GROUP].items()
    plain_engine(name, code, place.partition(":")[2])
    engine, voices = engine_for_workers(name, "en")
    assert voice_licences(name) == ("tones, CC0-1.0",)
    assert len({voice.timbre for voice in voices}) == len(voices) == 4
    engine.speak("cut a carrot", voices[1], path=tmp_path / "said.part", seed=0)
    info = soundfile.info(tmp_path / "said.part")
    assert (info.format, info.subtype, info.samplerate, info.frames) == ("WAV", "PCM_16", 16_000, 800 * 22)


def test_an_engine_from_outside_gets_its_options(plain_engine: Callable[[str], str]) -> None:
    assert open_engine(plain_engine("plain") + ":7").version == "1 7"


def test_an_extension_with_the_name_of_a_built_in_engine_is_not_blamed_for_it(
    plain_engine: Callable[[str], str],
) -> None:
    assert voices_in(plain_engine("espeak"), "en")[0].id != "tone-0"
    with pytest.raises(OSError, match="no room"), faults_named("espeak:en-GB"):
        raise OSError("no room")


def test_an_unknown_engine_is_refused_with_those_there_are(plain_engine: Callable[[str], str]) -> None:
    plain_engine("plain")
    with pytest.raises(InputError, match="festival") as caught:
        open_engine("festival")
    assert caught.value.expected == "one of espeak, coqui, piper, plain"


def test_espeak_takes_an_accent() -> None:
    assert open_engine("espeak") == open_engine("espeak:")
    assert {
        getattr(voice, "espeak_name", "").partition("+")[0] for voice in open_engine("espeak:pt-BR").voices("pt")
    } == {"pt-br"}
    with pytest.raises(InputError, match=r"no accent 'pt-xx'") as caught:
        open_engine("espeak:pt-xx")
    assert "fr-be" in str(caught.value.expected)


@pytest.mark.parametrize(
    ("spec", "language", "remedy"),
    [
        (
            "espeak:pt-BR",
            "en",
            "leave out :pt-BR, since espeak alone has voices for 'en'; or choose another --language",
        ),
        ("espeak:pt-BR", "xh", "choose another --language"),
        ("espeak", "xh", "choose another --language"),
    ],
)
def test_voices_of_another_language_are_named_with_their_accent(spec: str, language: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        voices_in(spec, language)
    assert caught.value.found == f"The engine {spec} has no voice for the language {language!r}"
    assert caught.value.where == f"--voices {spec}"
    assert caught.value.expected == "voices for the language of the descriptions"
    assert str(caught.value.next_step).startswith(remedy)
    assert [voice.language for voice in voices_in("espeak:pt-br", "pt")] == ["pt"] * 62


def test_the_entry_point_of_the_docs_is_the_one_in_use() -> None:
    import dataset_tools.speech.engines.registry as module

    assert module.__doc__ is not None
    assert f'"{module.ENTRY_POINT_GROUP}"' in module.__doc__
    assert Path(module.__file__).name == "registry.py"
