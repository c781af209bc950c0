from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from filelock import FileLock
from sample_recordings import MissingPackageError, write_samples

from dataset_tools.corpora.standin.standin_corpus import write_standin

# A shell that runs the tests in the background makes them ignore SIGINT, and with them every command that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


NUMBERED = {"one": ("crank", "bed"), "two": ("stop", "bird"), "three": ("ready", "cat"), "four": ("move", "dog")}
RECORDINGS = {
    "video/sound.mkv": "video/decord__flipping_a_pancake.mkv",
    "video/reordered.mov": "video/decord__unordered.mov",
    "video/rotated.mov": "video/decord__video_90.mov",
    "video/damaged.mp4": "video/decord__corrupted.mp4",
    "video/action.avi": "video/mmaction2__test.avi",
    "speech/people": "speech/librivox",
    "speech/readings": "speech/librivox",
    "speech/cards": "speech/cards",
    "speech/people/whole.flac": "speech/mandarin/chinese.flac",
    **{f"motions/{name}": f"real/video_pose/{gesture}" for name, (gesture, _) in NUMBERED.items()},
    **{f"words/{name}": f"real/speech_en/{word}" for name, (_, word) in NUMBERED.items()},
    "tacos": "tacos",
    "formats": "formats",
}
"""What tests call a recording, and its name below FMN_TEST_DATA."""
SPEAKERS_WORDS = (
    *("close", "fandian", "fudan", "open", "print", "process", "project"),
    *("shanghai", "shuzi", "signal", "yuyan", "yuyin"),
)


@pytest.fixture(scope="session")
def real_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings: those below FMN_TEST_DATA, or where it is not set, those that installed packages bring."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "recordings"
    with FileLock(f"{folder}.lock"):  # the workers of one run share them
        if not folder.exists() and "FMN_TEST_DATA" in os.environ:
            link_recordings(Path(os.environ["FMN_TEST_DATA"]), folder)
        elif not folder.exists():
            try:
                write_samples(folder)
            except MissingPackageError as error:
                pytest.skip(str(error))
    return folder


def link_recordings(source: Path, folder: Path) -> None:
    """Links of what lies below FMN_TEST_DATA, under the names that tests use."""
    (folder / "speakers").mkdir(parents=True)
    for word in SPEAKERS_WORDS:
        for path in (source / "real" / "speech" / word).glob("s*.flac"):
            (folder / "speakers" / f"{path.stem}_{word}.flac").symlink_to(path)
    for name, original in RECORDINGS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / original).is_dir():
            (folder / name).mkdir()
            for path in (source / original).iterdir():
                (folder / name / path.name).symlink_to(path)
        else:
            (folder / name).symlink_to(source / original)


@pytest.fixture(scope="session")
def real_speech(real_data: Path) -> Path:
    """Recorded speech: folders of ``people``, and of ``cards`` and ``readings`` with their transcription."""
    return real_data / "speech"


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest corpus that has all classes: 20 intervals of a class in 4 short videos."""
    root = tmp_path_factory.mktemp("standin") / "corpus"
    write_standin(root, seed=3, per_class=1, jobs=2)
    return root
