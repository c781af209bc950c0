"""``--processes``: the command once a process; one that fails ends the others, and its reason is shown."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fmn.training import process_launcher
from fmn.training.process_launcher import run_processes

LOAD_LAUNCHER = (  # by its path, since in these tests another package is called fmn
    "from importlib.util import module_from_spec, spec_from_file_location\n"
    f"spec = spec_from_file_location('process_launcher', {process_launcher.__file__!r})\n"
    "launcher = module_from_spec(spec)\nspec.loader.exec_module(launcher)\n"
)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Makes what ``python -m fmn`` runs of some lines, which know their ``rank``."""

    def make(lines: str) -> None:
        (tmp_path / "fmn").mkdir()
        (tmp_path / "fmn" / "__init__.py").touch()
        start = "import os, signal, sys, time\nrank = int(os.environ['RANK'])\n"
        (tmp_path / "fmn" / "__main__.py").write_text(start + lines)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["fmn", "train", "some.jsonl"])

    return make


def test_every_process_gets_the_command_and_its_place(command, tmp_path: Path, capfd) -> None:  # type: ignore[no-untyped-def]
    command(
        "names = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')\n"
        "open(f'place-{rank}', 'w').write(' '.join([*sys.argv[1:], *(os.environ[name] for name in names)]))\n"
        "print('said by', rank)\n"
        "import socket\nport = int(os.environ['MASTER_PORT'])\n"
        "if rank == 0:\n"
        "    try:\n        socket.socket().bind(('127.0.0.1', port))\n"
        "    except OSError:\n        pass\n"
        "    else:\n        sys.exit('another program can take the port')\n"
        "    socket.create_server(('', port)).close()\n"  # as torch listens, with SO_REUSEADDR
    )
    assert run_processes(3) == 0
    places = [(tmp_path / f"place-{rank}").read_text().split() for rank in range(3)]
    assert [place[:-1] for place in places] == [
        ["train", "some.jsonl", str(rank), str(rank), "3", "127.0.0.1"] for rank in range(3)
    ]
    assert len({place[-1] for place in places}) == 1
    assert capfd.readouterr().out == "said by 0\n"


@pytest.mark.parametrize(
    ("dies", "expected", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", 3, "Process 1 of this training ended by signal 9."),
        ("sys.exit('the card is broken')", 1, "the card is broken"),
    ],
)
def test_one_that_fails_ends_the_others(command, capfd, monkeypatch, dies: str, expected: int, said: str) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("fmn.training.process_launcher.GRACE_S", 0.5)
    command(f"if rank == 1:\n    {dies}\ntime.sleep(100)\n")
    assert run_processes(2) == expected
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    ("first", "second", "expected", "shown"),
    [
        (2, 4, 2, False),  # the second one ended because the first one had
        (4, 3, 3, True),  # the reason is in the second one's output, although a stop has the code 3 as well
        (2, 2, 2, False),  # both found the same error
        (4, 4, 3, False),
    ],
)
def test_consequences_of_another_error_are_not_reported(  # type: ignore[no-untyped-def]
    command, capfd, first: int, second: int, expected: int, shown: bool
) -> None:
    command(f"print('rank', rank, file=sys.stderr)\nsys.exit([{first}, {second}][rank])\n")
    assert run_processes(2) == expected
    assert ("rank 1" in capfd.readouterr().err) == shown


@pytest.mark.parametrize("says_so", [True, False])
def test_an_interrupt_ends_all_and_is_reported_once(command, says_so: bool, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    ends = "print('interrupted'); sys.exit(3)" if says_so else "os._exit(1)"
    command(
        f"def end(*_):\n    {ends}\nsignal.signal(signal.SIGTERM, end)\n"
        "open(f'begun-{rank}', 'w').write(str(os.getpid()))\ntime.sleep(100)\n"
    )

    wait, pressed = time.sleep, []

    def interrupt(seconds: float) -> None:
        wait(seconds)
        if not pressed and all((found := Path(f"begun-{rank}")).is_file() and found.read_text() for rank in range(2)):
            pressed.append(True)
            raise KeyboardInterrupt

    monkeypatch.setattr("fmn.training.process_launcher.time.sleep", interrupt)
    if says_so:
        assert run_processes(2) == 3
    else:
        with pytest.raises(KeyboardInterrupt):
            run_processes(2)
    for rank in range(2):
        with pytest.raises(ProcessLookupError):
            os.kill(int(Path(f"begun-{rank}").read_text()), 0)


def test_a_launcher_that_is_killed_takes_its_processes_with_it(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    command(LOAD_LAUNCHER + "launcher.end_with_launcher()\nprint(os.getpid(), flush=True)\ntime.sleep(100)\n")
    (tmp_path / "launch.py").write_text(LOAD_LAUNCHER + "launcher.run_processes(1)\n")
    with subprocess.Popen([sys.executable, "launch.py"], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        training = int(killed.stdout.readline())
        os.kill(training, 0)
        killed.kill()
        assert killed.stdout.read() == ""  # the end of the output comes when nobody can write to it any more
