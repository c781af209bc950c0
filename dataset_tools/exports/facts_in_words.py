"""Data set facts as sentences: origin, annotators, speakers, licences, limitations, withdrawals."""

from __future__ import annotations

from collections.abc import Mapping

from dataset_tools.exports.dataset_facts import NOT_JUDGED, DatasetFacts

_MOST_NAMED = 20
_SPLITS = {
    "items": "Each clip and utterance is on one side; people and voices may be on both, so new ones are not tested.",
    "person": "People of the footage and their voices are on one side only.",
    "mpii": "The official split of MPII Cooking 2: its test subjects are on the test side.",
    "pairs": "Pairs were dealt one by one: clips and utterances are on both sides, and a test on it leaks.",
}
_TEXT_SOURCES = {
    "grammar": "made from templates and word lists of the class file",
    "annotations": "taken from the annotations of the footage",
    "tacos": "of TACoS, written by people about the footage",
    "review": "corrected by annotators",
    "recording": "as given with the recording",
}


def name(facts: DatasetFacts) -> str:
    """What the data set is called, by its footage."""
    if facts.is_standin:
        return "Synthetic cooking corpus: video clips and spoken descriptions"
    if facts.built.get("own_footage"):
        return "Video clips and spoken descriptions"
    return (
        "MPII Cooking 2: video clips and spoken descriptions" if facts.built else "Video clips and spoken descriptions"
    )


def counted(counts: Mapping[str, int]) -> str:
    """Counts in one line, the largest first: ``grammar: 30, tacos: 7``."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    rest = len(ordered) - _MOST_NAMED
    texts = [f"{what}: {number:,}" for what, number in ordered[:_MOST_NAMED]]
    return ", ".join([*texts, *([f"and {rest} more"] if rest > 0 else [])])


def collection(facts: DatasetFacts) -> list[str]:
    """How clips and utterances were made."""
    footage = "MPII Cooking 2" if facts.built else "footage that the data set has no record of"
    if facts.is_standin:
        stand_in = facts.built["stand_in"]
        footage = f"a synthetic corpus, drawn by a program (difficulty {stand_in.get('difficulty', 'unknown')},"
        footage += f" seed {stand_in.get('seed', 'unknown')})"
    elif facts.built.get("own_footage"):
        footage = "footage that whoever built the data set brought along"
    clips, spoken = facts.clips, facts.utterances
    lines = [
        f"The clips were cut, frame-exact, from {len(clips.videos):,} videos of {footage}, at annotated intervals.",
        f"{clips.windows:,} clips are windows of longer intervals; {clips.sound:,} have the sound of their video.",
    ]
    if spoken.text_sources:
        words = {**_TEXT_SOURCES, **({"tacos": "made from templates, in TACoS' form"} if facts.is_standin else {})}
        sources = {words.get(key, key): number for key, number in spoken.text_sources.items()}
        lines.append(f"Sentences of the utterances: {counted(sources)}.")
    if spoken.engines:
        lines.append(f"Synthesized speech, utterances by engine: {counted(spoken.engines)}.")
    if spoken.durations["recorded"].count:
        lines.append(f"{spoken.durations['recorded'].count:,} utterances were recorded by people.")
    if spoken.copies:
        lines.append(f"{spoken.copies:,} utterances are augmented copies of others (speed, gain, room, noise).")
    lines.append("A pair is a clip and an utterance of the same class: every such combination.")
    if facts.left_out:
        left_out = {f"{kind} {status}": number for (kind, status), number in facts.left_out.items()}
        lines.append(f"Left out while it was built, by what and how: {counted(left_out)}.")
    refused = facts.built.get("refused")
    if refused:
        lines.append(f"Intervals that were refused, by reason: {counted(refused)}.")
    return lines


def annotation(facts: DatasetFacts) -> list[str]:
    """Who judged clips and utterances, and how many; the agreement is in `agreement`."""
    judged = facts.judged
    if not judged.decisions:
        return ["Nobody judged the clips and utterances of this data set: labels are those of the annotated intervals."]
    return [
        f"{judged.annotators:,} annotators judged {judged.clips:,} clips and {judged.utterances:,} utterances"
        f" ({judged.decisions:,} decisions); the majority counts.",
        f"Clips by verdict: {counted(facts.clips.by_verdict)}; {facts.clips.trimmed:,} were trimmed.",
        f"Utterances by verdict: {counted(facts.utterances.by_verdict)}.",
    ]


def agreement(facts: DatasetFacts) -> list[tuple[str, ...]]:
    """Agreement, a row for each field: field, annotators, items judged twice, measure, its value, Gwet's AC1."""
    return [
        (one.field, f"{one.annotators}", f"{one.items}", one.measure, _number(one.value), _number(one.ac1))
        for one in facts.judged.agreement
    ]


def speakers(facts: DatasetFacts) -> list[str]:
    """Voices, and what the speakers of recordings say of themselves; without names."""
    voices = facts.utterances.voices
    lines = [f"{len(voices['synthesized']):,} synthetic voices, {len(voices['recorded']):,} recorded speakers."]
    if voices["recorded"]:
        names = {"age_band": "Age", "accent": "Accent", "device": "Recorded with"}
        lines += [f"{names[key]}: {counted(counts)}." for key, counts in facts.speakers.facts.items()]
        lines.append(
            f"{facts.speakers.consented:,} of the speakers are known to have agreed to be recorded for a data set."
        )
    lines.append(f"Languages, by utterances: {counted(facts.utterances.languages) or 'none'}.")
    return lines


def licenses(facts: DatasetFacts) -> list[str]:
    """The licenses of the parts, as recorded, and what may be passed on; no legal opinion."""
    lines = [*facts.built.get("licences", ["The licenses of the footage and the voices are not recorded."])]
    if facts.recording_licences:
        lines.append(f"recordings, by the license stated at their import: {counted(facts.recording_licences)}")
    if not facts.with_media:
        lines.append("this export holds no clips and utterances, only what describes them")
    for part in facts.withheld:
        said = " — passed on at the word of whoever exported it" if part.name in facts.allowed else ""
        if part.voices and not said:
            lines.append(f"left out, with their rows and pairs: recordings ({part.why})")
            continue
        what = "recordings" if part.voices else part.what  # which names the speakers
        lines.append(f"not to be passed on: {what} ({part.why}){said}")
    return lines


def limits(facts: DatasetFacts) -> list[str]:
    """What the data set is not good for, as far as its rows tell."""
    lines = []
    if facts.is_standin:
        lines.append(str(facts.built["stand_in"].get("notice", "The footage is made up.")))
    spoken = facts.utterances
    total = sum(one.count for one in spoken.durations.values())
    synthetic = spoken.durations["synthesized"].count
    templates = spoken.text_sources["grammar"] + facts.is_standin * spoken.text_sources["tacos"]
    if synthetic:
        lines.append(
            f"{synthetic:,} of {total:,} utterances are synthetic voices: results on them say little of people."
        )
    if templates:
        lines.append(
            f"{templates:,} of {total:,} sentences come from templates: few wordings, and words that name the class."
        )
    if spoken.doubtful:
        lines.append(f"{spoken.doubtful:,} utterances have warnings about their sound (field `quality`).")
    count = facts.clips.durations.count
    if facts.clips.by_verdict[NOT_JUDGED]:
        lines.append(f"{facts.clips.by_verdict[NOT_JUDGED]:,} of {count:,} clips were judged by nobody.")
    if facts.clips.by_class and (most := max(facts.clips.by_class.values())) > min(facts.clips.by_class.values()):
        lines.append(f"Classes are uneven: {min(facts.clips.by_class.values()):,} to {most:,} clips.")
    lines.append(f"{len(facts.clips.persons):,} people are seen: not a sample of any population.")
    lines.append(_SPLITS[facts.split.split] if facts.split else "It is not recorded how training and test were dealt.")
    return lines


def personal(facts: DatasetFacts) -> list[str]:
    """What is personal in it, and who withdrew."""
    lines = [
        "Nobody is seen: the footage is drawn."
        if facts.is_standin
        else "The clips may show people; faces are not blurred."
    ]
    if facts.utterances.voices["recorded"]:
        lines.append(
            "Recorded voices are personal data; rows name them by the field `voice`, which may be the name that the"
            " speaker gave, and carry age band, accent and device where they were said."
        )
    else:
        lines.append("No voice is a recording of a person.")
    lines.append(
        f"Withdrawn consents: {facts.withdrawals:,}. Recordings of who withdraws are removed from the data set and"
        " from every later export; earlier exports are out of reach."
    )
    return lines


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
