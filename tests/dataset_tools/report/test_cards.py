"""Sample cards say what manifests, ledger and decisions say of each sample, and nothing is missing among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dataset_tools.core.errors import SampleError
from dataset_tools.core.ledger import LedgerRow, failed
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.agreement import disagreement
from dataset_tools.decisions.journal import ReviewRow
from dataset_tools.manifests import ClassLabel, ClipRow, SplitPairRow, UtteranceRow, write_rows
from dataset_tools.report.card_data import card_data
from dataset_tools.report.cards import Card, make_cards, read_splits

CUT, WASH = "cut_carrot_knife", "wash_apple"
MakeReview = Callable[..., ReviewRow]


@pytest.fixture
def clip(make_clip: Callable[..., ClipRow]) -> ClipRow:
    return make_clip(CUT, 7, 20, 101)


@pytest.fixture
def spoken(make_utterance: Callable[..., UtteranceRow], clip: ClipRow) -> UtteranceRow:
    return msgspec.structs.replace(make_utterance(CUT, clip.id, "bob"), quality={"warnings": ["quiet: -50 LUFS"]})


def cards_of(
    clips: list[ClipRow],
    utterances: list[UtteranceRow],
    lost: list[LedgerRow] | None = None,
    reviews: list[ReviewRow] | None = None,
    files: tuple[str, ...] = (),
) -> dict[str, Card]:
    ledger = {row.id: row for row in lost or []}
    made = make_cards(clips, utterances, ledger, reviews or [], {}, doubts={}, files=files)
    assert [card.id for card in made] == sorted({card.id for card in made})
    return {card.id: card for card in made}


def refused(sample: str, found: str) -> LedgerRow:
    return LedgerRow(id=sample, status="skipped", stage="plan", reason=SampleError(found, where="here").as_dict())


def test_a_clip_stands_with_its_utterances_and_an_utterance_of_a_class_alone(
    clip: ClipRow, spoken: UtteranceRow, make_utterance: Callable[..., UtteranceRow]
) -> None:
    second, alone = make_utterance(CUT, clip.id, "ann"), make_utterance(WASH, None, "eve")
    cards = make_cards(
        [clip],
        [spoken, second, alone],
        {},
        [],
        {clip.id: "train", alone.id: "test"},
        doubts={spoken.id: "unlike"},
        files=(),
    )
    of_clip, of_class = sorted(cards, key=lambda card: card.clip is None)
    assert [one.row for one in of_clip.utterances] == [second, spoken]
    assert [one.doubts for one in of_clip.utterances] == [(), ("quiet: -50 LUFS", "unlike")]
    assert (of_clip.id, of_clip.status, of_clip.class_id, of_clip.person) == (clip.id, "ok", CUT, "s07")
    assert (of_clip.split, of_clip.path, of_clip.disagreement) == ("train", clip.path, None)
    assert (of_class.id, of_class.class_id, of_class.person, of_class.split) == (alone.id, WASH, None, "test")
    assert [one.row for one in of_class.utterances] == [alone]


def test_votes_disagreement_and_verdicts(clip: ClipRow, spoken: UtteranceRow, make_review: MakeReview) -> None:
    said = [("ann", "accept", None), ("bob", "accept", WASH), ("eve", "reject", None), ("kim", "reject", None)]
    reviews = [
        make_review(
            minute=n,
            annotation=n,
            annotator=who,
            verdict=verdict,
            corrected_class=other,
            id=clip.id,
            content_sha256=clip.sha256,
        )
        for n, (who, verdict, other) in enumerate(said, start=1)
    ]
    of_speech = {"item": "utterance", "id": spoken.id, "content_sha256": spoken.sha256, "annotator": "ann"}
    reviews.append(make_review(minute=9, annotation=9, verdict="reject", **of_speech))
    card = cards_of([clip], [spoken], reviews=reviews)[clip.id]
    assert card.judgment.verdict == "reject"  # by two of four, although no build has followed it yet
    assert dict(card.judgment.votes) == {"accept": 1, f"accept as {WASH}": 1, "reject": 2}
    assert card.disagreement == pytest.approx(5 / 6)  # of six pairs only the two who reject agree
    assert card.utterances[0].judgment.verdict == "reject"
    assert card.utterances[0].judgment.disagreement is None  # one voice


def test_decisions_on_another_content_do_not_count(clip: ClipRow, make_review: MakeReview) -> None:
    clip = msgspec.structs.replace(clip, review="accept")
    reviews = [make_review(minute=1, id=clip.id, content_sha256="f" * 64, verdict="reject")]
    card = cards_of([clip], [], reviews=reviews)[clip.id]
    assert (card.judgment.verdict, card.judgment.votes) == ("accept", ())


def test_disagreement_needs_two(make_review: MakeReview) -> None:
    one, other = (
        make_review(minute=1),
        make_review(minute=2, annotator="bob@example.com", trim=(103, 150), verdict="trim"),
    )
    assert disagreement([one]) is None
    assert disagreement([one, one]) == 0
    assert disagreement([one, other]) == 1


def test_what_is_not_there_has_a_card_with_its_reason(
    clip: ClipRow, spoken: UtteranceRow, make_review: MakeReview
) -> None:
    rejected, unclear = "s07-d20_000301-000350", "s07-d20_000401-000450"
    shown = {"class_id": WASH, "sentence": "Wash it."}
    reviews = [make_review(minute=1, id=rejected, verdict="reject", shown=shown)]
    lost = [
        refused(f"interval/{rejected}#3", "An annotator rejected the clip"),
        refused(f"interval/{unclear}#4", "The interval fits several classes"),
        failed("clip/s09-d21_000001-000020", "cut", SampleError("The video is damaged")),
        failed(f"utterance/{clip.id}_eve", "speak", SampleError("The voice said nothing")),
        refused(f"interval/{clip.id}#8", "The same span was annotated twice"),
        LedgerRow(id=f"clip/{clip.id}", status="ok", stage="cut"),
    ]
    cards = cards_of([clip], [spoken], lost, reviews, files=(rejected,))
    assert set(cards) == {clip.id, f"{clip.id}#8", f"{rejected}#3", f"{unclear}#4", "s09-d21_000001-000020"}
    card = cards[f"{rejected}#3"]
    assert (card.status, card.class_id, card.person, card.sentence) == ("skipped", WASH, "s07", "Wash it.")
    assert (card.path, card.judgment.verdict) == (f"clips/{rejected}.mp4", "reject")
    card = cards[f"{unclear}#4"]
    assert (card.status, card.class_id, card.person, card.path) == ("skipped", None, "s07", None)
    card = cards["s09-d21_000001-000020"]
    assert (card.status, card.person, card.problems[0].reason) == ("failed", None, {"found": "The video is damaged"})
    card = cards[clip.id]
    assert (card.status, len(card.utterances)) == ("failed", 1)
    assert [row.id for row in card.problems] == [f"utterance/{clip.id}_eve"]


def test_the_split_of_an_item_is_where_its_pairs_are(
    make_clip: Callable[..., ClipRow], make_utterance: Callable[..., UtteranceRow], tmp_path: Path
) -> None:
    place = Workspace(tmp_path)
    assert read_splits(place) == {}
    label = ClassLabel(id=CUT, action="cut", subject="carrot", object="knife")
    clips = [make_clip(CUT, 7, 20, start) for start in (101, 201)]
    voices = [make_utterance(CUT, clip.id, "ann") for clip in clips]
    for side, pairs in {"train": [(0, 0), (0, 1)], "test": [(1, 1)]}.items():
        rows = [
            SplitPairRow(id=f"p{a}{b}", label=label, clip=clips[a], utterance=voices[b], split=side, fold=None)  # type: ignore[arg-type]
            for a, b in pairs
        ]
        write_rows(place.manifests / f"{side}.jsonl", rows)
    assert read_splits(place) == {
        clips[0].id: "train",
        voices[0].id: "train",
        clips[1].id: "test",
        voices[1].id: "both",
    }


def test_the_json_of_a_card_leaves_out_what_is_not_known(clip: ClipRow, spoken: UtteranceRow) -> None:
    card = cards_of([clip], [spoken])[clip.id]
    found = card_data(card, lambda path: f"../{path}", "thumbnails/one.jpg")
    assert found == {
        "id": clip.id,
        "status": "ok",
        "class": CUT,
        "person": "s07",
        "split": "neither",
        "clip": {"src": f"../{clip.path}", "poster": "thumbnails/one.jpg", "duration_s": 1.701},  # 50 frames at 29.4
        "utterances": [
            {
                "id": spoken.id,
                "src": f"../{spoken.path}",
                "text": spoken.text,
                "text_source": "grammar",
                "voice": "bob",
                "source": "synthesized",
                "duration_s": 1.5,
                "doubts": ["quiet: -50 LUFS"],
            }
        ],
    }
