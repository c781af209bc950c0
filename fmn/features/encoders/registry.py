"""Registry of encoders: built-in ones and entry points of packages (``--video-encoder``, ``--speech-encoder``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.metadata import EntryPoint
from typing import Any

from dataset_tools.core.entry_points import extension_names, find_extension
from dataset_tools.core.errors import InputError
from fmn.features.encoders.interface import Layer, SpeechEncoder, SpeechFactory, VideoEncoder, VideoFactory

VIDEO, SPEECH = "fmn.video_encoders", "fmn.speech_encoders"
BUILT_IN: Mapping[str, Mapping[str, str]] = {
    VIDEO: {
        "embedding_gemma": "fmn.features.encoders.joint.embedding_gemma:EmbeddingGemmaVideo",
        "efficientnet_lite0": "fmn.features.encoders.light_images:EfficientNetLite0",
        "pe_av": "fmn.features.encoders.joint.pe_av:PeAvVideo",
        "timm": "fmn.features.encoders.timm_images:TimmImages",
        "transformers": "fmn.features.encoders.transformers_vision:TransformersVision",
    },
    SPEECH: {
        "embedding_gemma": "fmn.features.encoders.joint.embedding_gemma:EmbeddingGemmaSpeech",
        "openwakeword": "fmn.features.encoders.light_speech:OpenWakeWord",
        "pe_av": "fmn.features.encoders.joint.pe_av:PeAvSpeech",
        "torchaudio": "fmn.features.encoders.torchaudio_speech:TorchaudioSpeech",
        "whisper": "fmn.features.encoders.whisper_speech:WhisperSpeech",
    },
}
BUNDLES = (
    *("HUBERT_BASE", "HUBERT_LARGE", "HUBERT_XLARGE", "WAV2VEC2_BASE", "WAV2VEC2_LARGE", "WAV2VEC2_LARGE_LV60K"),
    *("WAV2VEC2_XLSR53", "WAVLM_BASE", "WAVLM_BASE_PLUS", "WAVLM_LARGE"),
)
SHORT = {name.lower(): f"torchaudio:{name}" for name in BUNDLES}
"""Aliases: ``hubert_base`` for ``torchaudio:HUBERT_BASE``."""


def open_video_encoder(text: str, device: str) -> VideoEncoder:
    """Loads the encoder named by ``video.encoder``, such as ``timm:NAME``, on a device.

    Raises:
        InputError: there is no encoder of this name, or its library or weights are missing.
    """
    factory: VideoFactory
    factory, argument = find_encoder(VIDEO, text)
    return factory(argument, device=device)


def open_speech_encoder(text: str, device: str, layer: Layer) -> SpeechEncoder:
    """Loads the encoder named by ``audio.encoder``, such as ``hubert_base``, on a device.

    Raises:
        InputError: see `open_video_encoder`, or it has no such layer.
    """
    factory: SpeechFactory
    factory, argument = find_encoder(SPEECH, text)
    return factory(argument, device=device, layer=layer)


def check_encoders(video: str, speech: str) -> None:
    """Checks that there are encoders of these names; empty for none. Their libraries and weights are not looked for.

    Raises:
        InputError: see `find_encoder`.
    """
    for group, text in ((VIDEO, video), (SPEECH, speech)):
        if text:
            find_encoder(group, text)


def comes_with_package(group: str, text: str) -> bool:
    """Whether the weights of an encoder are installed with a package, so that opening it downloads nothing.

    Raises:
        InputError: there is no encoder of this name.
    """
    factory, _ = find_encoder(group, text)
    return bool(getattr(factory, "comes_with_package", False))


def find_encoder(group: str, text: str) -> tuple[Any, str]:
    """Resolves ``NAME:ARGUMENT`` to the factory and its argument; what a package's factory returns is checked.

    Raises:
        InputError: there is no encoder of this name.
    """
    model, at, file = text.partition("@")
    text = SHORT.get(model, model) + at + file if group == SPEECH else text
    name, _, argument = text.partition(":")
    if name in BUILT_IN[group]:
        return EntryPoint(name, BUILT_IN[group][name], group).load(), argument
    extension = find_extension(group, name)
    if extension is None:
        short = sorted(SHORT) if group == SPEECH else []
        known = sorted({*BUILT_IN[group], *extension_names(group)})
        raise InputError(
            f"There is no encoder {name!r}",
            where="video.encoder" if group == VIDEO else "audio.encoder",
            expected=f"one of {', '.join([*known, *short])}",
            next_step="see docs/encoders.md; a package adds an encoder through an entry point in the group " + group,
        )
    return partial(extension.make, VideoEncoder if group == VIDEO else SpeechEncoder), argument
