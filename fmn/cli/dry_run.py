"""Output of ``--dry-run`` of the commands that use a run or extract features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.options import short, show_failures

if TYPE_CHECKING:
    from fmn.data.dry_run import DryRun


def show_dry_run(terminal: Terminal, found: DryRun, doing: str, lacking: str = "features", **values: Any) -> None:
    """Shows a dry run.

    Args:
        terminal: for output.
        found: the dry run.
        doing: what would be done with its items, such as ``evaluate``.
        lacking: what the left out items do not have.
        values: further values for ``--json``.
    """
    numbers = ((found.clips, "clip"), (found.utterances, "utterance"))
    items = " and ".join(count_of(number, name) for number, name in numbers if number) or "nothing"
    first = f"; up to {count_of(found.to_extract, 'feature')} would be extracted first" if found.to_extract else ""
    terminal.closing("dry run", f"would {doing} {items}{first}")
    if found.files:
        terminal.say(f"  would write {', '.join(str(short(path)) for path in found.files)}")
    for note in found.notes:
        terminal.warn(note)
    show_failures(terminal, found.failures, lacking)
    terminal.result(found.as_dict() | values)
