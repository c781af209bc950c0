"""Leak check of a corpus: how well length, mean color and encoded size predict the class.

    python tools/trivial.py DIR

Each is a nearest-class-mean classifier, tested on held-out persons. All should be near chance.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset_tools.classes.matching import classify
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.seeds import generator
from dataset_tools.corpora.mpii.mpii_corpus import open_corpus

FOLDS = 5


@dataclass(frozen=True)
class TrivialScores:
    """Percent of intervals that are classified correctly.

    Attributes:
        intervals: number of intervals.
        chance: the fraction of the largest class.
        length, mean_color, size: from the number of frames; from mean blue, green and red; from the encoded bytes.
    """

    intervals: int
    chance: float
    length: float
    mean_color: float
    size: float


@dataclass(frozen=True)
class _Seen:
    """Trivial features of one interval."""

    class_id: str
    person: str
    frames: int
    color: tuple[float, float, float]
    size_bytes: int


def trivial_scores(root: Path) -> TrivialScores:
    """Measures the trivial classifiers on a corpus in MPII Cooking 2's layout.

    Raises:
        InputError: the folder does not contain such a corpus.
    """
    seen = _look(root)
    classes = sorted({one.class_id for one in seen})
    labels = np.array([classes.index(one.class_id) for one in seen])
    persons = [one.person for one in seen]

    def score(values: Sequence[object]) -> float:
        return 100 * nearest_mean_accuracy(np.array(values, float).reshape(len(seen), -1), labels, persons)

    return TrivialScores(
        intervals=len(seen),
        chance=100 * float(np.bincount(labels).max()) / len(labels),
        length=score([np.log(one.frames) for one in seen]),
        mean_color=score([one.color for one in seen]),
        size=score([np.log(one.size_bytes) for one in seen]),
    )


def nearest_mean_accuracy(features: NDArray[np.float64], labels: NDArray[np.int64], groups: Sequence[str]) -> float:
    """Fraction of samples whose class has the nearest mean, by cross-validation with folds that keep groups together.

    Args:
        features: [N, D]; each dimension is scaled to variance 1.
        labels: [N], from 0.
        groups: [N]; all samples of a group are in one fold.
    """
    names = sorted(set(groups))
    order = generator(0, "standin", "trivial").permutation(len(names))
    fold_of = {names[int(place)]: number % FOLDS for number, place in enumerate(order)}
    folds = np.array([fold_of[group] for group in groups])
    features = features / np.maximum(features.std(axis=0), 1e-9)
    right = 0
    for fold in sorted(set(folds.tolist())):
        test = folds == fold
        known = sorted(set(labels[~test].tolist()))
        if not known:
            continue
        means = np.stack([features[~test & (labels == label)].mean(axis=0) for label in known])  # [C, D]
        distances = np.linalg.norm(features[test][:, None] - means, axis=2)
        right += int((np.array(known)[distances.argmin(axis=1)] == labels[test]).sum())
    return right / len(labels)


def _look(root: Path) -> list[_Seen]:
    """Decodes all videos once and measures each interval."""
    import av

    corpus, classes = open_corpus(root), load_classes()
    seen = []
    for video, path in sorted(corpus.videos.items()):
        with av.open(str(path)) as file:
            sizes = [packet.size for packet in file.demux(video=0) if packet.size]
        with av.open(str(path)) as file:
            colors = [frame.to_ndarray(format="bgr24")[::8, ::8].mean(axis=(0, 1)) for frame in file.decode(video=0)]
        for interval in corpus.annotations.intervals:
            class_id = classify(interval, classes).class_id
            if interval.video != video or class_id is None:
                continue
            span = slice(interval.start_frame - 1, interval.end_frame)
            blue, green, red = np.mean(colors[span], axis=0).tolist()
            seen.append(_Seen(class_id, interval.person, interval.frames, (blue, green, red), sum(sizes[span])))
    return seen


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    scores = trivial_scores(Path(sys.argv[1]))
    print(f"{scores.intervals} intervals; percent correct, persons held out")
    for name in ("chance", "length", "mean_color", "size"):
        print(f"  {name.replace('_', ' '):12} {getattr(scores, name):5.1f}")
