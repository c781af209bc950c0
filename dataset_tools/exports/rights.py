"""Redistribution rights: of footage by its license, of recorded voices by the consent of their speakers.

This is not legal advice: it only applies what build.json and recordings/consents.jsonl say. The license of the user's
own footage is unknown to the toolkit; that of MPII Cooking 2 forbids redistribution; recordings of a speaker who
withdrew are never redistributed. For footage, only the media are withheld; for a voice, its rows, too, since they
contain its name, its sentences and facts about the speaker.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dataset_tools.build_record import FOOTAGE_LICENCE, OWN_LICENCE, read_build
from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.exports.exported_rows import UNDER_AGE, ExportedRows
from dataset_tools.speech.recordings.consent_rows import barred_voices
from dataset_tools.speech.recordings.consents import consented_voices, read_speakers

MPII_FOOTAGE, OWN_FOOTAGE, UNKNOWN_FOOTAGE = "mpii-footage", "own-footage", "unknown-footage"
WITHOUT_CONSENT, MINORS = "recordings-without-consent", "recordings-of-minors"
PARTS = (MPII_FOOTAGE, OWN_FOOTAGE, UNKNOWN_FOOTAGE, WITHOUT_CONSENT, MINORS)
"""Values of ``--allow``."""

_SHOWN_VOICES = 5


@dataclass(frozen=True)
class Withheld:
    """A part that may not be redistributed: name (see `PARTS`), content, reason and, for recordings, the voices."""

    name: str
    what: str
    why: str
    voices: tuple[str, ...] = ()

    def text(self) -> str:
        return f"{self.name}: {self.what} ({self.why})"


def withheld_parts(rows: ExportedRows) -> list[Withheld]:
    """Returns the parts of a data set that may not be redistributed, as far as the workspace knows.

    Raises:
        InputError: recordings of a speaker who withdrew are still in the manifests; or a record cannot be read.
    """
    clips = count_of(sum(rows.counts["clips"].values()), "clip")
    parts = [Withheld(name, clips, why) for name, why in _footage(rows.workspace) if rows.counts["clips"]]
    is_barred = barred_voices(rows.workspace)
    barred = sorted(voice for voice in rows.voices if is_barred(voice))
    if barred:
        raise InputError(
            f"The manifests hold recordings of speakers who withdrew: {', '.join(barred)}",
            where=rows.workspace.manifests / "utterances.jsonl",
            expected="no trace of a voice whose consent was withdrawn",
            next_step=f"complete the withdrawal with: fmn-data speech forget {shlex.quote(barred[0])}",
        )
    speakers = read_speakers(rows.workspace)
    minors = rows.minors | {voice for voice, facts in speakers.items() if facts.age_band == UNDER_AGE}
    reasons = (
        (
            WITHOUT_CONSENT,
            consented_voices(rows.workspace),
            "recordings/consents.jsonl has no consent of these speakers",
        ),
        (MINORS, rows.voices.keys() - minors, "they are under 18, and no consent of their parents is recorded"),
    )
    for name, permitted, why in reasons:
        voices = tuple(sorted(rows.voices.keys() - permitted))
        if voices:
            count = sum(rows.voices[voice] for voice in voices)
            names = ", ".join(first_of(voices, _SHOWN_VOICES))
            parts.append(Withheld(name, f"{count_of(count, 'recorded utterance')} of {names}", why, voices))
    return parts


def check_rights(rows: ExportedRows, withheld: Iterable[Withheld], allowed: Collection[str]) -> None:
    """Refuses media that may not be redistributed, unless the part is in ``allowed``.

    Without media, the rows of voices that may not be redistributed are left out instead.

    Raises:
        InputError: media may not be redistributed, or ``allowed`` has an unknown name.
    """
    unknown = sorted(set(allowed) - set(PARTS))
    if unknown:
        raise InputError(
            f"Unknown part: {', '.join(unknown)}",
            where="--allow",
            expected="one of " + ", ".join(PARTS),
            next_step="use a name from the message that refused the export",
        )
    refused = [part for part in withheld if part.name not in allowed]
    if refused and rows.with_media:
        raise InputError(
            "Media of this data set may not be redistributed:" + "".join(f"\n  - {part.text()}" for part in refused),
            expected="media that anyone may have, or your statement that you may redistribute them",
            next_step="export manifests and a rebuild recipe with --no-media; or, if you hold the rights, add "
            + " ".join(f"--allow {part.name}" for part in refused),
        )
    voices = {voice for part in refused for voice in part.voices}
    if voices:
        rows.withhold(voices)


def _footage(workspace: Workspace) -> list[tuple[str, str]]:
    record = read_build(workspace)
    if not record:
        return [(UNKNOWN_FOOTAGE, "there is no manifests/build.json to tell what they were cut from")]
    if record.get("own_footage"):
        return [(OWN_FOOTAGE, OWN_LICENCE)]
    return [] if record.get("stand_in") else [(MPII_FOOTAGE, FOOTAGE_LICENCE)]
