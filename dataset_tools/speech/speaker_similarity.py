"""Speaker similarity by d-vectors (Resemblyzer): similarity of voices, and pairs of voices that may be one person.

Only the weights of the package resemblyzer are used (a GE2E network of three LSTM layers): the package itself depends
on librosa, webrtcvad, and a module that scipy 2 drops. The mel spectrogram is the same as librosa's, computed with
torchaudio's filter bank; silence is not removed.

The takes of a voice are split, in random order, into groups of `TAKES`; the embedding of a group is the mean over its
takes. Only groups of this fixed size are compared, so that the similarity does not depend on the number of recordings.
Measured on single words (docs/recording.md); a different room or microphone lowers the similarity of a speaker's takes.
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
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError, SampleError, ToolkitError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import UtteranceRow, read_rows

TAKES = 5
MOST_GROUPS = 8
DEVIATIONS, LEAST_DEVIATION = 3.0, 0.015
"""Pairs are listed if their similarity is at least the mean within-voice similarity minus `DEVIATIONS` standard
deviations. The standard deviation is at least the value measured on single words: its estimate from few voices is
unreliable."""

WEIGHTS_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
RATE_HZ, WINDOW, HOP, MELS = 16_000, 400, 160, 40
PART, STEP = 160, 77
"""Window length and hop length of the network input, in frames of 10 ms."""
_QUIETEST_DBFS = -30.0

Embedding = NDArray[np.float32]


@dataclass(frozen=True)
class VoiceComparison:
    """Cosine similarities of voices; 1 for identical embeddings.

    Attributes:
        within: mean similarity of the takes of each compared voice.
        between: mean similarity of the takes of each pair of voices.
        limit: lowest similarity of a pair in `alike`.
        skipped: voices that were not compared, with the reason. failures: utterances that cannot be read.
    """

    within: Mapping[str, float]
    between: Mapping[tuple[str, str], float]
    limit: float
    skipped: Mapping[str, str]
    failures: Mapping[str, ToolkitError]

    @property
    def alike(self) -> list[tuple[str, str, float]]:
        """Pairs that are as similar as takes of one speaker, most similar first."""
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
    """Compares the recorded voices of a data set, or, with ``synthesized``, all voices.

    Raises:
        InputError: resemblyzer is not installed, or fewer than two voices have 2 × `TAKES` utterances.
    """
    embed = load_embedder()
    rows = read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)
    originals = (row for row in rows if row.augmented is UNSET)  # an augmented copy is not another take
    chosen = [row for row in originals if synthesized or row.source == "recorded"]
    takes: dict[str, list[Embedding]] = defaultdict(list)
    failures: dict[str, ToolkitError] = {}
    for done, row in enumerate(chosen, start=1):
        try:
            takes[row.voice].append(embed(workspace.root / row.path))
        except SampleError as error:
            failures[row.id] = error
        progress("voices", done, len(chosen), row.id)
    counts = {voice: len(each) for voice, each in takes.items()}
    few = {voice: f"it has {count_of(count, 'utterance')}" for voice, count in counts.items() if count < 2 * TAKES}
    enough = {voice: np.stack(each) for voice, each in sorted(takes.items()) if voice not in few}
    if len(enough) < 2:
        raise InputError(
            f"{count_of(len(enough), 'voice has', 'voices have')} at least {2 * TAKES} utterances",
            where=workspace.manifests / "utterances.jsonl",
            expected="two such voices" + ("" if synthesized else " among the recordings"),
            next_step="record more takes" + ("" if synthesized else ", or compare synthesized voices: --synthesized"),
        )
    within, between = similarities(enough)
    deviation = max(pstdev(within.values()), LEAST_DEVIATION)
    return VoiceComparison(within, between, mean(within.values()) - DEVIATIONS * deviation, few, failures)


def similarities(takes: Mapping[str, Embedding]) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Mean cosine similarities between groups of takes, within each voice and between each pair of voices.

    Args:
        takes: embeddings [n, D] of each voice, n ≥ 2 × `TAKES`.
    """
    groups = {voice: _groups(each) for voice, each in takes.items()}
    within = {voice: float((each @ each.T)[np.triu_indices(len(each), 1)].mean()) for voice, each in groups.items()}
    between = {
        (one, other): float((groups[one] @ groups[other].T).mean()) for one, other in combinations(sorted(groups), 2)
    }
    return within, between


def _groups(takes: Embedding) -> Embedding:
    """Group embeddings: [n, D] -> [groups, D], each of norm 1."""
    order = np.random.default_rng(0).permutation(len(takes))
    count = min(MOST_GROUPS, len(takes) // TAKES)
    sums = takes[order[: count * TAKES]].reshape(count, TAKES, -1).sum(axis=1)
    found: Embedding = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return found


def load_embedder() -> Callable[[Path], Embedding]:
    """Returns a function that computes the embedding of an audio file, [256] of norm 1.

    Raises:
        InputError: resemblyzer is not installed, or has other weights.
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
        if level_dbfs < _QUIETEST_DBFS:  # as in Resemblyzer
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
    """First frames of the windows of an utterance, as in Resemblyzer.

    The last window is dropped if less than three quarters of it are within the utterance, unless it is the only one.
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
            "The package resemblyzer is not installed" if path is None else "The package resemblyzer has other weights",
            where=path,
            expected="version 0.1.4, which includes its weights",
            next_step="pip install --no-deps resemblyzer==0.1.4 (its dependencies are not needed)",
        )
    return path
