"""Cast of the synthetic corpus: persons, dishes, video names and official lists, as in MPII Cooking 2."""

from __future__ import annotations

from dataclasses import dataclass

from dataset_tools.core.seeds import generator

PERSONS = ("s07", "s08", *(f"s{number}" for number in range(10, 38)))
DISHES = tuple(f"d{number:02d}" for number in range(16, 75))
CAMERA = "cam-002"
FRAME_RATE = 29.4


@dataclass(frozen=True)
class Sequence:
    """A person preparing a dish, in one video."""

    person: str
    dish: str

    @property
    def id(self) -> str:
        """The id in the official lists: ``s07-d72``."""
        return f"{self.person}-{self.dish}"

    @property
    def video(self) -> str:
        """The name of the video, without suffix: ``s07-d72-cam-002``."""
        return f"{self.id}-{CAMERA}"


def sequences(seed: int, count: int) -> tuple[Sequence, ...]:
    """Returns ``count`` distinct sequences, sorted; persons and dishes alternate, so that all are equally frequent."""
    rng = generator(seed, "standin", "sequences")
    persons = rng.permutation(PERSONS)
    dishes = rng.permutation(DISHES)
    # 30 and 59 are coprime: pairs repeat only after 1,770.
    pairs = {(str(persons[i % len(persons)]), str(dishes[i % len(dishes)])) for i in range(count)}
    return tuple(Sequence(person, dish) for person, dish in sorted(pairs))


def split_of_persons(seed: int, persons: list[str]) -> dict[str, str]:
    """Assigns persons to ``train``, ``val``, ``test``: about 60, 10 and 30 percent, at least one in train and test."""
    order = [str(person) for person in generator(seed, "standin", "split").permutation(sorted(persons))]
    tests = max(1, round(0.3 * len(order))) if len(order) > 1 else 0
    vals = round(0.1 * len(order))
    names = ["test"] * tests + ["val"] * vals
    return dict(zip(order, names + ["train"] * (len(order) - len(names)), strict=True))
