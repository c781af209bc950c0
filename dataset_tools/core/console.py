"""Console output and exit codes: progress bars, closing lines, JSON, error messages.

Exit codes: 0 done; 1 done, but some samples failed; 2 input or usage is wrong, nothing was written; 3 stopped from
outside, or by an unexpected error: run it again to resume. Only the command modules import this one.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import signal
import sys
import textwrap
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from dataset_tools.core.early_interrupts import end_now
from dataset_tools.core.errors import ToolkitError
from dataset_tools.core.foreign_errors import as_toolkit_error, interrupted
from dataset_tools.core.notebooks import in_notebook
from dataset_tools.core.standard_streams import OutputError, reserved_stdout

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

SOME_FAILED_EXIT_CODE = 1
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # the last two are bidi controls
WIDTH_OF_FILES = 120  # columns of a table in a file or a pipe if COLUMNS is not set
PROGRESS_LINE_S = 30.0  # how often progress is printed as a line where bars cannot be drawn (a log, a notebook)
WIDE_TERMINAL = 150  # columns that fit bar, counts, times and the longest note side by side


class Terminal:
    """Output of a running command. Text goes to stdout, or to stderr if stdout is reserved for JSON.

    Text is shown verbatim: brackets in the name of a folder are not markup.

    Attributes:
        cleanup: runs when the command ends; removes its temporary folders.
    """

    def __init__(self, *, as_json: bool) -> None:
        from rich.console import Console

        self.as_json = as_json
        self.exit_code = 0
        self.cleanup = ExitStack()
        self._result: dict[str, Any] = {}
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH_OF_FILES
        self.console: Console = Console(stderr=as_json, highlight=False, emoji=False, width=width)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._last_line = 0.0

    def progress(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Shows one bar per stage (`dataset_tools.core.progress.Progress`); a line now and then if no terminal."""
        now = time.monotonic()
        if self._bars is None:
            self._bars = self._new_bars()
            self._last_line = now
            # FORCE_COLOR, which services set for their logs, makes rich take a file for a terminal.
            if sys.stderr.isatty() and not self._bars.console.is_dumb_terminal and not in_notebook():
                self._bars.start()
        if not self._bars.live.is_started and now - self._last_line >= PROGRESS_LINE_S:
            self._last_line = now
            _print_text(self._bars.console, "", f"  {stage:<12} {done:,} of {total:,}")
        if stage not in self._tasks:
            self._started[stage] = now
            self._tasks[stage] = self._bars.add_task(stage, total=total, note=note)
        self._ended[stage] = now
        self._bars.update(self._tasks[stage], completed=done, total=total, note=note)

    def _new_bars(self) -> Progress:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        console = Console(stderr=True, highlight=False)
        below = console.width < WIDE_TERMINAL  # a note beside the bars would leave no room for them

        class Bars(Progress):
            def get_renderables(self) -> Iterable[RenderableType]:
                yield from super().get_renderables()
                notes = [task.fields["note"] for task in self.tasks if below and not task.finished]
                yield from (Text(f"  {note}", no_wrap=True, overflow="ellipsis") for note in notes if note)

        return Bars(
            TextColumn("{task.description:<18}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            *([] if below else [TextColumn("{task.fields[note]}", markup=False)]),
            console=console,
            transient=True,
        )

    def close_bars(self) -> None:
        if self._bars is not None:
            if self._bars.live.is_started:
                self._bars.stop()
            self._bars = None
            self._tasks.clear()

    def closing(self, stage: str, count: str, where: Path | str | None = None) -> None:
        """Prints the closing line of a stage: its name, the count, the time taken, the location of the output."""
        self.close_bars()
        seconds = self._ended.get(stage, 0.0) - self._started.get(stage, 0.0)
        took = f"  in {seconds:.1f} s" if stage in self._started else ""
        place = f"  → {where}" if where is not None else ""
        _print_text(self.console, "[green]✓[/green] ", f"{stage:<12} {count}{took}{place}")

    def can_ask(self) -> bool:
        """Whether somebody can answer a question."""
        return sys.stdin.isatty() and not self.as_json and not in_notebook()

    def say(self, text: RenderableType) -> None:
        """Prints a line, or a table."""
        from rich.table import Table

        self.close_bars()
        if isinstance(text, str):
            _print_text(self.console, "", text)
        elif isinstance(text, Table):
            from dataset_tools.core.narrow_tables import parts_that_fit

            self.console.print(*parts_that_fit(text, self.console), sep="\n")
        else:
            self.console.print(text)

    def warn(self, text: str) -> None:
        """Prints a warning."""
        self.close_bars()
        _print_text(self.console, "[yellow]![/yellow] ", text)

    def next(self, command: str, *words: str | Path) -> None:
        """Prints the next command to run: ``command`` verbatim, then ``words``, quoted for the shell if necessary."""
        self.say("  next: " + " ".join([command, *(shlex.quote(str(word)) for word in words)]))

    def result(self, values: Mapping[str, Any]) -> None:
        """Adds values to the object that ``--json`` prints once, when the command ends."""
        self._result.update(values)

    def some_failed(
        self,
        count: int,
        then: str,
        *,
        reasons: str = "the reasons are in ledger.jsonl",
    ) -> None:
        """Makes the command exit with code 1 if ``count`` samples failed; ``then`` says what to do about them."""
        if count:
            self.exit_code = SOME_FAILED_EXIT_CODE
            self.warn(f"{count} failed: {reasons}; {then}")

    def print_json(self) -> None:
        _print_json({"ok": self.exit_code == 0, "exit_code": self.exit_code, **self._result})


def workspace_option(workspace: Path) -> str:
    """Returns `` --workspace FOLDER`` for the text of a next command; empty if it is the current folder."""
    return "" if workspace.resolve() == Path.cwd() else f" --workspace {shlex.quote(str(workspace))}"


@contextmanager
def command_context(*, as_json: bool, verbose: bool = False, debug: bool = False) -> Iterator[Terminal]:
    """Runs the body of a command; turns its errors into a message and an exit code, SIGTERM into an interrupt.

    So it does with SIGHUP (the terminal was closed), unless that is ignored, as by nohup, and with Ctrl-C.
    """
    # Lustre without the mount option flock, for example: filelock's other kind of lock works there, too.
    warnings.filterwarnings("ignore", "flock not supported on this filesystem")
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(message)s", stream=sys.stderr)
    terminal = Terminal(as_json=as_json)
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        _interrupt(number, frame)

    is_ours = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: end_now}
    numbers = [signal.SIGTERM, *(number for number, usual in is_ours.items() if signal.getsignal(number) == usual)]
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        with reserved_stdout() if as_json else nullcontext():
            yield terminal
            terminal.close_bars()
        if as_json:
            terminal.print_json()
    except (Exception, KeyboardInterrupt) as raised:
        terminal.close_bars()
        if isinstance(raised, typer.Exit | OutputError):
            raise
        if debug:
            terminal.console.print_exception() if sys.stdout.isatty() else logging.exception("--debug")
        # A library whose import is interrupted may raise an error of its own, as NumPy does.
        is_unclear = bool(received) and not isinstance(raised, ToolkitError | typer.Abort)
        error = interrupted() if is_unclear else as_toolkit_error(raised)
        print_error(error, as_json=as_json)
        raise typer.Exit(error.exit_code) from None
    finally:
        terminal.cleanup.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
    if terminal.exit_code:
        raise typer.Exit(terminal.exit_code)


def print_error(error: ToolkitError, *, as_json: bool) -> None:
    """Prints an error: on stderr, or as the one JSON object on stdout."""
    if as_json:
        _print_json({"ok": False, "exit_code": error.exit_code, "error": error.as_dict()})
        return
    errors = _stderr()
    _print_text(errors, "[red]error:[/red] ", error.found)
    for name, text in error.as_dict().items():
        if name != "found":
            _print_text(errors, f"  {name + ':':<10}", text)


def _print_text(console: Console, sign: str, text: str) -> None:
    """Prints a text after a sign; on a terminal, lines wrap between words only, so that paths stay whole.

    Args:
        console: the destination; in a file or a pipe, lines do not wrap.
        sign: with rich's markup.
        text: shown verbatim: brackets are not markup, control characters are escaped.
    """
    from rich.text import Text

    shown = Text.from_markup(sign)
    indent = " " * (len(shown) or len(text) - len(text.lstrip()))
    shown.append(printable(text))
    if console.is_terminal:
        wrapped = (
            textwrap.fill(
                line,
                console.width,
                subsequent_indent=indent,
                replace_whitespace=False,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for line in shown.plain.split("\n")
        )
        shown = Text("\n".join(wrapped), spans=shown.spans)  # the style of the sign, at the start of the first line
    console.print(shown, soft_wrap=True)


def printable(text: str) -> str:
    """Escapes control characters other than line breaks and tabs, so that a terminal does not interpret them."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def _print_json(values: Mapping[str, Any]) -> None:
    """Prints JSON; if stdout cannot encode all of it, non-ASCII characters are escaped, so that nothing is lost."""
    text = json.dumps(values, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        text = json.dumps(values)
    print(text)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    if signum == signal.SIGHUP:  # the kernel and the shell each send one, and the second must not stop the cleanup
        signal.signal(signum, signal.SIG_IGN)
    raise KeyboardInterrupt


def _stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)
