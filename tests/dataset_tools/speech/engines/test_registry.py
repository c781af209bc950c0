from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.speech.engines.interface import Voice
from dataset_tools.speech.engines.registry import open_engine


def test_a_voice_id_can_stand_in_a_file_name() -> None:
    with pytest.raises(ValueError, match="Ben B"):
        Voice("Ben B", "en", "ben")


def test_an_engine_from_outside(plain_engine: Callable[[str], str]) -> None:
    engine = open_engine(plain_engine("plain"))
    assert engine.name == "plain"
    assert engine.voices("en")[0].id == "tone-0"


def test_an_engine_from_outside_gets_its_options(plain_engine: Callable[[str], str]) -> None:
    assert open_engine(plain_engine("plain") + ":7").version == "1 7"


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


def test_the_entry_point_of_the_docs_is_the_one_in_use() -> None:
    import dataset_tools.speech.engines.registry as module

    assert module.__doc__ is not None
    assert f'"{module.ENTRY_POINT_GROUP}"' in module.__doc__
    assert Path(module.__file__).name == "registry.py"
