"""FMN and baselines on recorded clips and words, with demo features, light encoders and histograms of gradients.

The light encoders are EfficientNet-Lite0 and openWakeWord; histograms of oriented gradients (of frames and of their
differences) are read as custom features, with openWakeWord for the words. Differences to fmn are printed with 95 %
intervals over seeds, by Student's t.

Needs FMN_TEST_DATA: in real/, a folder of clips CLASS/PERSON_TAKE.mp4 and one of speech WORD/SPEAKER_TAKE.flac; the
i-th class in order of name is paired with the i-th word. Persons (or groups) and speakers of the test split are in no
other split; each seed holds out another person and other speakers, so the spread over seeds includes that over persons.

    export OMP_WAIT_POLICY=PASSIVE  # otherwise several times slower on a machine with other load
    python benchmarks/light_features.py --clips video_pose --speech speech_en --features light,gradients
    python benchmarks/light_features.py --clips video_stills --speech speech --features light,gradients --epochs 8

With --keep DIR, writes the data sets of all seeds to a new folder (manifests-0, …), and trains nothing:

    fmn newclasses DIR/manifests-0/train.jsonl --preset light --held-out 3 --pairs 1,5,20

With --steps, compares one vector per item with attention per frame and Bi-LSTM state (model.step_attention), on light
features.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from made_up_rows import clip_row, utterance_row
from numpy.typing import NDArray

from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import ClassLabel, ClipRow, SplitPairRow, UtteranceRow, write_rows
from fmn.config import DEMO, LIGHT, Config
from fmn.evaluation.evaluate import evaluate
from fmn.features.frames import frame_times, read_frames
from fmn.metrics.t_interval import t_interval
from fmn.systems import find_system
from fmn.training.train import train

SYSTEMS = "fmn,class_towers,two_classifiers,kcca"
FEATURES = {"demo": DEMO, "light": LIGHT, "gradients": LIGHT}
WINDOWS = replace(LIGHT, video=replace(LIGHT.video, pooling="none"))
STEPS = {
    "vector": WINDOWS,  # without attention, their mean is used: the same as LIGHT
    "mean": replace(WINDOWS, model=replace(WINDOWS.model, step_attention="mean")),
    "max": replace(WINDOWS, model=replace(WINDOWS.model, step_attention="max")),
}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FMN_TEST_DATA", ".")) / "real")
    parser.add_argument("--clips", default="video_pose")
    parser.add_argument("--speech", default="speech_en")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", default=SYSTEMS)
    parser.add_argument("--features", default="demo,light")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="new folder for the data sets, see above")
    options = parser.parse_args(arguments)
    if options.keep and options.keep.exists():
        parser.error(f"{options.keep} already exists; name a new folder")
    found: dict[str, Any] = {"clips": options.clips, "speech": options.speech, "epochs": options.epochs}
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        found["items"] = [
            write_workspace(root, options.data / options.clips, options.data / options.speech, seed)
            for seed in range(options.seeds)
        ]
        if options.keep:
            print(json.dumps(found))
            return found
        chosen = STEPS if options.steps else {name: FEATURES[name] for name in options.features.split(",")}
        for features, preset in chosen.items():
            if features == "gradients":
                write_gradients(root)
                preset = replace(
                    preset, video=replace(preset.video, kind="features", encoder="", features=str(root / "gradients"))
                )
            figures: dict[str, list[dict[str, float]]] = {}
            for name in options.models.split(","):
                config = find_system(name).adapt(replace(preset, system=name))
                started = time.perf_counter()
                figures[name] = [run(root, config, seed, options, features) for seed in range(options.seeds)]
                row = f"{features} {name}"
                found[row] = {metric: interval([each[metric] for each in figures[name]]) for metric in figures[name][0]}
                print(f"{row:26} {shown(found[row])} ({time.perf_counter() - started:.0f} s)", flush=True)
                if name != "fmn" and "fmn" in figures:
                    found[f"{row} less fmn"] = {
                        metric: interval(
                            [own[metric] - fmn[metric] for own, fmn in zip(figures[name], figures["fmn"], strict=True)]
                        )
                        for metric in figures[name][0]
                    }
                    print(f"{'   less fmn':26} {shown(found[f'{row} less fmn'])}", flush=True)
    print(json.dumps(found))
    return found


def interval(values: Sequence[float]) -> list[float | None]:
    """Mean, and half the width of its 95 % interval over seeds, which is None for one seed."""
    mean, half = t_interval(np.array(values))
    return [round(mean, 1), round(half, 1) if len(values) > 1 else None]


def shown(row: dict[str, list[float | None]]) -> str:
    return "  ".join(f"{metric} {mean:5.1f} ± {half or 0:4.1f}" for metric, (mean, half) in row.items())


def write_gradients(root: Path) -> None:
    """Writes histograms of oriented gradients of 8 frames and of their differences, for `video.features`."""
    import cv2

    (root / "gradients").mkdir(exist_ok=True)
    of = cv2.HOGDescriptor((64, 64), (16, 16), (16, 16), (8, 8), 9)
    for path in sorted((root / "clips").iterdir()):
        frames, _ = read_frames(path, eight_of, resize_px=64, resize="square")
        gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        moved = [cv2.absdiff(one, other) for one, other in pairwise(gray)]
        vector = np.concatenate([np.mean([of.compute(one).ravel() for one in each], axis=0) for each in (gray, moved)])
        np.save(root / "gradients" / f"{sha256_of(path)}.npy", vector.astype(np.float32))


def eight_of(times: Sequence[float]) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, len(times) - 1, 8).astype(np.int64))


def run(root: Path, config: Config, seed: int, options: argparse.Namespace, features: str) -> dict[str, float]:
    """Class mAP and class hit@1 in percent, in both directions."""
    config = replace(config, training=replace(config.training, epochs=options.epochs, seed=seed))
    folder = root / "runs" / f"{config.system}-{features}-{seed}"
    train(manifests_of(root, seed) / "train.jsonl", config, folder, device=options.device)
    metrics = evaluate(folder, manifests_of(root, seed) / "test.jsonl", device=options.device).metrics
    return {
        f"{direction} {name}": value
        for direction in ("audio_to_video", "video_to_audio")
        for name, value in (
            ("mAP", metrics[direction]["class_map"]),
            ("hit@1", metrics[direction]["class_hit"]["1"]),
        )
    }


def manifests_of(root: Path, seed: int) -> Path:
    return root / f"manifests-{seed}"


def write_workspace(root: Path, clips: Path, speech: Path, seed: int) -> dict[str, Any]:
    """Copies the files and writes both manifests of a seed; returns the number of items."""
    classes = sorted(path.name for path in clips.iterdir() if path.is_dir())
    words = sorted(path.name for path in speech.iterdir() if path.is_dir())
    people = sorted({path.stem.split("_")[0] for path in clips.rglob("*.mp4")})
    speakers = sorted({path.stem.split("_")[0] for path in speech.rglob("*.flac")})
    held = len(people) - 1 - seed  # the last person, then the one before
    part_of = dict.fromkeys(people, "train") | {people[held % len(people)]: "test", people[held - 1]: "validation"}
    parts_of_speakers = ("test", "train", "train", "validation", "train", "train")
    part_of |= {speaker: parts_of_speakers[(number - seed) % 6] for number, speaker in enumerate(speakers)}
    rows: dict[str, list[SplitPairRow]] = {"train": [], "test": []}
    for name, word in zip(classes, words, strict=False):
        seen = [seen_row(root, path, name) for path in sorted((clips / name).iterdir())]
        heard = [heard_row(root, path, name, word) for path in sorted((speech / word).iterdir())]
        for clip in seen:
            for utterance in heard:
                parts = {part_of[clip.person], part_of[utterance.voice]}
                if "test" in parts and parts != {"test"}:
                    continue
                split = "test" if "test" in parts else "train"
                fold = None if split == "test" else 0 if "validation" in parts else 1
                rows[split].append(
                    SplitPairRow(
                        id=f"{clip.id}__{utterance.id}",
                        label=ClassLabel(id=name, action=name, subject="person", object=None),
                        clip=clip,
                        utterance=utterance,
                        split=split,  # type: ignore[arg-type]
                        fold=fold,
                    )
                )
    for split, found in rows.items():
        write_rows(manifests_of(root, seed) / f"{split}.jsonl", sorted(found, key=lambda row: row.id))
    tested = rows["test"]
    return {
        "classes": len({row.label.id for row in tested}),
        "test clips": len({row.clip.id for row in tested}),
        "test utterances": len({row.utterance.id for row in tested}),
        "training clips": len({row.clip.id for row in rows["train"]}),
        "training utterances": len({row.utterance.id for row in rows["train"]}),
    }


def seen_row(root: Path, path: Path, name: str) -> ClipRow:
    person, take = path.stem.split("_")
    return clip_row(
        f"{person}-{name}-{take}_000001-{len(frame_times(path)):06d}",
        name,
        dish=name,
        video=f"{name}-{path.stem}",
        fps=25.0,
        path=copied(root, path, f"clips/{name}_{path.name}"),
        sha256=sha256_of(path),
    )


def heard_row(root: Path, path: Path, name: str, word: str) -> UtteranceRow:
    return utterance_row(
        f"{name}-{path.stem}",
        name,
        None,
        text=word,
        text_source="recording",
        voice=path.stem.split("_")[0],
        source="recorded",
        engine="none",
        path=copied(root, path, f"speech/{name}_{path.name}"),
        sha256=sha256_of(path),
    )


def copied(root: Path, path: Path, name: str) -> str:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, root / name)
    return name


if __name__ == "__main__":
    main()
