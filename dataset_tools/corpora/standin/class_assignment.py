"""Distribution of class intervals over the synthetic videos."""

from __future__ import annotations

from dataset_tools.classes.triplets import ActionClass, ClassFile
from dataset_tools.core.seeds import generator
from dataset_tools.corpora.standin.difficulty import Difficulty
from dataset_tools.corpora.standin.things import SUBJECTS

RARE_CLASSES = 3  # the last classes of the file get too few intervals, the first ones more than enough
RARE_SHARE = 0.7


def interval_counts(classes: ClassFile, per_class: int) -> dict[str, int]:
    """Returns the number of intervals of each class: too few for the last classes, more than enough for the first."""
    counts = dict.fromkeys((one.id for one in classes.classes), per_class)
    rare = [one.id for one in classes.classes[-RARE_CLASSES:]] if len(classes.classes) > 2 * RARE_CLASSES else []
    missing = 0
    for name in rare:
        counts[name] = max(1, round(RARE_SHARE * per_class))
        missing += per_class - counts[name]
    for number in range(missing):
        counts[classes.classes[number % (2 * RARE_CLASSES)].id] += 1
    return counts


def needs(one: ActionClass) -> set[str]:
    """Returns the things that a class requires."""
    return {one.subject} | ({one.object} if one.object else set())


def assign_classes(
    classes: ClassFile, level: Difficulty, videos: int, seed: int, per_class: int
) -> list[list[ActionClass]]:
    """Returns the classes shown in each video, with repeats: equally many, within the level's number of subjects."""
    rng = generator(seed, "standin", "deal")
    counts = interval_counts(classes, per_class)
    intervals = [one for one in classes.classes for _ in range(counts[one.id])]
    assigned: list[list[ActionClass]] = [[] for _ in range(videos)]
    shown: list[set[str]] = [set() for _ in range(videos)]
    tie = rng.random(videos)
    for place in rng.permutation(len(intervals)):
        one = intervals[int(place)]

        def cost(video: int, one: ActionClass = one) -> tuple[bool, int, float]:
            crowded = len((shown[video] | needs(one)) & SUBJECTS.keys()) > level.subjects
            return crowded, len(assigned[video]), float(tie[video])

        video = min(range(videos), key=cost)
        assigned[video].append(one)
        shown[video] |= needs(one)
    return _balanced(assigned)


def _balanced(assigned: list[list[ActionClass]]) -> list[list[ActionClass]]:
    """Moves classes from the longest list to shorter ones that have them too, while lengths differ by two or more."""
    while True:
        assigned.sort(key=len)
        for shorter in assigned:
            longest = assigned[-1]
            known = {one.id for one in shorter}
            movable = [one for one in longest if one.id in known]
            if len(longest) - len(shorter) > 1 and movable:
                longest.remove(movable[-1])
                shorter.append(movable[-1])
                break
        else:
            return assigned
