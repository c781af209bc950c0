"""The exceptions of the toolkit: one root class, with the exit code of each.

ToolkitError                 2
├── InputError               2   wrong input or usage; nothing was written
│   └── ManifestError        2   a manifest row is wrong: file, line and field are named
├── SampleError              1   one sample failed; the others were processed (``fmn-data retry``)
│   └── WorkerDiedError      1   the sample kills its worker process; retried only on request
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
    """Removes credentials from URLs, for messages and logs: everything between :// and @."""
    return _PASSWORD.sub("…@", text)


class ToolkitError(Exception):
    """Base class of all errors that the toolkit raises on purpose. User names and passwords in URLs are removed.

    Args:
        found: What was found, as a full sentence without the final period.
        where: The file, line, field, address or sample where it was found.
        expected: What was expected instead.
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
        # Default pickling loses keyword-only arguments, and worker processes send these errors back.
        return (
            _rebuild,
            (type(self), self.found, self.where, self.expected, self.next_step),
        )


class InputError(ToolkitError):
    """Wrong input or usage; nothing was written."""


class ManifestError(InputError):
    """A row of a JSONL file is wrong; ``where`` names file, line and field."""


class SampleError(ToolkitError):
    """One sample (a clip, an utterance, a feature) failed; the others are not affected."""

    exit_code = 1


class WorkerDiedError(SampleError):
    """The worker process died (killed, out of memory, crashed) each time it processed the sample."""


class StoppedError(ToolkitError):
    """Stopped from outside (interrupt, server, disk, device); running the command again resumes."""

    exit_code = 3


@dataclass(frozen=True)
class Reason:
    """Errors of one kind: their number, and the first of them."""

    count: int
    first: ToolkitError

    def text(self) -> str:
        """One line about the first error: ``3 ×, the first: The video is missing: a.mp4 (/data)``."""
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
