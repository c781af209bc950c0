"""Oracle baseline of the synthetic corpus: class accuracy from true positions, of a single frame and of the motion.

    python tools/perfect_eyes.py standard

The input is, for each hand, its position, rotation, grip and tool, and its proximity to each subject, at 16 moments of
a clip, or 16 times at its middle moment. The network and its training are the same. The accuracy is approximately an
upper bound for any system on the rendered frames; a corpus requires motion if the second is far below the first.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import ToolkitError
from dataset_tools.corpora.standin.agenda import Agenda, plan_agendas
from dataset_tools.corpora.standin.cast import FRAME_RATE, sequences
from dataset_tools.corpora.standin.difficulty import Difficulty, difficulty_named
from dataset_tools.corpora.standin.director import write_script
from dataset_tools.corpora.standin.person import person_named
from dataset_tools.corpora.standin.render import thing_places
from dataset_tools.corpora.standin.script import HANDS, Script
from dataset_tools.corpora.standin.things import SUBJECTS, TOOLS
from dataset_tools.corpora.standin.tracks import HandTrack, play

MOMENTS, MOMENTS_PER_S = 16, 8.0
TRAINING_SEEDS, TEST_SEED = (1, 2, 3, 4, 5, 6), 0
_SUBJECTS, _TOOLS = sorted(SUBJECTS), sorted(TOOLS)
_NEAR_PX = 22.0


@dataclass(frozen=True)
class EyesScores:
    """Percent of test intervals that are classified correctly, from 16 moments and from the middle one."""

    intervals: int
    motion: float
    one_frame: float


@dataclass(frozen=True)
class _Samples:
    motion: NDArray[np.float32]  # [N, MOMENTS, features of both hands]
    one_frame: NDArray[np.float32]  # the same shape
    labels: NDArray[np.int64]  # [N]


def eyes_scores(level: Difficulty, *, per_class: int = 50, epochs: int = 14) -> EyesScores:
    """Trains on `TRAINING_SEEDS`, tests on `TEST_SEED`."""
    parts = [_samples(seed, level, per_class) for seed in TRAINING_SEEDS]
    test = _samples(TEST_SEED, level, per_class)
    labels = np.concatenate([part.labels for part in parts])

    def score(name: str) -> float:
        train = np.concatenate([getattr(part, name) for part in parts])
        found = _train(train, labels, epochs)(torch.from_numpy(getattr(test, name))).argmax(1).numpy()
        return 100 * float((found == test.labels).mean())

    return EyesScores(len(test.labels), score("motion"), score("one_frame"))


def _samples(seed: int, level: Difficulty, per_class: int) -> _Samples:
    classes = load_classes()
    number = {one.id: label for label, one in enumerate(classes.classes)}
    videos = max(4, round(per_class * 60 / 50))
    motion, one_frame, labels = [], [], []
    for agenda in plan_agendas(classes, level, sequences(seed, videos), seed=seed, per_class=per_class):
        script, tracks = _played(agenda, level, seed)
        for interval in script.intervals:
            if interval.item.class_id is not None:
                middle = (interval.start + interval.end) // 2
                motion.append([_look(script, tracks, frame) for frame in _moments(interval.start, interval.end)])
                one_frame.append([_look(script, tracks, middle)] * MOMENTS)
                labels.append(number[interval.item.class_id])
    return _Samples(np.array(motion, np.float32), np.array(one_frame, np.float32), np.array(labels))


def _played(agenda: Agenda, level: Difficulty, seed: int) -> tuple[Script, dict[str, HandTrack]]:
    person = person_named(agenda.sequence.person, seed, level)
    script = write_script(agenda, person, level, seed)
    return script, {str(side): track for side, track in play(script, level, seed, agenda.sequence.id).items()}


def _moments(start: int, end: int) -> list[int]:
    """Frame numbers at 8 per second around the middle; a short interval is repeated from its start."""
    step = FRAME_RATE / MOMENTS_PER_S
    first = start + max(0.0, (end - start - MOMENTS * step) / 2)
    count = int(np.clip((end - start) / step, 1, MOMENTS))
    return [int(first + (moment % count) * step) for moment in range(MOMENTS)]


def _look(script: Script, tracks: dict[str, HandTrack], frame: int) -> list[float]:
    """Features of both hands in one frame."""
    seen: list[float] = []
    for side in HANDS:
        track = tracks[side]
        place = track.place[frame]
        near = dict.fromkeys(_SUBJECTS, 0.0)
        for number, thing in enumerate(script.things):
            if thing.kind in near:
                carried = track.thing[frame] == number
                lies = track.thing_place[frame] if carried else np.array(_lies(script, number, frame))
                near[thing.kind] = float(np.exp(-(float(np.hypot(*(lies - place))) ** 2) / _NEAR_PX**2))
        tool = script.stays[side][int(track.stay[frame])].tool
        seen += [*(place / 100 - 1.3), track.turn_deg[frame] / 60, track.arm_deg[frame] / 40]
        seen += [5 * (track.grip[frame] - 1), *(float(tool == kind) for kind in _TOOLS), *near.values()]
    return seen


def _lies(script: Script, number: int, frame: int) -> tuple[float, float]:
    return next(place for start, place in reversed(thing_places(script)[number]) if start <= frame)


class _Eyes(nn.Module):
    """Encodes both hands with shared weights; classifies the sum and the maximum of the two encodings."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.hand = nn.Sequential(
            nn.Conv1d(features, 96, 5, padding=2), nn.ReLU(),
            nn.Conv1d(96, 128, 5, padding=2), nn.ReLU(),
            nn.Conv1d(128, 128, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, classes))

    def forward(self, seen: Tensor) -> Tensor:
        """[B, MOMENTS, 2 · D] to [B, classes]."""
        left, right = (self._look(hand) for hand in seen.chunk(2, dim=2))
        return torch.as_tensor(self.head(torch.cat([left + right, torch.maximum(left, right)], dim=1)))

    def _look(self, hand: Tensor) -> Tensor:
        change = functional.pad(4 * hand.diff(dim=1), (0, 0, 1, 0))
        found = self.hand(torch.cat([hand, change], dim=2).transpose(1, 2))
        return torch.cat([found.mean(dim=2), found.amax(dim=2)], dim=1)


def _train(samples: NDArray[np.float32], labels: NDArray[np.int64], epochs: int, batch: int = 64) -> nn.Module:
    torch.manual_seed(0)
    inputs, targets = torch.from_numpy(samples), torch.from_numpy(labels)
    net = _Eyes(inputs.shape[2], int(targets.max()) + 1)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    steps = epochs * (len(inputs) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    for _ in range(epochs):
        order = torch.randperm(len(inputs))
        for start in range(0, len(inputs) - batch + 1, batch):
            chosen = order[start : start + batch]
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(inputs[chosen]), targets[chosen], label_smoothing=0.05)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return net.eval()


if __name__ == "__main__":
    if "--help" in sys.argv:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    try:
        levels = [difficulty_named(name) for name in sys.argv[1:] or ["standard"]]
    except ToolkitError as error:
        sys.exit(str(error))
    for level in levels:
        scores = eyes_scores(level)
        found = f"16 moments {scores.motion:5.1f}   middle frame {scores.one_frame:5.1f}   of {scores.intervals}"
        print(f"{level.name:9} {found}")
