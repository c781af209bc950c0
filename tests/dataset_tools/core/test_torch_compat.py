from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from dataset_tools.core import torch_compat

FORKS = """
import json, os, sys, torch
for line in sys.stdin:
    folder, code = json.loads(line)
    receiving, sending = os.pipe()
    if os.fork() == 0:
        os.dup2(sending, 1)
        os.dup2(sending, 2)
        sys.path.insert(0, folder)
        exec('import sys; ' + code, {})
        sys.stdout.flush()
        os._exit(0)  # tearing torch down takes a second
    os.close(sending)
    with open(receiving) as said:
        text = said.read()
    print(json.dumps([os.wait()[1], text]), flush=True)
"""


@pytest.fixture(scope="module")
def forks() -> Iterator[subprocess.Popen[str]]:
    """A process that has imported torch, which takes a second, and nothing else; it runs codes in forks of it."""
    # From Python 3.12 on, a fork of a process with threads, which torch may have started, is warned of.
    command = [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", FORKS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def in_a_fresh_process(forks: subprocess.Popen[str], tmp_path: Path) -> Callable[[str], str]:
    """Runs code with ``tmp_path`` first on the path and warnings as errors."""

    def run(code: str) -> str:
        assert forks.stdin is not None
        assert forks.stdout is not None
        forks.stdin.write(json.dumps([str(tmp_path), code]) + "\n")
        forks.stdin.flush()
        status, said = json.loads(forks.stdout.readline())
        assert status == 0, said
        return str(said).strip()

    return run


def test_what_is_used_of_torchaudio_works() -> None:
    audio = torch_compat.torchaudio()
    assert audio.transforms.MFCC(16000, 13, melkwargs={"n_mels": 40, "n_fft": 400})(torch.rand(8000)).shape[0] == 13
    assert len(audio.functional.resample(torch.rand(8000), 8000, 16000)) == 16000


IMPORT = "from dataset_tools.core import torch_compat as tc; "


def test_what_is_used_of_pytorchvideo_works() -> None:
    assert callable(torch_compat.pytorchvideo_resnet().i3d_r50)


def test_nobody_else_finds_a_torchvision_that_is_not_there(
    in_a_fresh_process: Callable[[str], str], tmp_path: Path
) -> None:
    code = IMPORT + "tc.pytorchvideo_resnet(); print('torchvision' in sys.modules)"
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    assert in_a_fresh_process(code) == "False"


def test_a_torchvision_that_works_is_used_as_it_comes(in_a_fresh_process: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("")
    (tmp_path / "torchvision" / "ops.py").write_text("class RoIAlign: real = True")
    code = IMPORT + "tc.pytorchvideo_resnet(); import pytorchvideo.models.head as head\nprint(head.RoIAlign.real)"
    assert in_a_fresh_process(code) == "True"


def test_the_stand_in_says_why_it_cannot_work(in_a_fresh_process: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "torchvision.py").write_text("raise ImportError('broken on purpose')")
    code = (
        IMPORT + "tc.pytorchvideo_resnet(); import pytorchvideo.models.head as head\n"
        "try: head.RoIAlign()\nexcept RuntimeError as error: print(error)"
    )
    assert in_a_fresh_process(code) == "RoIAlign needs torchvision: broken on purpose"


FAKE = """
from torchaudio import _extension
extension_there = _extension._IS_TORCHAUDIO_EXT_AVAILABLE
"""


def test_torchaudio_is_repaired_only_when_its_extension_cannot_be_loaded(
    in_a_fresh_process: Callable[[str], str], tmp_path: Path
) -> None:
    code = "from dataset_tools.core import torch_compat as tc; print(tc.torchaudio().extension_there)"
    package = tmp_path / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text(FAKE)
    (package / "_extension.py").write_text("_IS_TORCHAUDIO_EXT_AVAILABLE = True")
    assert in_a_fresh_process(code) == "True"
    (package / "_extension.py").write_text("raise OSError('libc10_cuda.so: cannot open shared object file')")
    assert in_a_fresh_process(code) == "False"


def test_another_failure_is_a_message_and_no_repair(in_a_fresh_process: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "torchaudio.py").write_text("import a_module_that_does_not_exist")
    code = (
        "from dataset_tools.core import torch_compat as tc\n"
        "try: tc.torchaudio()\nexcept Exception as error: print(type(error).__name__, error)"
    )
    assert in_a_fresh_process(code).startswith("InputError torchaudio cannot be imported")


def test_operators_that_torchvision_lacks_are_declared(
    in_a_fresh_process: Callable[[str], str], tmp_path: Path
) -> None:
    code = "from dataset_tools.core import torch_compat as tc; print(tc.torchvision().there)"
    declared = "for name in ('made_up', 'another'):\n    torch.library.register_fake('torchvision::' + name)(len)"
    (tmp_path / "torchvision.py").write_text(f"import torch\n{declared}\nthere = True")
    assert in_a_fresh_process(code) == "True"


def test_a_torchvision_that_fails_otherwise_is_told(in_a_fresh_process: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('no such thing')")
    code = (
        "from dataset_tools.core import torch_compat as tc\n"
        "try: tc.torchvision()\nexcept Exception as error: print(type(error).__name__, error)"
    )
    told = in_a_fresh_process(code)
    assert told.startswith("InputError torchvision cannot be imported: no such thing")
    constraints = Path(__file__).parents[3] / "constraints.txt"
    assert told.endswith(f"next: pip uninstall --yes torchvision && pip install -c {constraints} torchvision")


@pytest.mark.parametrize("name", ["timm", "transformers"])
def test_a_broken_torchvision_is_told_by_encoders_with_the_same_next_step(
    name: str, in_a_fresh_process: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('no such thing')")
    code = (
        "from fmn.features.encoders.libraries import library\n"
        f"try: library({name!r})\nexcept Exception as error: print(error.found, '|', error.next_step)"
    )
    found, _, next_step = in_a_fresh_process(code).partition(" | ")
    assert found == "torchvision cannot be imported: no such thing"
    assert next_step.startswith("pip uninstall --yes torchvision && pip install -c ")
