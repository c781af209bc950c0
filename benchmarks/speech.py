"""Benchmark of speech synthesis: utterances per second, against one espeak-ng process per sentence.

    python benchmarks/speech.py [--utterances 300] [--jobs 1]

Three rates: the engine alone; the whole chain (synthesize, check, normalize, write, record in the ledger); and the
baseline, a script that runs ``espeak-ng -v VOICE -w FILE TEXT`` once per sentence, whose output is neither checked nor
reproducible. If the command is not installed, the baseline loads the same library in a new Python process for each
sentence, and the result states that. All write WAV files of the same sentences in the same voices.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_up_rows import clip_row, interval_id

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow
from dataset_tools.speech.engines import espeak_server
from dataset_tools.speech.engines.espeak import EspeakEngine, _library_and_data
from dataset_tools.speech.sentences.generation import describe
from dataset_tools.speech.synthesis import synthesize


def clip_rows(count: int) -> list[ClipRow]:
    names = [one.id for one in load_classes().classes]
    return [
        clip_row(interval_id(f"s{7 + n % 20:02d}-d{20 + n // 100:02d}", 60 * n + 1), names[n % len(names)])
        for n in range(count)
    ]


def per_second(count: int, start: float) -> float:
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    classes, engine = load_classes(), EspeakEngine()
    count = options.utterances
    each = -(-count // len(classes.classes))
    texts = [text for one in classes.classes for text in describe(one, classes, count=each)][:count]
    voices = engine.voices("en")
    spoken = [voices[7 * number % len(voices)] for number in range(count)]
    command = shutil.which("espeak-ng")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine.speak("Warm.", voices[0], path=folder / "warm.wav", seed=0)
        start = time.perf_counter()
        for number, (text, voice) in enumerate(zip(texts, spoken, strict=True)):
            engine.speak(text, voice, path=folder / f"engine-{number}.wav", seed=number)
        alone = per_second(count, start)

        start = time.perf_counter()
        library, data = _library_and_data()
        for number, (text, voice) in enumerate(zip(texts, spoken, strict=True)):
            if command is not None:
                wav = str(folder / f"peer-{number}.wav")
                subprocess.run([command, "-v", voice.espeak_name, "-w", wav, text], check=True)
            else:
                request = {"text": text, "voice": voice.espeak_name, "rate": 175, "pitch": 50, "volume": 80, "seed": 1}
                answer = subprocess.run(
                    [sys.executable, "-I", "-S", espeak_server.__file__, library, data],
                    input=json.dumps(request).encode() + b"\n",
                    capture_output=True,
                    check=True,
                )
                (folder / f"peer-{number}.wav").write_bytes(answer.stdout)
        peer = per_second(count, start)

        place = Workspace(folder / "set")
        rows = clip_rows(count)
        start = time.perf_counter()
        with Ledger(place.ledger) as ledger:
            made, failures = synthesize(place, rows, classes, jobs=options.jobs, ledger=ledger)
        chain = per_second(count, start)
        assert len(made) == count, failures
    found = {
        "utterances": count,
        "peer": "espeak-ng command, once per sentence"
        if command
        else "espeak-ng's library in a fresh Python process per sentence (the command is not installed)",
        "peer_per_s": round(peer, 1),
        "engine_per_s": round(alone, 1),
        "engine_ratio": round(alone / peer, 2),
        "jobs": options.jobs,
        "chain_per_s": round(chain, 1),
        "chain_ratio": round(chain / peer, 2),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
