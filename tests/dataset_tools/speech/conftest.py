from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.classes.triplets import ClassFile


@pytest.fixture(scope="session")
def classes() -> ClassFile:
    return load_classes()


def sine(frequency_hz: float, peak_dbfs: float, duration_s: float, sample_rate_hz: int) -> np.ndarray:
    """A tone [n] that starts at phase 0."""
    time_s = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    return 10 ** (peak_dbfs / 20) * np.sin(2 * np.pi * frequency_hz * time_s)


@pytest.fixture(name="sine")
def _sine() -> Callable[[float, float, float, int], np.ndarray]:
    return sine


PLAIN_ENGINE = '''
import math, os, struct, wave
from pathlib import Path
from dataset_tools.core.errors import SampleError
from dataset_tools.speech.engines.interface import Voice

FAILS = Path(__file__).with_name("fails")

class Plain:
    """Tones; silence for "milk". While there is a file "fails" beside this one, "onion" fails, "lemon" kills."""

    def __init__(self, options="3"):
        self.name, self.version, self.count = "plain", "1 " + options, int(options)

    def voices(self, language):
        return tuple(Voice(f"tone-{n}", language, str(n)) for n in range(self.count)) if language == "en" else ()

    def speak(self, text, voice, *, path, seed):
        if "onion" in text and FAILS.exists():
            raise SampleError("It cannot say onion", where=text)
        if "lemon" in text and FAILS.exists():
            os.abort()
        level = 0 if "milk" in text else 8000
        tone = [int(level * math.sin(2 * math.pi * (200 + 50 * len(text)) * n / 16000)) for n in range(16000)]
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(struct.pack("<16000h", *tone))
'''


@pytest.fixture
def plain_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Installs a package with an engine, as a user would; gives the engine's name."""

    def install(name: str, code: str = PLAIN_ENGINE, class_name: str = "Plain") -> str:
        site = tmp_path / "site"
        info = site / f"{name}-1.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}_speech.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[fmn_data.engines]\n{name} = {name}_speech:{class_name}\n")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.setitem(sys.modules, f"{name}_speech", None)
        del sys.modules[f"{name}_speech"]
        return name

    return install
