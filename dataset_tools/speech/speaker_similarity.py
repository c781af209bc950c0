"""Speaker similarity: differences between voices, and names that may be one person (Resemblyzer d-vectors).

Of the package resemblyzer only the weights are used (a GE2E network of three LSTM layers): the package itself needs
librosa and webrtcvad, and a module that scipy 2 drops. The mel spectrum is as librosa computes it, by torchaudio's
filters; silence is not cut out.

A voice's takes go, in random order, into groups of `TAKES`; a group's embedding is the mean over its takes. What is
compared is always groups of so many takes, so that a voice with many recordings is no more alike than one with few.
Measured (docs/recording.md) on single words; another room or microphone makes one person's takes less alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import InputError, SampleError, ToolkitError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import UtteranceRow, read_rows

TAKES = 5
MOST_GROUPS = 8
DEVIATIONS, LEAST_DEVIATION = 3.0, 0.015
"""A pair is named from the voices' mean similarity with themselves, less so many standard deviations, each at least
what was measured on single words (of few voices it says little)."""

WEIGHTS_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
RATE_HZ, WINDOW, HOP, MELS = 16_000, 400, 160, 40
PART, STEP = 160, 77
"""Frames of 10 ms that go through the network at once, and from one such part to the next."""
_QUIETEST_DBFS = -30.0

Embedding = NDArray[np.float32]


@dataclass(frozen=True)
class VoiceComparison:
    """How alike voices are, as cosines of embeddings; 1 is the same.

    Attributes:
        within: of each voice that was compared, the mean similarity of its own takes.
        between: of each pair of voices, the mean similarity of their takes.
        limit: from which a pair is `alike`.
        skipped: voices that were not compared, and why. failures: utterances that cannot be read.
    """

    within: Mapping[str, float]
    between: Mapping[tuple[str, str], float]
    limit: float
    skipped: Mapping[str, str]
    failures: Mapping[str, ToolkitError]

    @property
    def alike(self) -> list[tuple[str, str, float]]:
        """Pairs as alike as one speaker's own takes, the most alike first."""
        found = [(*pair, value) for pair, value in self.between.items() if value >= self.limit]
        return sorted(found, key=lambda pair: -pair[2])

    def as_dict(self) -> dict[str, Any]:
        return {
            "voices": len(self.within),
            "within": mean(self.within.values()),
            "between": mean(self.between.values()),
            "limit": self.limit,
            "alike": self.alike,
            "skipped": dict(self.skipped),
            "failures": {name: error.as_dict() for name, error in self.failures.items()},
        }


def compare_voices(workspace: Workspace, *, synthesized: bool = False, progress: Progress = silent) -> VoiceComparison:
    """Compares the voices of a data set.

    Args:
        workspace: where it is.
        synthesized: synthesized voices, too.
        progress: is told how far it is.

    Raises:
        InputError: resemblyzer is not installed, or fewer than two voices have `TAKES` times two utterances.
    """
    embed = load_embedder()
    rows = read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)
    originals = (row for row in rows if row.augmented is UNSET)  # a copy is no further take
    chosen = [row for row in originals if synthesized or row.source == "recorded"]
    takes: dict[str, list[Embedding]] = defaultdict(list)
    failures: dict[str, ToolkitError] = {}
    for done, row in enumerate(chosen, start=1):
        try:
            takes[row.voice].append(embed(workspace.root / row.path))
        except SampleError as error:
            failures[row.id] = error
        progress("voices", done, len(chosen), row.id)
    few = {voice: f"it has {len(each)} utterances" for voice, each in takes.items() if len(each) < 2 * TAKES}
    enough = {voice: np.stack(each) for voice, each in sorted(takes.items()) if voice not in few}
    if len(enough) < 2:
        raise InputError(
            f"{len(enough)} voices have {2 * TAKES} utterances or more",
            where=workspace.manifests / "utterances.jsonl",
            expected="two such voices" + ("" if synthesized else " among the recordings"),
            next_step="record more takes" + ("" if synthesized else ", or compare synthesized voices: --synthesized"),
        )
    within, between = similarities(enough)
    deviation = max(pstdev(within.values()), LEAST_DEVIATION)
    return VoiceComparison(within, between, mean(within.values()) - DEVIATIONS * deviation, few, failures)


def similarities(takes: Mapping[str, Embedding]) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Mean cosines between groups of takes: of each voice with itself, and of each pair of voices.

    Args:
        takes: [n, D] of each voice, n at least twice `TAKES`.
    """
    groups = {voice: _groups(each) for voice, each in takes.items()}
    within = {voice: float((each @ each.T)[np.triu_indices(len(each), 1)].mean()) for voice, each in groups.items()}
    between = {
        (one, other): float((groups[one] @ groups[other].T).mean()) for one, other in combinations(sorted(groups), 2)
    }
    return within, between


def _groups(takes: Embedding) -> Embedding:
    """[n, D] -> [groups, D], each of length 1."""
    order = np.random.default_rng(0).permutation(len(takes))
    count = min(MOST_GROUPS, len(takes) // TAKES)
    sums = takes[order[: count * TAKES]].reshape(count, TAKES, -1).sum(axis=1)
    found: Embedding = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return found


def load_embedder() -> Callable[[Path], Embedding]:
    """What gives a sound file's embedding, [256] of length 1.

    Raises:
        InputError: resemblyzer is not installed, or brings other weights.
    """
    import torch
    from torch import nn

    from dataset_tools.core import torch_compat

    state = torch.load(_weights(), map_location="cpu", weights_only=True)["model_state"]
    lstm, linear = nn.LSTM(MELS, 256, 3, batch_first=True), nn.Linear(256, 256)
    for name, layer in (("lstm.", lstm), ("linear.", linear)):
        layer.load_state_dict({key.removeprefix(name): state[key] for key in state if key.startswith(name)})
    functional = torch_compat.torchaudio().functional
    bank = functional.melscale_fbanks(WINDOW // 2 + 1, 0.0, RATE_HZ / 2, MELS, RATE_HZ, "slaney", "slaney")
    window = torch.hann_window(WINDOW)

    @torch.inference_mode()
    def embed(path: Path) -> Embedding:
        sound = decode(path)
        samples = torch.from_numpy(sound.mono().astype(np.float32))
        if sound.sample_rate_hz != RATE_HZ:
            samples = functional.resample(samples, sound.sample_rate_hz, RATE_HZ)
        level_dbfs = 20 * float(samples.square().mean().sqrt().clamp(min=1e-9).log10())
        if level_dbfs < _QUIETEST_DBFS:  # as Resemblyzer does
            samples = samples * 10 ** ((_QUIETEST_DBFS - level_dbfs) / 20)
        starts = part_starts(len(samples))
        padded = nn.functional.pad(samples, (0, max(0, (starts[-1] + PART) * HOP - len(samples))))
        power = torch.stft(padded, WINDOW, HOP, window=window, pad_mode="constant", return_complex=True).abs() ** 2
        mel = power.T @ bank
        _, (hidden, _) = lstm(torch.stack([mel[start : start + PART] for start in starts]))
        parts = nn.functional.normalize(torch.relu(linear(hidden[-1])), dim=1)
        found: Embedding = nn.functional.normalize(parts.mean(dim=0), dim=0).numpy()
        return found

    return embed


def part_starts(samples: int) -> list[int]:
    """First frames of the parts that an utterance is read in, as Resemblyzer places them.

    The last part is left out where less than three quarters of it are in the utterance, unless it is the only one.
    """
    frames = -(-(samples + 1) // HOP)
    starts = list(range(0, max(1, frames - PART + STEP + 1), STEP))
    covered = (samples - starts[-1] * HOP) / (PART * HOP)
    return starts[:-1] if covered < 0.75 and len(starts) > 1 else starts


def _weights() -> Path:
    found = find_spec("resemblyzer")
    path = Path((found.submodule_search_locations or [""])[0], "pretrained.pt") if found else None
    if path is None or not path.is_file() or sha256_of(path) != WEIGHTS_SHA256:
        raise InputError(
            "The package resemblyzer is not installed" if path is None else "resemblyzer brings other weights",
            where=path,
            expected="version 0.1.4, which has its weights in it",
            next_step="pip install --no-deps resemblyzer==0.1.4 (what it depends on is not needed)",
        )
    return path
