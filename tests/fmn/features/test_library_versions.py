from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import soundfile

from fmn.features import library_versions
from fmn.features.config import DEMO_AUDIO, DEMO_VIDEO, AudioFeatureConfig, VideoFeatureConfig
from fmn.features.extract import extract_audio, extract_video
from fmn.features.library_versions import av_version, opencv_version
from fmn.features.media import Media


def test_the_versions_are_those_of_the_imported_libraries() -> None:
    """They are in the digests of features, which must not change."""
    assert (av_version(), opencv_version()) == (av.__version__, cv2.__version__)


@pytest.mark.parametrize(
    "installed",
    [{}, {"opencv-python": "4.12.0"}, {"opencv-python": "9.9.9.9", "opencv-contrib-python": "9.9.9.9"}],
)
def test_another_distribution_of_opencv_is_asked_itself(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(library_versions, "version", version)
    assert opencv_version() == cv2.__version__


def test_without_a_distribution_pyav_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(library_versions, "version", version)
    assert av_version() == av.__version__


CACHED = """
import sys
import fmn.evaluation.evaluate, fmn.training.train
from pathlib import Path
from fmn.features.config import DEMO_AUDIO, DEMO_VIDEO, AudioFeatureConfig, VideoFeatureConfig
from fmn.features.extract import extract_audio, extract_video
from fmn.features.media import Media

clip, sound, cache = (Path(argument) for argument in sys.argv[1:4])
for extract, path, sha256, configs in (
    (extract_video, clip, sys.argv[4], (DEMO_VIDEO, VideoFeatureConfig(kind="duration"))),
    (extract_audio, sound, sys.argv[5], (DEMO_AUDIO, AudioFeatureConfig(kind="duration"))),
):
    for config in configs:
        assert extract([Media(sha256, path, "one")], config, cache=cache).computed == 0
print([name for name in ("av", "cv2", "soundfile", "timm", "transformers") if name in sys.modules])
"""


def test_features_from_the_cache_need_no_decoder(
    write_clip: Callable[..., Media], as_media: Callable[[Path], Media], tmp_path: Path
) -> None:
    """Neither do training and evaluation before they load features."""
    soundfile.write(tmp_path / "one.wav", np.sin(np.arange(16_000) / 9), 16_000)
    clip, sound, cache = write_clip("clip", frames=20), as_media(tmp_path / "one.wav"), tmp_path / "cache"
    for config in (DEMO_VIDEO, VideoFeatureConfig(kind="duration")):
        extract_video([clip], config, cache=cache)
    for audio in (DEMO_AUDIO, AudioFeatureConfig(kind="duration")):
        extract_audio([sound], audio, cache=cache)
    command = [sys.executable, "-c", CACHED, *map(str, (clip.path, sound.path, cache)), clip.sha256, sound.sha256]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
