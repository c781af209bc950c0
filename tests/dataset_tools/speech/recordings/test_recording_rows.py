"""Recordings in the place of synthesized utterances."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.speech.recordings.recording_rows import RecordingRow, merge_recordings

CARROT = "cut_carrot_knife"


def recording(utterance: UtteranceRow, take: int = 1) -> RecordingRow:
    return RecordingRow(
        id=utterance.id, original="x", original_sha256="x", name="x", licence="", take=take, utterance=utterance
    )


def test_recordings_take_the_place_of_synthesized_ones_one_for_one(
    make_clip: Callable[..., ClipRow], make_utterance: Callable[..., UtteranceRow]
) -> None:

    ids = [make_clip(CARROT, 7, 1, 100 * n + 1).id for n in range(4)]
    synthesized = [make_utterance(CARROT, clip, "en-us") for clip in ids] + [make_utterance("wash_apple", "x", "en-us")]
    of_clip = make_utterance(CARROT, ids[2], "anna")
    of_class = [make_utterance(CARROT, None, "ben", number) for number in range(5)]

    def sources(*recorded: UtteranceRow) -> tuple[list[UtteranceRow], list[UtteranceRow]]:
        rows = merge_recordings(synthesized, [recording(one) for one in recorded])
        assert [row.id for row in rows] == sorted(row.id for row in rows)
        assert synthesized[4] in rows  # another class, untouched
        carrots = [row for row in rows if row.class_id == CARROT]
        recorded_ids = {one.id for one in recorded}
        return [row for row in carrots if row.id in recorded_ids], [
            row for row in carrots if row.id not in recorded_ids
        ]

    assert sources() == ([], synthesized[:4])
    assert sources(of_clip) == ([of_clip], [synthesized[0], synthesized[1], synthesized[3]])
    recorded, rest = sources(of_clip, of_class[0])
    assert len(recorded) == 2
    assert len(rest) == 2
    assert synthesized[2] not in rest
    recorded, rest = sources(of_clip, *of_class)
    assert len(recorded) == 6  # more than there were: none is left out
    assert rest == []


def test_the_recording_of_a_clip_that_was_not_spoken_replaces_no_utterance_of_another(
    make_utterance: Callable[..., UtteranceRow],
) -> None:
    synthesized = [make_utterance(CARROT, clip, "de") for clip in "ab"]
    recorded = [make_utterance(CARROT, "c", voice) for voice in ("anna", "ben")]
    of_anna = merge_recordings(synthesized, [recording(recorded[0])])
    assert {row.id for row in of_anna} == {row.id for row in (*synthesized, recorded[0])}
    assert len(merge_recordings(synthesized, map(recording, recorded))) == 3  # the second of the clip replaces one


def test_of_several_takes_the_last_counts(make_utterance: Callable[..., UtteranceRow]) -> None:

    first = msgspec.structs.replace(make_utterance(CARROT, "c", "anna"), id="c_anna_b", source="recorded")
    second = msgspec.structs.replace(first, id="c_anna_a")
    rows = merge_recordings([make_utterance(CARROT, "c", "en-us")], [recording(first, 1), recording(second, 2)])
    assert [row.id for row in rows] == ["c_anna_a"]
