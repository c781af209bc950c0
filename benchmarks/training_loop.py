"""Benchmark of the trainer: pairs per second, against a plain batched DataLoader loop of the same model.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/training_loop.py [--preset demo|paper] [--device auto|cpu|cuda]

The plain loop is a straightforward implementation: a Dataset of pairs, a DataLoader that pads batches, every utterance
of every pair encoded, the loss read after each step. The trainer keeps the items on the device, encodes each utterance
of a batch once, groups utterances by length and never waits for the device. Model, loss, augmentation, optimizer and
pairs are the same. Features are synthetic: 20 classes of 35 clips and 35 utterances of one to three seconds.

On a CPU with other load, wall time is unreliable, so the ratio of CPU times is printed as well. (fmn sets
OMP_WAIT_POLICY itself.) On a GPU, bf16 is compared with float32. The duration of the paper's whole schedule, 500 epochs
of 24,500 pairs, is extrapolated from the measured epochs.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fmn.cli.options import settings_of
from fmn.config import Config, preset, with_values
from fmn.data.batches import Batch, ItemTensors
from fmn.data.items import TrainValSplit
from fmn.data.loading import find_device
from fmn.data.sequences import Sequences
from fmn.data.spec_augment import augmented
from fmn.optimizers import Adam
from fmn.systems import find_system
from fmn.training.trainer import TrainingLoop

CLASSES, PER_CLASS = 20, 35
PAPER_PAIRS, PAPER_EPOCHS = 24_500, 500


def made_up(config: Config, device: torch.device) -> tuple[ItemTensors, TrainValSplit, list[Any], list[Any]]:
    random = np.random.default_rng(0)
    count = CLASSES * PER_CLASS
    classes = np.arange(count) % CLASSES
    video = [random.normal(size=config.video.dim).astype(np.float32) for _ in range(count)]
    lengths = random.integers(100, 300, size=count)
    audio = [random.normal(size=(length, config.audio.dim)).astype(np.float32) for length in lengths]
    data = ItemTensors(video, audio, classes, classes, device, config.audio.band)
    pairs = np.array([(i, j) for i in range(count) for j in range(count) if classes[i] == classes[j]])
    nothing = np.empty(0, dtype=np.int64)
    return data, TrainValSplit(pairs, np.arange(count), np.arange(count), nothing, nothing, False), video, audio


def model_of(config: Config, data: ItemTensors, parts: TrainValSplit) -> Any:
    torch.manual_seed(0)
    model = find_system("fmn").build(config, data.video_dim, data.audio_dim).to(data.device)
    model.prepare(data, parts.train_clips, parts.train_utterances)
    return model


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_gb(device: torch.device) -> float | None:
    """Peak GPU memory since the last call, in GiB; None on a CPU."""
    if device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated(device) / 2**30
    gc.collect()  # tensors of this measurement must not count toward the next one
    torch.cuda.reset_peak_memory_stats(device)
    return peak


class Pairs(Dataset[tuple[Tensor, Tensor, int]]):
    """Clip, utterance and class of each pair."""

    def __init__(self, pairs: Any, video: list[Any], audio: list[Any]) -> None:
        self.pairs, self.video, self.audio = pairs, video, audio

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        clip, utterance = self.pairs[index]
        return torch.from_numpy(self.video[clip]), torch.from_numpy(self.audio[utterance]), int(clip) % CLASSES


def padded(rows: Sequence[tuple[Tensor, Tensor, int]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    video, audio, classes = zip(*rows, strict=True)
    frames = nn.utils.rnn.pad_sequence(list(audio), batch_first=True)
    return torch.stack(video), frames, torch.tensor([len(one) for one in audio]), torch.tensor(classes)


def plain_pairs_per_s(config: Config, pairs: int, device: torch.device) -> tuple[float, float]:
    """Pairs per second of wall time and of CPU time of the plain loop, after two warm-up batches."""
    data, parts, video, audio = made_up(config, device)
    model = model_of(config, data, parts).train()
    optimizer = Adam(model.parameters(), lr=config.training.learning_rate)
    use_bf16 = config.training.amp == "bf16" and device.type == "cuda"
    generator = torch.Generator().manual_seed(0)
    chosen = parts.train_pairs[torch.randperm(len(parts.train_pairs), generator=generator)[:pairs].numpy()]
    size = config.training.batch_size

    def run(rows: Any) -> int:
        loader = DataLoader(Pairs(rows, video, audio), size, shuffle=True, collate_fn=padded, generator=generator)
        done = 0
        for clips, frames, lengths, classes in loader:
            clips, frames, lengths, classes = (part.to(device) for part in (clips, frames, lengths, classes))
            sequences = augmented(Sequences(frames, lengths), config.training.augment, config.audio.n_mfcc)
            rows_of_pair = torch.arange(len(clips), device=device)
            batch = Batch(
                video=clips,
                audio=sequences,
                match=classes[:, None] == classes[None],
                pairs=torch.stack([rows_of_pair, rows_of_pair], dim=1),
                clip_classes=classes,
                utterance_classes=classes,
            )
            with torch.autocast(device.type, torch.bfloat16, enabled=use_bf16):
                losses = model.losses(batch)
            total = torch.stack(list(losses.values())).sum()
            optimizer.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.training.max_grad_norm)
            optimizer.step()
            assert total.item() == total.item()
            done += len(clips)
        return done

    run(chosen[: 2 * size])
    synchronize(device)
    started, busy = time.perf_counter(), time.process_time()
    done = run(chosen)
    synchronize(device)
    return done / (time.perf_counter() - started), done / (time.process_time() - busy)


def trainer_pairs_per_s(config: Config, pairs: int, device: torch.device) -> tuple[float, float, float]:
    """The same for the trainer, and the seconds of writing the memories at the end of an epoch."""
    data, parts, _, _ = made_up(config, device)
    loop = TrainingLoop(config, model_of(config, data, parts), data, parts)
    loop.pairs_per_epoch = pairs
    loop.config = replace(config, training=replace(config.training, pairs_per_epoch=2 * config.training.batch_size))
    loop.run_epoch(1, lambda done: None)  # warms up
    loop.config = replace(config, training=replace(config.training, pairs_per_epoch=pairs))
    synchronize(device)
    started, busy = time.perf_counter(), time.process_time()
    figures = loop.run_epoch(2, lambda done: None)
    synchronize(device)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    again = time.process_time()
    loop.model.fit_after_epoch(data, parts.train_clips, parts.train_utterances, np.random.default_rng(0))
    busy -= time.process_time() - again  # CPU time of the steps alone, as for the plain loop
    return figures["pairs_per_s"], pairs / busy, seconds - pairs / figures["pairs_per_s"]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--preset", choices=["demo", "paper"], default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pairs", type=int, default=2048, help="pairs timed per loop and repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="torch threads on the CPU")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="configuration values")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = find_device(options.device)
    config = with_values(preset(options.preset), {"training.threads": options.threads} | settings_of(options.set))
    plain, trainer, peaks = [], [], {}
    for _ in range(options.repeats):  # alternating, so that other load affects both
        plain.append(plain_pairs_per_s(config, options.pairs, device))
        peaks["plain"] = peak_gb(device)
        trainer.append(trainer_pairs_per_s(config, options.pairs, device))
        peaks["float32"] = peak_gb(device)
    plain_speed, plain_busy = np.median(plain, axis=0).tolist()
    speed, busy, settling = np.median(trainer, axis=0).tolist()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {options.threads} threads"
    found: dict[str, Any] = {"device": name, "preset": options.preset, "torch": torch.__version__}
    found |= {"plain_pairs_per_s": plain_speed, "trainer_pairs_per_s": speed, "ratio": speed / plain_speed}
    print(f"{name}, preset {options.preset}, batch {config.training.batch_size}, median of {options.repeats}")
    print(f"  plain DataLoader loop {plain_speed:10,.0f} pairs/s")
    print(f"  trainer               {speed:10,.0f} pairs/s   ratio {found['ratio']:.2f}")
    if device.type == "cpu":
        found["ratio_of_processor_time"] = busy / plain_busy
        print(f"  pairs per CPU second: {plain_busy:,.0f} and {busy:,.0f}, ratio {busy / plain_busy:.2f}")
    if device.type == "cuda":
        bf16 = with_values(config, {"training.amp": "bf16"})
        fast = float(np.median([trainer_pairs_per_s(bf16, options.pairs, device)[0] for _ in range(options.repeats)]))
        peaks["bf16"] = peak_gb(device)
        found |= {"bf16_pairs_per_s": fast, "peak_memory_gb": peaks}
        print(f"  trainer, bf16         {fast:10,.0f} pairs/s   {fast / speed:.2f} × float32")
    per_epoch = PAPER_PAIRS / found.get("bf16_pairs_per_s", speed) + settling
    found["paper_schedule_h"] = PAPER_EPOCHS * per_epoch / 3600
    print(
        f"  {PAPER_EPOCHS} epochs of {PAPER_PAIRS:,} pairs with preset {options.preset}, extrapolated from these "
        f"steps: {found['paper_schedule_h']:.2f} h (memories {settling:.2f} s per epoch)"
    )
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
