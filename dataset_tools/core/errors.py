"""The exceptions of the toolkit: one root class, with the exit code of each.

ToolkitError                 2
├── InputError               2   an input or a way of use is wrong; nothing was written
│   └── ManifestError        2   a manifest row is wrong: file, line and field are named
├── SampleError              1   one sample failed; the others went on (``fmn-data retry``)
│   └── WorkerDiedError      1   it takes its worker process with it; not tried again unless asked for
└── StoppedError             3   stopped from outside: interrupt, server, disk, device; run again to resume

Every message says what was found, where, what was expected, and what to do next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike

_PASSWORD = re.compile(r"(?<=://)[^/\s]*@")


def without_passwords(text: str) -> str:
    """A text as people and logs may see it: in its URLs nothing is left of what is before an @."""
    return _PASSWORD.sub("…@", text)


class ToolkitError(Exception):
    """Root of every error that the toolkit raises on purpose. It shows no user names and passwords of URLs.

    Args:
        found: What was found, as a full sentence without the final full stop.
        where: The file, line, field, address or sample it was found at.
        expected: What would have been right.
        next_step: What the user can do now, a command where there is one.
    """

    exit_code = 2

    def __init__(
        self,
        found: str,
        *,
        where: str | PathLike[str] | None = None,
        expected: str | None = None,
        next_step: str | None = None,
    ) -> None:
        self.found = without_passwords(found)
        super().__init__(self.found)
        self.where = None if where is None else without_passwords(str(where))
        self.expected = None if expected is None else without_passwords(expected)
        self.next_step = None if next_step is None else without_passwords(next_step)

    def as_dict(self) -> dict[str, str]:
        """The parts that are present, by name (for ``--json`` and for ledger rows)."""
        parts = {
            "found": self.found,
            "where": self.where,
            "expected": self.expected,
            "next": self.next_step,
        }
        return {name: text for name, text in parts.items() if text is not None}

    def __str__(self) -> str:
        lines = [self.found]
        lines += [f"{name}: {text}" for name, text in self.as_dict().items() if name != "found"]
        return "\n  ".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are lost by the default pickling, and worker processes send these back.
        return (
            _rebuild,
            (type(self), self.found, self.where, self.expected, self.next_step),
        )


class InputError(ToolkitError):
    """An input or the way of use is wrong; nothing was written."""


class ManifestError(InputError):
    """A row of a JSONL file is wrong; ``where`` names file, line and field."""


class SampleError(ToolkitError):
    """One sample (a clip, an utterance, a feature) failed; the others are not touched by it."""

    exit_code = 1


class WorkerDiedError(SampleError):
    """The worker process died (killed, out of memory, crashed) each time that it worked on the sample."""


class StoppedError(ToolkitError):
    """Stopped from outside (interrupt, server, disk, device); running the command again resumes."""

    exit_code = 3


@dataclass(frozen=True)
class Reason:
    """Errors of one kind: how many, and the first of them."""

    count: int
    first: ToolkitError

    def text(self) -> str:
        """One line: ``3 ×: The video is missing: a.mp4 (/data)``, of the first."""
        where = f" ({self.first.where})" if self.first.where else ""
        example = ", the first" if self.count > 1 else ""
        return f"{self.count} ×{example}: {self.first.found}{where}"


def group_reasons(errors: Iterable[ToolkitError]) -> list[Reason]:
    """Groups errors by what was found, up to the first colon; the most frequent group first."""
    groups: dict[str, list[ToolkitError]] = {}
    for error in errors:
        groups.setdefault(error.found.split(":")[0], []).append(error)
    return sorted((Reason(len(group), group[0]) for group in groups.values()), key=lambda reason: -reason.count)


def _rebuild(
    kind: type[ToolkitError],
    found: str,
    where: str | None,
    expected: str | None,
    next_step: str | None,
) -> ToolkitError:
    return kind(found, where=where, expected=expected, next_step=next_step)
