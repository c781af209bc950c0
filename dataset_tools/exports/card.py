"""Data set card: README.md of an export, with Hugging Face Hub metadata as YAML front matter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from dataset_tools.core.count_of import count_of
from dataset_tools.exports import facts_in_words
from dataset_tools.exports.dataset_facts import DatasetFacts, Durations
from dataset_tools.exports.exported_rows import TABLES
from dataset_tools.exports.item_sides import SPLITS

NAME = "README.md"
_SIZES = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6), ("1M<n<10M", 10**7))
_MOST_CLASSES = 200


def card(facts: DatasetFacts, declared: Mapping[str, Any]) -> str:
    """Returns the text of README.md.

    Args:
        facts: facts about the data set.
        declared: entries that the format adds to the front matter, such as ``configs``.
    """
    front = yaml.safe_dump({**_metadata(facts), **declared}, sort_keys=False, allow_unicode=True, width=1000)
    sections: list[tuple[str, list[str]]] = [
        ("Composition", _composition(facts)),
        ("How it was made", _listed(facts_in_words.collection(facts))),
        ("Annotation and agreement", _judged(facts)),
        ("Speakers", _listed(facts_in_words.speakers(facts))),
        ("Licenses", _listed(facts_in_words.licenses(facts))),
        ("Known limits", _listed(facts_in_words.limits(facts))),
        ("Personal information and withdrawals", _listed(facts_in_words.personal(facts))),
        (
            "Files",
            ["`export.json` describes the export; `SHA256SUMS` lists every file: `sha256sum -c SHA256SUMS`."],
        ),
    ]
    body = "\n".join(f"\n## {title}\n\n" + "\n".join(lines) for title, lines in sections)
    return f"---\n{front}---\n\n# {facts_in_words.name(facts)}\n{body}\n"


def _metadata(facts: DatasetFacts) -> dict[str, Any]:
    """Metadata fields of the Hub; ``license`` is ``other`` unless it is known and has an identifier on the Hub."""
    spoken, languages = facts.utterances, sorted(facts.utterances.languages)
    rows = sum(sum(counts.values()) for counts in facts.counts.values())
    terms: dict[str, Any] = {"license": "other", "license_name": "see-licenses", "license_link": f"{NAME}#licenses"}
    if facts.is_standin and not sum(spoken.languages.values()):
        terms = {"license": "apache-2.0"}
    return {
        "pretty_name": facts_in_words.name(facts),
        **terms,
        **({"language": languages} if languages else {}),
        "multilinguality": ["multilingual" if len(languages) > 1 else "monolingual"],
        "task_categories": ["video-classification", "audio-classification"],
        "size_categories": [next((name for name, most in _SIZES if rows < most), "10M<n<100M")],
        "annotations_creators": ["machine-generated" if facts.is_standin else "found"],
        "tags": [
            "video-speech-retrieval",
            "cross-modal-retrieval",
            "video",
            "audio",
            *(["cooking"] if facts.is_of_cooking else []),
            *(["synthetic"] if facts.is_standin else []),
        ],
    }


def _composition(facts: DatasetFacts) -> list[str]:
    splits = [split for split in SPLITS if any(split in counts for counts in facts.counts.values())]
    lines = _table(
        ["", "rows", *splits],
        [
            [
                table,
                _count(sum(facts.counts[table].values())),
                *(_count(facts.counts[table].get(split, 0)) for split in splits),
            ]
            for table in TABLES
        ],
    )
    spoken = facts.utterances
    kinds = {
        "clips": facts.clips.durations,
        **{f"{source} utterances": one for source, one in spoken.durations.items()},
    }
    lines += [
        "",
        *_table(["", "rows", "hours", "shortest, s", "longest, s"], [_durations(*one) for one in kinds.items()]),
    ]
    sizes = facts_in_words.counted(
        {f"{width}×{height}": number for (width, height), number in facts.clips.sizes.items()}
    )
    lines += [
        "",
        f"- {count_of(len(facts.clips.by_class.keys() | spoken.by_class.keys()), 'class', 'classes')}, "
        f"{count_of(len(facts.clips.persons), 'person')}, {count_of(len(facts.clips.videos), 'source video')}.",
        f"- Clips by pixels: {sizes or 'none'}.",
        "- `train`, `test`: the split; `both`: items with pairs in both; `neither`: in neither split.",
    ]
    classes = sorted(facts.clips.by_class.keys() | spoken.by_class.keys())
    rows = [[f"`{one}`", _count(facts.clips.by_class[one]), _count(spoken.by_class[one])] for one in classes]
    lines += ["", *_table(["class", "clips", "utterances"], rows[:_MOST_CLASSES])]
    if len(rows) > _MOST_CLASSES:
        lines += ["", f"And {count_of(len(rows) - _MOST_CLASSES, 'more class', 'more classes')}."]
    return lines


def _judged(facts: DatasetFacts) -> list[str]:
    lines = _listed(facts_in_words.annotation(facts))
    rows = facts_in_words.agreement(facts)
    if rows:
        lines += [
            "",
            *_table(["field", "annotators", "doubly reviewed", "measure", "value", "Gwet's AC1"], rows),
        ]
    return lines


def _durations(what: str, one: Durations) -> list[str]:
    if not one.count:
        return [what, "0", "", "", ""]
    return [what, _count(one.count), f"{one.total_s / 3600:.3f}", f"{one.shortest_s:.2f}", f"{one.longest_s:.2f}"]


def _count(number: int) -> str:
    return f"{number:,}"


def _listed(sentences: Iterable[str]) -> list[str]:
    return [f"- {_one_line(one)}" for one in sentences]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_one_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]


def _one_line(text: str) -> str:
    """Returns untrusted text on one line, with HTML and links escaped."""
    return re.sub(r"([\\<\[\]])", r"\\\1", " ".join(text.split()))
