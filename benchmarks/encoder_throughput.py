"""Benchmark of feature extraction with each kind of encoder, relative to the encoder alone.

    python benchmarks/encoder_throughput.py [--encoders NAME …] [--clips 8] [--utterances 16] [--jobs 2] [--rounds 3]

The encoder alone gets the same arrays from memory, in the same number of threads. Both alternate in rounds, so that
other load affects both, and medians are reported; ``of_network`` is 1 if reading and writing cost nothing. On a CPU,
these share the cores with the network, so 1 is unreachable, and the ratio of CPU times shows the overhead of the
extraction. Weights that no package contains are random: the time does not depend on them, and nothing is downloaded.
Loading is not timed. Clips are those of feature_extraction.py, 4 s each; utterances are 3 s of noise. Sampling and
frame sizes are those of the demo preset.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile
import torch
from feature_extraction import in_threads, timed, write_clip

from dataset_tools.core import torch_compat
from dataset_tools.core.files import sha256_of
from fmn.data.loading import find_device
from fmn.features.config import DEMO_AUDIO, DEMO_VIDEO
from fmn.features.encoders.libraries import library
from fmn.features.extract import Networks, extract_audio, extract_video
from fmn.features.media import Media
from fmn.torch_threads import threads

SPEECH_S = 3


def timm_resnet50(folder: Path) -> str:
    torch.save(library("timm").create_model("resnet50", pretrained=False).state_dict(), folder / "resnet50.pth")
    return f"timm:resnet50@{folder / 'resnet50.pth'}"


def videomae(folder: Path, **sizes: int) -> str:
    transformers = library("transformers")
    transformers.VideoMAEModel(transformers.VideoMAEConfig(**sizes)).save_pretrained(folder)
    transformers.VideoMAEImageProcessor().save_pretrained(folder)
    return f"transformers:{folder}"


def videomae_tiny(folder: Path) -> str:
    return videomae(folder, hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768)


def vjepa2_tiny(folder: Path) -> str:
    transformers = library("transformers")
    predictor = {"pred_hidden_size": 96, "pred_num_attention_heads": 3, "pred_num_hidden_layers": 1}
    sizes = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "crop_size": 224}
    config = transformers.VJEPA2Config(**sizes, **predictor, frames_per_clip=16)
    transformers.VJEPA2Model(config).save_pretrained(folder)
    transformers.VJEPA2VideoProcessor(crop_size={"height": 224, "width": 224}).save_pretrained(folder)
    return f"transformers:{folder}"


def pe_av_small(folder: Path) -> str:
    """ViT-Tiny on sixteen frames of 224 px and the audio codec of the default size, each followed by four layers."""
    transformers = library("transformers")
    sizes = {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 6}
    pictures = {"model_type": "timm_wrapper", "architecture": "vit_tiny_patch16_224", "do_pooling": True}
    audio = {"model_type": "pe_audio_encoder", **sizes}
    video = {"model_type": "pe_video_encoder", "vision_config": pictures | {"num_classes": 192}, **sizes}
    text = {"model_type": "modernbert", "hidden_size": 192, "intermediate_size": 192, "num_attention_heads": 3}
    config = transformers.PeAudioVideoConfig(
        text_config=text | {"num_hidden_layers": 1},
        audio_video_config={"audio_config": audio, "video_config": video, **sizes},
    )
    transformers.PeAudioVideoModel(config).save_pretrained(folder)
    transformers.PeAudioFeatureExtractor().save_pretrained(folder)
    transformers.PeVideoVideoProcessor(
        size={"height": 224, "width": 224}, do_resize=True, do_rescale=True, do_sample_frames=True, num_frames=16
    ).save_pretrained(folder)
    return f"pe_av:{folder}"


def speech_base(name: str, folder: Path) -> str:
    """``hubert_base``, ``wav2vec2_base`` or ``wavlm_base`` of torchaudio."""
    model = getattr(torch_compat.torchaudio().models, name)()  # type: ignore[attr-defined]
    torch.save(model.state_dict(), folder / "weights.pt")
    return f"torchaudio:{name.upper()}@{folder / 'weights.pt'}"


def whisper_tiny(folder: Path) -> str:
    transformers = library("transformers")
    sizes = {"d_model": 384, "encoder_layers": 4, "decoder_layers": 1}
    heads = {"encoder_attention_heads": 6, "decoder_attention_heads": 6, "encoder_ffn_dim": 1536}
    transformers.WhisperModel(transformers.WhisperConfig(**sizes, **heads)).save_pretrained(folder)
    transformers.WhisperFeatureExtractor().save_pretrained(folder)
    return f"whisper:{folder}"


VIDEO: dict[str, Callable[[Path], str]] = {
    "i3d_demo": lambda folder: "",  # the backbone of the demo
    "efficientnet_lite0": lambda folder: "efficientnet_lite0",
    "resnet50": timm_resnet50,
    "videomae_tiny": videomae_tiny,
    "videomae_base": videomae,
    "vjepa2_tiny": vjepa2_tiny,
    "pe_av_small": pe_av_small,
}
SPEECH: dict[str, Callable[[Path], str]] = {
    "openwakeword": lambda folder: "openwakeword",
    **{name: partial(speech_base, name) for name in ("hubert_base", "wav2vec2_base", "wavlm_base")},
    "whisper_tiny": whisper_tiny,
    "pe_av_small_speech": pe_av_small,
}


def write_utterance(folder: Path, number: int) -> Media:
    noise = np.random.default_rng(number).normal(scale=0.1, size=16_000 * SPEECH_S)
    soundfile.write(folder / f"{number}.wav", noise, 16_000)
    return Media(sha256_of(folder / f"{number}.wav"), folder / f"{number}.wav", f"{number}.wav")


def measured(name: str, folder: Path, items: Sequence[Media], options: argparse.Namespace) -> dict[str, Any]:
    """Rates of one encoder."""
    is_clip = name in VIDEO
    weights = folder / name
    weights.mkdir()
    encoder = (VIDEO | SPEECH)[name](weights)
    networks: Networks = {}
    cache = folder / "cache"

    def extract() -> None:
        common: dict[str, Any] = {"cache": cache, "jobs": options.jobs, "device": options.device, "networks": networks}
        if is_clip:
            found = extract_video(items, replace(DEMO_VIDEO, encoder=encoder), **common)
        else:
            found = extract_audio(items, replace(DEMO_AUDIO, encoder=encoder), **common)
        assert found.computed == len(items), found.failures
        shutil.rmtree(cache)

    extract()  # loads the network and warms up
    (loaded,) = networks.values()
    network, method = (loaded.encoder, "encode") if encoder else (loaded, "window_features")
    alone = getattr(network, method)
    shown: list[Any] = []
    setattr(network, method, lambda array: (shown.append(array), alone(array))[1])
    extract()
    delattr(network, method)  # from the instance, which exposes the method of the class again
    rounds = [(in_threads(alone, shown, options.jobs), timed(extract)) for _ in range(options.rounds)]
    seconds = len(items) * (1.0 if is_clip else SPEECH_S)
    return {
        "unit": "clips/s" if is_clip else "s of speech/s",
        "extraction": seconds / median(whole.wall for _, whole in rounds),
        "network": seconds / median(network.wall for network, _ in rounds),
        "of_network": median(network.wall / whole.wall for network, whole in rounds),
        "of_network_processor_time": median(network.used / whole.used for network, whole in rounds),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    names = [*VIDEO, *SPEECH]
    parser.add_argument("--encoders", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--utterances", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    options.device = str(find_device(options.device))
    found: dict[str, Any] = {"device": options.device, "jobs": options.jobs, "load": round(os.getloadavg()[0], 1)}
    with tempfile.TemporaryDirectory() as temporary, threads(1):
        folder = Path(temporary)
        torch.manual_seed(0)
        clips = [write_clip(folder, number) for number in range(options.clips)]
        spoken = [write_utterance(folder, number) for number in range(options.utterances)]
        for name in options.encoders:
            found[name] = rates = measured(name, folder, clips if name in VIDEO else spoken, options)
            print(
                f"{name:<20}{rates['extraction']:9.2f} {rates['unit']:<14}= {rates['of_network']:.2f} × the network "
                f"alone ({rates['network']:.2f}); by CPU time {rates['of_network_processor_time']:.2f}",
                flush=True,
            )
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
