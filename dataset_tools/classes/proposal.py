"""Proposal of a class file: the best supported triplets under coverage constraints, by integer programming.

The items to cover are those of a class file: its actions, and the subjects and objects of its classes. Every annotated
triplet of them is a candidate c; x_c in {0, 1} selects it, n_c is its number of intervals, and s_k indicates that
action, subject or object k is left out. The w_g intervals of group g match the candidates P_g and no others; they
belong to c, counted by z_gc, if c is the only selected candidate of P_g:

    maximize    sum_c n_c - penalty * sum_k s_k
    subject to  sum_c x_c <= count
                sum_{c with k} x_c + s_k >= 1           for every k of the cover
                n_c <= per_class * x_c
                n_c <= sum_{g with c} z_gc
                z_gc <= w_g * x_c
                z_gc <= w_g * (1 - x_d)                 for every other d of P_g
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dataset_tools.classes.interval_counts import ClassSupport, audit
from dataset_tools.classes.matching import fits
from dataset_tools.classes.triplets import ActionClass, ClassFile, make_class, usual_phrase
from dataset_tools.classes.usable_intervals import why_unusable
from dataset_tools.core.errors import InputError

if TYPE_CHECKING:
    from dataset_tools.corpora.corpus import Corpus, Interval

Item = tuple[str, str]  # ("action", "cut"), ("subject", "carrot"), ("object", "knife")

_TIME_LIMIT_S = 60.0
"""Of the solver; after it, the best set found so far is used."""


@dataclass(frozen=True)
class Proposal:
    """A proposed set of classes.

    Attributes:
        classes: the class file that it was made from, with the proposed classes, the best supported first.
        support: support of each class, in that order.
        uncovered: the actions, subjects and objects that no proposed class has, as full sentences with the reason.
        proven: whether the solver proved optimality; else it reached the time limit.
    """

    classes: ClassFile
    support: tuple[ClassSupport, ...]
    uncovered: tuple[str, ...]
    proven: bool


def propose(
    corpus: Corpus,
    base: ClassFile,
    *,
    count: int = 20,
    per_class: int = 50,
    penalty: float | None = None,
) -> Proposal:
    """Finds the best supported set of classes that covers the actions, subjects and objects of a class file.

    Args:
        corpus: the annotations.
        base: the class file that supplies the words and the actions, subjects and objects to cover; load it with all
            its classes.
        count: maximum number of classes.
        per_class: number of intervals above which a class's support does not increase.
        penalty: cost of leaving out one action, subject or object, in intervals; defaults to ``per_class``, so that a
            poorly supported class that covers something is preferred to a well supported one that does not.

    Raises:
        InputError: no triplet of these words is annotated.
    """
    members = _candidates(corpus, base)
    if not members:
        raise InputError(
            "No interval has an action, a subject and an object of the class file",
            where=corpus.annotations.path,
            expected=f"annotations in the words of {base.path}",
            next_step=f"draft a class file with: {corpus.draft_command}"
            if corpus.draft_command
            else "map its words to the verbs and attributes of the annotation file",
        )
    candidates = sorted(members, key=lambda one: one.id)
    chosen, proven = _solve(
        candidates,
        _groups(candidates, members),
        _cover(base),
        count=count,
        per_class=per_class,
        penalty=float(per_class if penalty is None else penalty),
    )
    proposed = replace(base, classes=tuple(chosen))
    by_id = {row.class_id: row for row in audit(corpus, proposed, per_class=per_class)}
    ranked = tuple(sorted(chosen, key=lambda one: (-by_id[one.id].usable, one.id)))
    support = tuple(by_id[one.id] for one in ranked)
    return Proposal(replace(proposed, classes=ranked), support, _uncovered(base, chosen, members), proven)


def _candidates(corpus: Corpus, base: ClassFile) -> dict[ActionClass, frozenset[int]]:
    """Returns every annotated triplet, with the indices of the usable intervals that match it."""
    members: dict[ActionClass, set[int]] = defaultdict(set)
    subjects = {one.subject for one in base.classes}
    own = {one.id: one for one in base.classes}  # a row of the file may override the role and phrase of its object
    for interval in corpus.annotations.intervals:
        if why_unusable(interval, corpus) is None:
            for made in _triplets(interval, base, subjects):
                one = own.get(made.id, made)
                if fits(interval, one, base):
                    members[one].add(interval.index)
    return {one: frozenset(indices) for one, indices in members.items()}


def _triplets(interval: Interval, base: ClassFile, subjects: set[str]) -> Iterator[ActionClass]:
    """Yields the triplets whose words are annotated for an interval."""
    verbs = interval.verbs | {interval.verb}
    present = [key for key, word in base.things.items() if not interval.things.isdisjoint(word.attributes)]
    for action, word in base.actions.items():
        if verbs.isdisjoint((*word.verbs, *word.also_verbs)):
            continue
        for subject in subjects.intersection(present):
            if _is_only_a_means(base, action, subject):
                continue
            yield make_class(base.actions, base.things, action, subject)
            for thing in base.objects.intersection(present) - {subject}:
                if usual_phrase(word, base.things[thing]):
                    yield make_class(base.actions, base.things, action, subject, thing)


def _is_only_a_means(base: ClassFile, action: str, subject: str) -> bool:
    """Whether a thing can only be the instrument or the place of an action, not its subject.

    Without roles, {peel, orange, knife} could be a knife that is peeled. A thing that is a tool or a container as an
    object is a subject only of actions that treat the object like the subject, such as taking out and washing.
    """
    usual, with_object = base.things[subject].as_object, base.actions[action].with_object
    treated_alike = with_object is not None and with_object.role == "companion"
    return usual is not None and usual.role != "companion" and not treated_alike


def _groups(candidates: list[ActionClass], members: dict[ActionClass, frozenset[int]]) -> Counter[tuple[int, ...]]:
    """Counts the intervals that match exactly these candidates, by the candidates' positions."""
    fitting: dict[int, list[int]] = defaultdict(list)
    for position, one in enumerate(candidates):
        for index in members[one]:
            fitting[index].append(position)
    return Counter(tuple(positions) for positions in fitting.values())


def _cover(base: ClassFile) -> list[Item]:
    """Returns the items to cover."""
    return [
        *(("action", action) for action in base.actions),
        *(("subject", subject) for subject in dict.fromkeys(one.subject for one in base.classes)),
        *(("object", thing) for thing in sorted(base.objects)),
    ]


def _items(one: ActionClass) -> set[Item]:
    """Returns the items that a class covers."""
    return {("action", one.action), ("subject", one.subject)} | ({("object", one.object)} if one.object else set())


def _solve(
    candidates: list[ActionClass],
    groups: Counter[tuple[int, ...]],
    cover: list[Item],
    *,
    count: int,
    per_class: int,
    penalty: float,
) -> tuple[list[ActionClass], bool]:
    """Solves the integer program of the module docstring; its variables are x [C], n [C], s [K], z, in that order."""
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    C, K = len(candidates), len(cover)
    x, n, s = range(C), range(C, 2 * C), range(2 * C, 2 * C + K)
    z = {(g, c): number for number, (g, c) in enumerate(((g, c) for g in groups for c in g), start=2 * C + K)}
    rows = _Rows()
    rows.add({x[c]: 1 for c in range(C)}, most=count)
    for k, item in enumerate(cover):
        rows.add({s[k]: -1} | {x[c]: -1 for c in range(C) if item in _items(candidates[c])}, most=-1)
    for c in range(C):
        rows.add({n[c]: 1, x[c]: -per_class}, most=0)
        rows.add({n[c]: 1} | {z[g, c]: -1 for g in groups if c in g}, most=0)
    for (g, c), number in z.items():
        rows.add({number: 1, x[c]: -groups[g]}, most=0)
        for d in set(g) - {c}:
            rows.add({number: 1, x[d]: groups[g]}, most=groups[g])
    variables = 2 * C + K + len(z)
    costs = np.zeros(variables)
    costs[n], costs[s] = -1, penalty  # milp minimizes
    integral, highest = np.zeros(variables), np.full(variables, np.inf)
    integral[x], highest[x], highest[s] = 1, 1, 1
    solution = milp(
        costs,
        integrality=integral,
        bounds=Bounds(0, highest),
        constraints=LinearConstraint(coo_array(rows.entries, shape=(len(rows.most), variables)).tocsr(), ub=rows.most),
        options={"time_limit": _TIME_LIMIT_S},
    )
    if solution.x is None:
        raise InputError(
            f"No set of classes was found: {solution.message}",
            expected="a solution within the time limit",
            next_step="request fewer classes",
        )
    return [one for one, taken in zip(candidates, solution.x[:C], strict=True) if taken > 0.5], solution.status == 0


class _Rows:
    """Rows of a sparse matrix A and of b in A x <= b."""

    def __init__(self) -> None:
        self.most: list[float] = []
        self._values: list[float] = []
        self._places: tuple[list[int], list[int]] = ([], [])

    @property
    def entries(self) -> tuple[list[float], tuple[list[int], list[int]]]:
        """Nonzero values, and their row and column indices."""
        return self._values, self._places

    def add(self, coefficients: Mapping[int, float], *, most: float) -> None:
        self._values += coefficients.values()
        self._places[0].extend([len(self.most)] * len(coefficients))
        self._places[1].extend(coefficients)
        self.most.append(most)


def _uncovered(
    base: ClassFile, chosen: list[ActionClass], members: dict[ActionClass, frozenset[int]]
) -> tuple[str, ...]:
    """Returns sentences on the items that no selected class covers, with the reason."""
    covered = {item for one in chosen for item in _items(one)}
    sentences = []
    for kind, key in _cover(base):
        if (kind, key) not in covered:
            best = max(
                (one for one in members if (kind, key) in _items(one)), key=lambda c: len(members[c]), default=None
            )
            reason = (
                "no usable interval has it in combination with the rest of a class"
                if best is None
                else f"the best class with it, {best.id}, has {len(members[best])} usable intervals"
            )
            sentences.append(f"The {kind} {key} is left out: {reason}.")
    return tuple(sentences)
