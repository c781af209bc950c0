from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import typer
from rich.console import Console
from rich.table import Table

from dataset_tools.core.console import Terminal, command_context, workspace_option
from dataset_tools.core.errors import InputError

NOTE = "epoch 12/60  loss 1.234  5,678 pairs/s  validation hit@1 61/63, best epoch 10"


@pytest.mark.parametrize(("columns", "expected"), [(80, 3), (100, 3), (200, 2)])  # the note has a line of its own
def test_bars_counts_times_and_note_fit_any_terminal(
    columns: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal(as_json=False)
    terminal.progress("features", 5, 5, "clip 5")
    terminal.progress("train", 12_288, 61_440, NOTE)
    assert terminal._bars is not None
    screen = io.StringIO()
    Console(width=columns, file=screen).print(*terminal._bars.get_renderables())
    terminal.close_bars()
    lines = [line.rstrip() for line in screen.getvalue().splitlines()]
    assert len(lines) == expected
    assert all(len(line) <= columns for line in lines)
    train = lines[1]
    assert train.startswith("train ")
    assert "12288/61440" in train
    assert "0:00:00 -:--:--" in train  # elapsed, left
    assert NOTE in "\n".join(lines)
    assert "clip 5" in lines[0] or expected == 3


def test_without_a_terminal_progress_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter([0.0, 10.0, 31.0, 40.0, 62.0])
    monkeypatch.setattr("dataset_tools.core.console.time.monotonic", lambda: next(seconds))
    terminal = Terminal(as_json=True)
    for done in range(5):
        terminal.progress("videos", 1000 * done, 5000)
    terminal.close_bars()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == ["  videos       2,000 of 5,000", "  videos       4,000 of 5,000"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_the_command_is_an_interrupt_and_cleans_up(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = signal.Signals[name]
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(typer.Exit) as ended, command_context(as_json=False), TemporaryDirectory(dir=tmp_path):
            signal.raise_signal(number)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert ended.value.exit_code == 3
    assert "Interrupted" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_that_a_library_turns_into_an_error_of_its_own_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a chain to the interrupt, as NumPy does in an import from C."""
    with pytest.raises(typer.Exit) as ended, command_context(as_json=False):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            error = ImportError("numpy._core.multiarray failed to import")
        raise error
    assert ended.value.exit_code == 3
    assert capsys.readouterr().err.startswith("error: Interrupted")


def test_a_terminal_that_is_closed_sends_several_signals_and_the_cleanup_is_completed() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    cleaned = []
    try:
        with pytest.raises(typer.Exit) as ended, command_context(as_json=False):
            try:
                signal.raise_signal(signal.SIGHUP)
            finally:
                signal.raise_signal(signal.SIGHUP)  # as the shell does after the kernel
                cleaned.append("here")
        assert (ended.value.exit_code, cleaned) == (3, ["here"])
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_command_goes_on_when_its_terminal_is_closed_if_it_was_started_with_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with command_context(as_json=False):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


SAYING = """
import os
from dataset_tools.core.command import CommandLine
from dataset_tools.core.console import Terminal
app = CommandLine(help="Signs → ✓")

@app.command()
def say(terminal: Terminal) -> None:
    "Says ✓."
    terminal.closing("clips", "2 clips", "Küche 手")
    terminal.say("it has a PATH" if os.environ["PATH"] else "")
    terminal.result({"text": "Küche 手 ✓"})

@app.command()
def other(terminal: Terminal) -> None:
    "Another."

app()
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize("arguments", [["--help"], ["say"], ["say", "--json"]])
def test_a_terminal_without_the_signs_is_good_enough(encoding: str, arguments: list[str]) -> None:
    environment = {"PYTHONIOENCODING": encoding, "PYTHONPATH": os.pathsep.join(sys.path)}  # no PATH, either
    ended = subprocess.run([sys.executable, "-c", SAYING, *arguments], capture_output=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    text = ended.stdout.decode(encoding)
    if "--json" in arguments:
        assert json.loads(text)["text"] == "Küche 手 ✓"
    elif arguments == ["say"]:
        assert "2 clips" in text
        assert ("✓" in text) == (encoding == "utf-8")
        assert "it has a PATH" in text


PRINTING = """
import ctypes, os, subprocess, sys
from dataset_tools.core.command import CommandLine
from dataset_tools.core.console import Terminal
from dataset_tools.core.errors import InputError
app = CommandLine(help="Prints.")

@app.command()
def say(terminal: Terminal, fail: bool = False) -> None:
    "Prints as libraries do."
    print("by print")
    sys.__stdout__.write("by the first stdout\\n")
    ctypes.CDLL(None).puts(b"by C")
    subprocess.run(["echo", "by a process"])
    if fail:
        raise InputError("It failed")
    terminal.result({"text": "done"})

@app.command()
def other(terminal: Terminal) -> None:
    "Another."

app()
"""


@pytest.mark.parametrize("arguments", [[], ["--fail"]])
def test_stdout_has_one_json_object_whatever_libraries_print(arguments: list[str]) -> None:
    command = [sys.executable, "-c", PRINTING, "say", "--json", *arguments]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    told = json.loads(ended.stdout)
    assert told["error"]["found"] == "It failed" if arguments else told["text"] == "done"
    assert {"by print", "by the first stdout", "by C", "by a process"} <= set(ended.stderr.splitlines())


@pytest.mark.parametrize("name", ["set [bold]", "set [/x]", "set :clapper_board:", "set [red]x[/red]"])
def test_names_of_folders_are_shown_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(as_json=False)
    terminal.closing("clips", "3", name)
    terminal.warn(f"{name} is odd")
    terminal.say(f"{name}, too")
    terminal.next("fmn train", name, "--preset", "demo")
    assert capsys.readouterr().out.splitlines() == [
        f"✓ clips        3  → {name}",
        f"! {name} is odd",
        f"{name}, too",
        f"  next: fmn train '{name}' --preset demo",
    ]


def test_a_next_command_names_another_workspace_than_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data").mkdir()
    assert workspace_option(Path("my data")) == " --workspace 'my data'"
    assert workspace_option(Path()) == workspace_option(tmp_path) == ""


def test_a_table_has_its_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name", title="a title [bold](of a corpus)[/]")
    table.add_row("[yellow]3[/yellow]")
    Terminal(as_json=False).say(table)
    shown = capsys.readouterr().out
    assert "a title (of a corpus)" in " ".join(shown.split())
    assert "yellow" not in shown


def test_control_characters_of_others_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    """Names and texts may come from somebody else, and a terminal takes an escape sequence for a command."""
    evil = "a\x1b]0;title\x07b\x9b2Jc\u202ed\re"
    with pytest.raises(typer.Exit), command_context(as_json=False) as terminal:
        terminal.say(evil)
        terminal.warn(evil)
        terminal.closing("pairs", evil, evil)
        raise InputError(evil, where=evil)
    said = capsys.readouterr()
    assert (said.out + said.err).count(r"a\x1b]0;title\x07b\x9b2Jc\u202ed\re") == 6
    assert not set(said.out + said.err) & set("\x1b\x07\x9b\u202e\r")


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal_breaks_texts_between_words_and_never_a_path(columns: int) -> None:
    path = "/data/mpii-cooking-2/a-folder-with-a-long-name/clips/s13-d21_000194-000243_w2of3.mp4"
    note = "The video features come from the small demo network, not from the I3D trained on Kinetics. 手" * 2
    terminal = Terminal(as_json=False)
    screen = io.StringIO()
    terminal.console = Console(width=columns, file=screen, force_terminal=True, color_system=None)
    terminal.warn(note)
    terminal.say(f"  next: fmn train {path}")
    terminal.closing("clips", "2 clips", path)
    lines = screen.getvalue().splitlines()
    assert " ".join(screen.getvalue().split()).startswith(f"! {note}")
    assert sum(path in line for line in lines) == 2
    assert all(len(line) <= columns for line in lines if path not in line)
    assert all(line.startswith(("! ", "  ", "✓ ")) for line in lines)


def test_a_pipe_gets_every_text_as_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(as_json=False).warn("word " * 100)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_table_in_a_pipe_is_as_wide_as_columns_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns, expected in (("60", 60), (None, 120)):
        monkeypatch.setenv("COLUMNS", columns) if columns else monkeypatch.delenv("COLUMNS")
        Terminal(as_json=False).say(Table("name", expand=True))
        assert {len(line) for line in capsys.readouterr().out.splitlines()} == {expected}
