"""Data set facts as sentences: origin, annotators, speakers, licenses, limitations, withdrawals."""

from __future__ import annotations

from collections.abc import Mapping

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.exports.dataset_facts import NOT_JUDGED, DatasetFacts

_MOST_NAMED = 20
_SPLITS = {
    "items": "Clips and utterances are disjoint; persons and voices may be in both, so new ones are not tested.",
    "person": "Persons in the footage and their voices are disjoint, too.",
    "mpii": "The official split of MPII Cooking 2, by its test subjects.",
    "pairs": "Pairs were split individually: clips and utterances are in both training and test, so the split leaks.",
}
_TEXT_SOURCES = {
    "grammar": "generated from templates and word lists of the class file",
    "annotations": "taken from the annotations of the footage",
    "tacos": "from TACoS, written by annotators of the footage",
    "review": "written by annotators, or agreed with by them",
    "recording": "supplied with the recording",
}


def name(facts: DatasetFacts) -> str:
    """Name of the data set, derived from its footage."""
    if facts.is_standin:
        return "Synthetic cooking corpus: video clips and spoken descriptions"
    if facts.built.get("own_footage"):
        return "Video clips and spoken descriptions"
    return (
        "MPII Cooking 2: video clips and spoken descriptions" if facts.built else "Video clips and spoken descriptions"
    )


def counted(counts: Mapping[str, int]) -> str:
    """Formats counts on one line, the largest first: ``grammar: 30, tacos: 7``."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(first_of([f"{what}: {number:,}" for what, number in ordered], _MOST_NAMED))


def collection(facts: DatasetFacts) -> list[str]:
    """How clips and utterances were made."""
    footage = "MPII Cooking 2" if facts.built else "footage of unrecorded origin"
    if facts.is_standin:
        stand_in = facts.built["stand_in"]
        footage = f"a synthetic corpus, rendered by a program (difficulty {stand_in.get('difficulty', 'unknown')},"
        footage += f" seed {stand_in.get('seed', 'unknown')})"
    elif facts.built.get("own_footage"):
        footage = "footage supplied by the creators of the data set"
    clips, spoken = facts.clips, facts.utterances
    windows = count_of(clips.windows, "clip is a window", "clips are windows")
    lines = [
        f"The clips were cut, frame-exact, from {count_of(len(clips.videos), 'video')} of {footage}, at annotated "
        "intervals.",
        f"{windows} of longer intervals; {clips.sound:,} have the audio of their video.",
    ]
    if spoken.text_sources:
        words = {**_TEXT_SOURCES, **({"tacos": "made from templates, in TACoS format"} if facts.is_standin else {})}
        sources = {words.get(key, key): number for key, number in spoken.text_sources.items()}
        lines.append(f"Sentences of the utterances: {counted(sources)}.")
    if spoken.engines:
        lines.append(f"Synthesized speech, utterances by engine: {counted(spoken.engines)}.")
    if spoken.recorded:
        recorded = count_of(len(spoken.recorded), "utterance was", "utterances were")
        lines.append(f"{recorded} recorded by people.")
    if spoken.copies:
        copies = count_of(spoken.copies, "utterance is an augmented copy", "utterances are augmented copies")
        lines.append(f"{copies} of others (speed, gain, room, noise).")
    lines.append("The pairs are all combinations of a clip and an utterance of the same class.")
    if facts.left_out:
        left_out = {f"{kind} {status}": number for (kind, status), number in facts.left_out.items()}
        lines.append(f"Left out in the build, by kind and status: {counted(left_out)}.")
    refused = facts.built.get("refused")
    if refused:
        lines.append(f"Refused intervals, by reason: {counted(refused)}.")
    return lines


def annotation(facts: DatasetFacts) -> list[str]:
    """Numbers of annotators and of items they reviewed, and the verdicts; see `agreement` for their agreement."""
    judged = facts.judged
    if not judged.decisions:
        return ["Clips and utterances were not reviewed: labels are those of the annotated intervals."]
    return [
        f"{count_of(judged.annotators, 'annotator')} reviewed {count_of(judged.clips, 'clip')} and "
        f"{count_of(judged.utterances, 'utterance')} ({count_of(judged.decisions, 'decision')}); the majority counts.",
        f"Clips by verdict: {counted(facts.clips.by_verdict)}; {facts.clips.trimmed:,} were trimmed.",
        f"Utterances by verdict: {counted(facts.utterances.by_verdict)}.",
    ]


def agreement(facts: DatasetFacts) -> list[tuple[str, ...]]:
    """Agreement, one row per field: field, annotators, doubly reviewed items, measure, its value, Gwet's AC1."""
    return [
        (one.field, f"{one.annotators}", f"{one.items}", one.measure, _number(one.value), _number(one.ac1))
        for one in facts.judged.agreement
    ]


def speakers(facts: DatasetFacts) -> list[str]:
    """Voices, and self-reported facts about recorded speakers, without names."""
    voices = facts.utterances.voices
    synthetic = count_of(len(voices["synthesized"]), "synthetic voice")
    lines = [f"{synthetic}, {count_of(len(voices['recorded']), 'recorded speaker')}."]
    if voices["recorded"]:
        names = {"age_band": "Age", "accent": "Accent", "device": "Recorded with"}
        lines += [f"{names[key]}: {counted(counts)}." for key, counts in facts.speakers.facts.items()]
        lines.append(f"Speakers with a recorded consent: {facts.speakers.consented:,}.")
    lines.append(f"Languages, by utterances: {counted(facts.utterances.languages) or 'none'}.")
    return lines


def licenses(facts: DatasetFacts) -> list[str]:
    """Licenses of the parts, as recorded, and what may be redistributed; not legal advice."""
    lines = [*facts.built.get("licences", ["The licenses of the footage and the voices are not recorded."])]
    if facts.recording_licences:
        lines.append(f"recordings, by the license stated at their import: {counted(facts.recording_licences)}")
    if not facts.with_media:
        lines.append("this export contains no media, only the rows that describe them")
    for part in facts.withheld:
        note = "; included because the exporter stated a right to share it" if part.name in facts.allowed else ""
        if part.voices and not note:
            lines.append(f"left out, with their rows and pairs: recordings ({part.why})")
            continue
        what = "recordings" if part.voices else part.what  # that of recordings names the speakers
        lines.append(f"not for redistribution: {what} ({part.why}){note}")
    return lines


def limits(facts: DatasetFacts) -> list[str]:
    """Limitations of the data set, as far as its rows show them."""
    lines = []
    if facts.is_standin:
        lines.append(str(facts.built["stand_in"].get("notice", "The footage is synthetic.")))
    spoken = facts.utterances
    total = sum(one.count for one in spoken.durations.values())
    synthetic = spoken.durations["synthesized"].count
    templates = spoken.text_sources["grammar"] + facts.is_standin * spoken.text_sources["tacos"]
    if synthetic:
        lines.append(f"{synthetic:,} of {total:,} utterances have synthetic voices: no evidence about human speech.")
    if templates:
        lines.append(f"{templates:,} of {total:,} sentences come from templates: they vary little, and name the class.")
    if spoken.doubtful:
        doubtful = count_of(spoken.doubtful, "utterance has", "utterances have")
        lines.append(f"{doubtful} audio quality warnings (field `quality`).")
    count = facts.clips.durations.count
    if facts.clips.by_verdict[NOT_JUDGED]:
        lines.append(f"{facts.clips.by_verdict[NOT_JUDGED]:,} of {count:,} clips were not reviewed.")
    if facts.clips.by_class and (most := max(facts.clips.by_class.values())) > min(facts.clips.by_class.values()):
        lines.append(f"Classes are imbalanced: {min(facts.clips.by_class.values()):,} to {most:,} clips.")
    lines.append(f"{count_of(len(facts.clips.persons), 'person')} in the footage: not a sample of any population.")
    lines.append(_SPLITS[facts.split.split] if facts.split else "How training and test were split is not recorded.")
    return lines


def personal(facts: DatasetFacts) -> list[str]:
    """Personal data in the data set, and the number of withdrawn consents."""
    lines = [
        "No persons are visible: the footage is rendered."
        if facts.is_standin
        else "The clips may show people; faces are not blurred."
    ]
    if facts.utterances.voices["recorded"]:
        lines.append(
            "Recorded voices are personal data; rows name them by the field `voice`, which may be the name that the"
            " speaker gave, and carry age band, accent and device if the speaker stated them."
        )
    else:
        lines.append("There are no recordings of persons.")
    lines.append(
        f"Withdrawn consents: {facts.withdrawals:,}. Recordings of speakers who withdraw are removed from the"
        " data set and from later exports; earlier exports cannot be reached."
    )
    return lines


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
