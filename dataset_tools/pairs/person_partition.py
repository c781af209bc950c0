"""Group-disjoint partition: the persons and voices of the test side of a split by person.

A unit is on one side as a whole. Each person is a unit, and so is each voice that describes clips of several persons,
or only classes. A voice that describes the clips of one person belongs to that person's unit. Persons who share
content, and voices that share a recording, are one unit. Clips and utterances are counted by class; an utterance is
lost if its voice and its clip are on different sides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.pairs.same_content import Content, group_by_mark

MOST_UNITS = 16  # up to this number, all partitions are evaluated
DRAWS = 4000  # number of random partitions evaluated for more units
_ENTRIES = 4_000_000  # of an array at a time, at most: 32 MB

_Unit = tuple[str, str]  # kind, and first of its names
_Bools = NDArray[np.bool_]
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Partition:
    """Units of all persons and voices, and the units of the test side.

    Attributes:
        persons, voices: unit by name; a voice that belongs to a person has that person's unit.
        test: the units of the test side.
    """

    persons: Mapping[str, _Unit]
    voices: Mapping[str, _Unit]
    test: frozenset[_Unit]


@dataclass(frozen=True)
class _Table:
    """Counts of items by class and pair of units (of the clip and of the voice), for K pairs of units.

    Attributes:
        first, second: [K] indices of units, equal if there is only one unit. counts: [K, classes].
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    counts: _Floats

    def tested_and_trained(self, draws: _Bools) -> tuple[_Floats, _Floats]:
        """Items per class with both units on the test side, and on the training side: [draws, classes] each."""
        first, second = draws[:, self.first], draws[:, self.second]
        return (first & second) @ self.counts, ~(first | second) @ self.counts


@dataclass(frozen=True)
class _NearCounts:
    """Item counts on one side of a partition, and their changes if some of the U units change sides.

    Attributes:
        here: [classes] current counts. by_unit: [U, classes] change if the unit moves.
        pairs: sorted keys of pairs of units with common items. together: [pairs, classes] change if both move, in
            addition to the changes of each.
    """

    here: _Floats
    by_unit: _Floats
    pairs: NDArray[np.int64]
    together: _Floats

    @classmethod
    def of(cls, side: _Bools, table: _Table) -> _NearCounts:
        """Computes the counts for a side: [U], whether each unit is on it."""
        first, second = side[table.first], side[table.second]
        alone, both = table.first == table.second, first & second
        by_first = np.where(alone, ~first, ~first & second) * 1.0 - both
        by_second = np.where(alone, 0.0, (first & ~second) * 1.0 - both)
        by_unit = np.zeros((len(side), table.counts.shape[1]))
        np.add.at(by_unit, table.first, by_first[:, None] * table.counts)
        np.add.at(by_unit, table.second, by_second[:, None] * table.counts)
        keys = _keys(np.stack([table.first, table.second], axis=1)[~alone], len(side))
        pairs, places = np.unique(keys, return_inverse=True)
        more = ((~first & ~second) * 1.0 - both - by_first - by_second)[:, None] * table.counts
        together = np.zeros((len(pairs), table.counts.shape[1]))
        np.add.at(together, places, more[~alone])
        return cls(both @ table.counts, by_unit, pairs, together)

    def after(self, moves: NDArray[np.int64]) -> _Floats:
        """Counts [M, classes] after each of the moves [M, 2], as in `_moved`."""
        counts = self.here + self.by_unit[moves[:, 0]]
        counts += self.by_unit[moves[:, 1]] * (moves[:, 0] != moves[:, 1])[:, None]
        if len(self.pairs):
            keys = _keys(moves, len(self.by_unit))
            places = np.minimum(np.searchsorted(self.pairs, keys), len(self.pairs) - 1)
            found = self.pairs[places] == keys
            counts[found] += self.together[places[found]]
        return counts


def partition_people(
    clips: Sequence[ClipRow],
    utterances: Sequence[UtteranceRow],
    content: Content,
    *,
    test_share: float,
    random: np.random.Generator,
) -> Partition:
    """Finds the partition closest to ``test_share`` with clips and utterances of every class on both sides.

    Minimizes, summed over the classes, the distances of the test shares of clips and utterances from ``test_share``
    plus the share of lost utterances. Up to `MOST_UNITS` units, the search is exhaustive; beyond, the best of `DRAWS`
    random partitions is taken, and improved by hill climbing if a side lacks clips or utterances of a class.

    Raises:
        InputError: no partition leaves every class on both sides.
    """
    persons, voices = _units(clips, utterances, content)
    units = sorted({*persons.values(), *voices.values()})
    classes = sorted({clip.class_id for clip in clips})
    of_clip = {clip.id: persons[clip.person] for clip in clips}
    spoken = [row for row in utterances if row.clip is None or row.clip in of_clip]
    tables = [
        _table(units, classes, ((of_clip[row.id], of_clip[row.id], row.class_id) for row in clips)),
        _table(units, classes, ((_unit_of(row, of_clip, voices), voices[row.voice], row.class_id) for row in spoken)),
    ]
    if len(units) <= MOST_UNITS:
        draws = np.arange(2 ** len(units))[:, None] >> np.arange(len(units)) & 1 == 1
        draws = draws[random.permutation(len(draws))]  # the seed selects among equally good partitions
    else:
        draws = random.random((DRAWS, len(units))) < test_share
    empty, distance = _rated(draws, tables, test_share)
    best = int(np.lexsort((distance, empty))[0])
    test, left = draws[best], int(empty[best])
    if left and len(units) > MOST_UNITS:
        test, left = _climbed(test, tables, test_share)
    if left:
        raise _impossible(clips, spoken, persons, voices)
    return Partition(persons, voices, frozenset(unit for unit, drawn in zip(units, test, strict=True) if drawn))


def _units(
    clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], content: Content
) -> tuple[dict[str, _Unit], dict[str, _Unit]]:
    """Units of all persons and of all voices."""
    shown: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        shown[clip.person].add(content.clips[clip.id])
    persons: dict[str, _Unit] = {name: ("person", first) for name, first in group_by_mark(shown).items()}
    recorded: dict[str, set[str]] = defaultdict(set)
    for row in utterances:
        recorded[row.voice] |= {content.utterances[row.id]} if row.source == "recorded" else set()
    speakers = group_by_mark(recorded)
    of_clip = {clip.id: persons[clip.person] for clip in clips}
    described: dict[str, set[_Unit | None]] = defaultdict(set)
    for row in utterances:
        if row.clip is None or row.clip in of_clip:
            described[speakers[row.voice]].add(of_clip[row.clip] if row.clip is not None else None)
    voices: dict[str, _Unit] = {}
    for voice, speaker in speakers.items():
        one, *more = described[speaker] or {None}
        voices[voice] = ("voice", speaker) if more or one is None else one
    return persons, voices


def _unit_of(row: UtteranceRow, of_clip: Mapping[str, _Unit], voices: Mapping[str, _Unit]) -> _Unit:
    return voices[row.voice] if row.clip is None else of_clip[row.clip]


def _table(units: Sequence[_Unit], classes: Sequence[str], items: Iterable[tuple[_Unit, _Unit, str]]) -> _Table:
    position = {unit: number for number, unit in enumerate(units)}
    column = {class_id: number for number, class_id in enumerate(classes)}
    found = Counter((position[one], position[two], column[name]) for one, two, name in items if name in column)
    row_of = {pair: number for number, pair in enumerate(sorted({(one, two) for one, two, _ in found}))}
    counts = np.zeros((len(row_of), len(classes)))
    for (one, two, class_column), number in found.items():
        counts[row_of[one, two], class_column] = number
    pairs = np.array(list(row_of), dtype=np.int64).reshape(-1, 2)
    return _Table(pairs[:, 0], pairs[:, 1], counts)


def _rated(draws: _Bools, tables: Sequence[_Table], test_share: float) -> tuple[NDArray[np.int64], _Floats]:
    """Number of empty class sides [M], and distance [M], of each of the partitions [M, units]."""
    width = max(len(table.first) for table in tables) or 1
    empty, distance = [], []
    for part in np.array_split(draws, -(-len(draws) * width // _ENTRIES)):
        rated = _rated_counts([table.tested_and_trained(part) for table in tables], tables, test_share)
        empty.append(rated[0])
        distance.append(rated[1])
    return np.concatenate(empty), np.concatenate(distance)


def _rated_counts(
    counted: Sequence[tuple[_Floats, _Floats]], tables: Sequence[_Table], test_share: float
) -> tuple[NDArray[np.int64], _Floats]:
    """`_rated` from the counts [M, classes] of test and training items, by table."""
    empty = np.zeros(len(counted[0][0]), dtype=np.int64)
    distance = np.zeros(len(empty))
    for table, sides in zip(tables, counted, strict=True):
        there = table.counts.sum(axis=0)
        tested, trained = (counts[:, there > 0] for counts in sides)
        total = there[there > 0]
        lost = (total - tested - trained) / total
        empty += ((tested == 0).sum(axis=1) + (trained == 0).sum(axis=1)).astype(np.int64)
        distance += (np.abs(tested / total - test_share) + lost).sum(axis=1)
    return empty, distance


def _climbed(start: _Bools, tables: Sequence[_Table], test_share: float) -> tuple[_Bools, int]:
    """Hill climbing: moves one or two units at a time, as long as fewer sides are empty or the distance decreases."""
    current, rating = start, tuple(float(rated[0]) for rated in _rated(start[None], tables, test_share))
    alone = np.arange(len(start))
    moves = np.concatenate([np.stack([alone, alone], axis=1), np.stack(np.triu_indices(len(start), 1), axis=1)])
    while True:
        best_move, best_rating = -1, rating
        near = [(_NearCounts.of(current, table), _NearCounts.of(~current, table)) for table in tables]
        size = max(1, _ENTRIES // len(start))
        for first in range(0, len(moves), size):  # in chunks: memory would be quadratic in the units
            part = moves[first : first + size]
            counted = [(tested.after(part), trained.after(part)) for tested, trained in near]
            empty, distance = _rated_counts(counted, tables, test_share)
            best = int(np.lexsort((distance, empty))[0])
            if (float(empty[best]), float(distance[best])) < best_rating:
                best_move, best_rating = first + best, (float(empty[best]), float(distance[best]))
        if best_move < 0:
            return current, int(rating[0])
        current, rating = _moved(current, moves[best_move : best_move + 1])[0], best_rating


def _moved(current: _Bools, moves: NDArray[np.int64]) -> _Bools:
    """Partitions [K, units] after each of the moves [K, 2] of two units, or of one unit that is given twice."""
    near = np.repeat(current[None], len(moves), axis=0)
    rows = np.arange(len(moves))
    near[rows, moves[:, 0]] ^= True
    near[rows, moves[:, 1]] ^= moves[:, 0] != moves[:, 1]
    return near


def _keys(pairs: NDArray[np.int64], units: int) -> NDArray[np.int64]:
    """Keys [K] of the pairs [K, 2] of units, independent of the order within a pair."""
    keys: NDArray[np.int64] = pairs.min(axis=1) * units + pairs.max(axis=1)
    return keys


def _impossible(
    clips: Sequence[ClipRow],
    utterances: Sequence[UtteranceRow],
    persons: Mapping[str, _Unit],
    voices: Mapping[str, _Unit],
) -> InputError:
    shown: dict[str, set[_Unit]] = defaultdict(set)
    heard: dict[str, set[_Unit]] = defaultdict(set)
    for clip in clips:
        shown[clip.class_id].add(persons[clip.person])
    for row in utterances:
        heard[row.class_id].add(voices[row.voice])
    seen_once, heard_once = (
        ", ".join(sorted(name for name, units in of_class.items() if name in shown and len(units) < 2)) or "none"
        for of_class in (shown, heard)
    )
    return InputError(
        f"The data set cannot be split by person: no partition of {count_of(len({*persons.values()}), 'person')} and"
        f" {count_of(len({*voices.values()}), 'voice')} leaves clips and utterances of every class on both sides",
        where=f"classes with one person only: {seen_once}; with one voice only: {heard_once}",
        expected="at least two persons and two voices for every class, with the voice of a recording on the side of its"
        " clip (persons, or voices, with the same content count once)",
        next_step="use --split items, build more clips with --per-class, or record more speakers",
    )
