"""Extensions of installed packages that cannot be loaded: the error names the package and the reason."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.exports.registry import find_format
from dataset_tools.speech.engines.registry import open_engine, voice_licences, voices_in
from fmn.features.encoders.registry import open_speech_encoder, open_video_encoder
from fmn.search.text_query import speak_query

OPENED = {
    "fmn.exports": find_format,
    "fmn_data.engines": open_engine,
    "fmn.video_encoders": lambda name: open_video_encoder(name, "cpu"),
    "fmn.speech_encoders": lambda name: open_speech_encoder(name, "cpu", "last"),
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Installs a package of one module, whose object ``extension`` is the extension ``broken`` of a group."""

    def install(group: str, code: str, package: str = "broken-package") -> None:
        module = package.replace("-", "_")
        info = tmp_path / package / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (info.parent / f"{module}.py").write_text(code + "\n")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\nbroken = {module}:extension\n")
        monkeypatch.syspath_prepend(info.parent)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


@pytest.mark.parametrize("group", OPENED)
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import a_package_that_nobody_has", "No module named 'a_package_that_nobody_has'"),
        ("raise RuntimeError('needs a newer driver')", "RuntimeError: needs a newer driver"),
        ("def", "SyntaxError"),
        ("raise SystemExit", "SystemExit"),
        ("import sys; sys.exit('no license')", "SystemExit: no license"),
        ("raise type('Ended', (BaseException,), {})('by itself')", "Ended: by itself"),
        ("", "has no attribute 'extension'"),
    ],
)
def test_an_extension_that_cannot_be_loaded_is_an_error_of_input(
    group: str, code: str, reason: str, install: Callable[..., None]
) -> None:
    install(group, code)
    opened: Callable[[str], Any] = OPENED[group]
    with pytest.raises(InputError) as refused:
        opened("broken")
    assert "'broken'" in refused.value.found
    assert "broken-package" in refused.value.found
    assert reason in refused.value.found
    assert refused.value.where == f"broken_package:extension (entry point group {group})"


@pytest.mark.parametrize("group", OPENED)
def test_an_interrupt_while_an_extension_is_loaded_stays_an_interrupt(group: str, install: Callable[..., None]) -> None:
    install(group, "raise KeyboardInterrupt")
    opened: Callable[[str], Any] = OPENED[group]
    with pytest.raises(KeyboardInterrupt):
        opened("broken")


@pytest.mark.parametrize("group", OPENED)
def test_a_name_that_two_packages_provide_is_refused_with_both(group: str, install: Callable[..., None]) -> None:
    install(group, "def extension(*_, **__): pass", "one-package")
    install(group, "def extension(*_, **__): pass", "another-package")
    opened: Callable[[str], Any] = OPENED[group]
    with pytest.raises(InputError) as refused:
        opened("broken")
    assert refused.value.found == "2 packages provide the extension 'broken': another-package, one-package"
    assert refused.value.where == f"entry point group {group}"
    with pytest.raises(InputError, match="There is no ") as refused:
        opened("unknown")
    assert str(refused.value.expected).count("broken") == 1


MADE = {group: open_it for group, open_it in OPENED.items() if group != "fmn.exports"}


@pytest.mark.parametrize("group", MADE)
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("class extension:\n    def __init__(self, one, two, three, four): pass", "TypeError: "),
        (
            "def extension(*_, **__): raise RuntimeError('the weights are missing')",
            "RuntimeError: the weights are missing",
        ),
        ("def extension(*_, **__): raise SystemExit", "SystemExit"),
        ("def extension(*_, **__): pass", "what it returns, of the type NoneType, has no "),
    ],
)
def test_an_extension_that_makes_no_object_of_its_interface_is_an_error_of_input(
    group: str, code: str, reason: str, install: Callable[..., None]
) -> None:
    install(group, code)
    opened: Callable[[str], Any] = OPENED[group]
    with pytest.raises(InputError) as refused:
        opened("broken")
    assert refused.value.found.startswith(
        "The extension 'broken' of the package broken-package cannot be used: " + reason
    )
    assert refused.value.where == f"broken_package:extension (entry point group {group})"


@pytest.mark.parametrize("group", OPENED)
def test_an_extension_that_is_not_callable_is_an_error_of_input(group: str, install: Callable[..., None]) -> None:
    install(group, "extension = 42")
    opened: Callable[[str], Any] = OPENED[group]
    with pytest.raises(InputError) as refused:
        opened("broken")
    assert refused.value.found.endswith("of the package broken-package cannot be used: it is of the type int")
    assert refused.value.expected == "a function or a class"


def test_a_made_object_lacks_what_is_not_there_and_methods_that_cannot_be_called(install: Callable[..., None]) -> None:
    install("fmn_data.engines", "class extension:\n    name, version, speak = 'plain', '1', None")
    with pytest.raises(InputError, match="of the type extension, has no speak, voices\n") as refused:
        open_engine("broken")
    assert refused.value.expected == "an object with the members of dataset_tools.speech.engines.interface.Engine"


def test_an_error_of_the_toolkit_and_a_full_disk_are_not_blamed_on_an_extension(install: Callable[..., None]) -> None:
    raised = "__import__('dataset_tools.core.errors').core.errors.InputError('There is no such voice')"
    install("fmn_data.engines", f"def extension():\n    raise {raised}")
    with pytest.raises(InputError, match="There is no such voice"):
        open_engine("broken")
    install("fmn.video_encoders", "def extension(*_, **__):\n    raise OSError(28, 'full')", "full-package")
    with pytest.raises(StoppedError, match="No space left on device"):
        open_video_encoder("broken", "cpu")


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("def extension(rows): pass", "cannot be used: TypeError: too many positional arguments"),
        ("class extension:\n    def __init__(self): pass", "cannot be used: TypeError: too many positional arguments"),
    ],
)
def test_a_writer_of_exports_with_other_arguments_is_refused_before_it_writes(
    code: str, problem: str, install: Callable[..., None]
) -> None:
    install("fmn.exports", code)
    with pytest.raises(InputError) as refused:
        find_format("broken")
    assert refused.value.found == f"The extension 'broken' of the package broken-package {problem}"


VOICE = "__import__('dataset_tools.speech.engines.interface').speech.engines.interface.Voice"


def engine(voices: str, licences: str = "()") -> str:
    methods = f"def voices(self, language): return {voices}\n    def speak(self, *_, **__): raise KeyError('a')"
    return f"class extension:\n    name, version, licences = 'broken', '1', {licences}\n    {methods}"


@pytest.mark.parametrize(
    ("voices", "problem"),
    [
        (f"({VOICE}('Ben B', language, 't'),)", "ValueError: 'Ben B' is not a voice id: only a-z, 0-9, + and - are"),
        ("{}[language]", "KeyError: 'en'"),
        ("['ben']", "TypeError: voices() gives 'ben', of the type str, for a Voice"),
        ("None", "TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_an_engine_whose_voices_are_none_is_refused(voices: str, problem: str, install: Callable[..., None]) -> None:
    install("fmn_data.engines", engine(voices))
    with pytest.raises(InputError) as refused:
        voices_in("broken:", "en")
    assert refused.value.found.startswith(f"The extension 'broken' of the package broken-package failed: {problem}")
    assert refused.value.expected == "an engine as dataset_tools.speech.engines.interface.Engine describes it"


def test_an_engine_may_give_its_voices_in_a_list_and_one_license(install: Callable[..., None]) -> None:
    install("fmn_data.engines", engine(f"[{VOICE}('ben', language, 'ben')]", "'free to use'"))
    assert [voice.id for voice in voices_in("broken", "en")] == ["ben"]
    assert voice_licences("broken") == ("free to use",)


def test_an_engine_that_fails_on_a_typed_query_is_named(install: Callable[..., None], tmp_path: Path) -> None:
    install("fmn_data.engines", engine(f"[{VOICE}('ben', language, 'ben')]"))
    with pytest.raises(InputError, match="'broken' of the package broken-package failed: KeyError: 'a'"):
        speak_query("now cut it", tmp_path, engine="broken")
