"""Synthetic TACoS sentences: one to three for each interval."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.seeds import generator
from dataset_tools.corpora.standin.cast import FRAME_RATE
from dataset_tools.corpora.standin.script import ScriptedInterval
from dataset_tools.speech.sentences.generation import describe

_KNOWN = 30  # distinct sentences of a class
_MOST = 3  # maximum number of sentences per interval
_OTHERS = (
    "The person {verb} the {thing}.",
    "He {verb} the {thing}.",
    "She {verb} the {thing}.",
    "The cook {verb} the {thing}.",
)


class Narrator:
    """Writes sentences about intervals, with many different sentences per class."""

    def __init__(self, classes: ClassFile, seed: int) -> None:
        self._classes = classes
        self._seed = seed
        self._sentences = {one.id: describe(one, classes, count=_KNOWN, seed=seed) for one in classes.classes}

    def video(self, sequence: str, frames: int, intervals: Sequence[ScriptedInterval]) -> dict[str, Any]:
        """Returns the entry of a video: ``timestamps`` (1-based, inclusive), ``sentences``, ``fps``, ``num_frames``."""
        timestamps, sentences = [], []
        rng = generator(self._seed, "standin", "sentences", sequence)
        for interval in intervals:
            known = self._about(interval)
            for place in rng.permutation(len(known))[: int(rng.integers(1, _MOST + 1))]:
                timestamps.append([interval.start + 1, interval.end])
                sentences.append(known[int(place)])
        return {"timestamps": timestamps, "sentences": sentences, "fps": FRAME_RATE, "num_frames": frames}

    def _about(self, interval: ScriptedInterval) -> list[str]:
        item = interval.item
        if item.class_id is not None:
            return self._sentences[item.class_id]
        word = self._classes.actions[item.action].third_person if item.verb != "move" else "moves"
        thing = self._classes.things[item.subject].name if item.subject in self._classes.things else item.subject
        return [sentence.format(verb=word, thing=thing) for sentence in _OTHERS]


def as_text(videos: dict[str, dict[str, Any]]) -> str:
    """Returns the content of a file: ``{"s17-d69.avi": {...}}``."""
    return json.dumps(videos, ensure_ascii=False, indent=1) + "\n"
