from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from dataset_tools.core.errors import InputError
from fmn.features.encoders.registry import open_speech_encoder

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")


def sound(samples: int) -> NDArray[np.float32]:
    return np.random.default_rng(samples).normal(scale=0.1, size=samples).astype(np.float32)


def test_a_bundle_gives_the_layer_that_is_asked_for(tiny_bundle: tuple[Any, Path]) -> None:
    model, file = tiny_bundle
    samples = torch.from_numpy(sound(8000))
    normalized = (samples - samples.mean()) / (samples.var(correction=0) + 1e-5).sqrt()
    with torch.inference_mode():
        layers, _ = model.extract_features(normalized[None])
    expected = {"last": layers[2], 1: layers[0], 3: layers[2], "mean": sum(layers) / 3}
    sources = set()
    for layer, values in expected.items():
        encoder = open_speech_encoder(f"torchaudio:TINY@{file}", "cpu", layer)  # type: ignore[arg-type]
        found = encoder.encode(samples.numpy())
        np.testing.assert_allclose(found, values[0].numpy(), atol=1e-5)
        assert (found.shape, found.dtype, encoder.dim) == ((24, 12), np.float32, 12)  # 8,000 / 320, less the edge
        sources.add(encoder.source)
    assert len(sources) == 4
    encoder = open_speech_encoder(f"torchaudio:TINY@{file}", "cpu", "learned")
    np.testing.assert_allclose(encoder.encode(samples.numpy()), torch.cat(layers, dim=2)[0].numpy(), atol=1e-5)
    assert (encoder.dim, encoder.layers, encoder.source in sources) == (36, 3, False)  # type: ignore[attr-defined]
    assert (encoder.sample_rate_hz, encoder.licence, encoder.name) == (16_000, "MIT", "torchaudio:TINY")
    with pytest.raises(InputError, match="no layer 4"):
        open_speech_encoder(f"torchaudio:TINY@{file}", "cpu", 4)


def test_the_weights_decide_the_source_and_their_file_does_not(tiny_bundle: tuple[Any, Path]) -> None:
    model, file = tiny_bundle
    source = open_speech_encoder(f"torchaudio:TINY@{file}", "cpu", "last").source
    other = file.with_name("other name.safetensors")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, other)
    assert open_speech_encoder(f"torchaudio:TINY@{other}", "cpu", "last").source == source
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    torch.save(model.state_dict(), file)
    assert open_speech_encoder(f"torchaudio:TINY@{file}", "cpu", "last").source != source


def test_an_utterance_shorter_than_a_frame_is_one_frame(tiny_bundle: tuple[Any, Path]) -> None:
    encoder = open_speech_encoder(f"torchaudio:TINY@{tiny_bundle[1]}", "cpu", "last")
    assert encoder.encode(sound(3)).shape == (1, 12)


def test_weights_that_are_not_there_or_do_not_fit_are_refused(tiny_bundle: tuple[Any, Path], tmp_path: Path) -> None:
    model, file = tiny_bundle
    with pytest.raises(InputError) as caught:
        open_speech_encoder("torchaudio:TINY", "cpu", "last")
    assert str(tmp_path / "hub" / "checkpoints" / "tiny-model-of-a-test.pth") in str(caught.value)
    assert "torchaudio:TINY@FILE" in str(caught.value)
    with pytest.raises(InputError, match="no such file of weights"):
        open_speech_encoder(f"torchaudio:TINY@{tmp_path}/none.pt", "cpu", "last")
    state = model.state_dict()
    state.pop(next(iter(state)))
    torch.save(state, file)
    with pytest.raises(InputError, match="cannot be loaded"):
        open_speech_encoder(f"torchaudio:TINY@{file}", "cpu", "last")
    with pytest.raises(InputError, match="no bundle 'TINIER'"):
        open_speech_encoder("torchaudio:TINIER", "cpu", "last")


@pytest.fixture
def tiny_whisper(transformers: Any, tmp_path: Path) -> Path:
    """A Whisper whose pieces are two seconds long."""
    config = transformers.WhisperConfig(
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=100,
        num_mel_bins=20,
        vocab_size=60,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    )
    torch.manual_seed(0)
    transformers.WhisperModel(config).save_pretrained(tmp_path / "whisper")
    transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2).save_pretrained(tmp_path / "whisper")
    (tmp_path / "whisper" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return tmp_path / "whisper"


def test_whisper_reads_long_speech_in_pieces_and_drops_the_padding(transformers: Any, tiny_whisper: Path) -> None:
    encoder = open_speech_encoder(f"whisper:{tiny_whisper}", "cpu", "last")
    assert (encoder.dim, encoder.sample_rate_hz, encoder.licence) == (16, 16_000, "apache-2.0")
    samples = sound(32_000 + 4_100)
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(tiny_whisper)
    model = transformers.WhisperModel.from_pretrained(tiny_whisper).eval().encoder
    pieces = []
    with torch.inference_mode():
        for piece, frames in ((samples[:32_000], 100), (samples[32_000:], 13)):  # 4,100 samples are 12.8 frames
            mel = extractor(piece, sampling_rate=16_000, return_tensors="pt").input_features
            pieces.append(model(mel).last_hidden_state[0, :frames].numpy())
            first = model(mel, output_hidden_states=True).hidden_states[1][0, :frames].numpy()
    np.testing.assert_allclose(encoder.encode(samples), np.concatenate(pieces), atol=1e-5)
    lower = open_speech_encoder(f"whisper:{tiny_whisper}", "cpu", 1)
    np.testing.assert_allclose(lower.encode(samples[32_000:]), first, atol=1e-5)
    assert lower.source != encoder.source
    every = open_speech_encoder(f"whisper:{tiny_whisper}", "cpu", "learned")
    assert (every.dim, every.layers) == (32, 2)  # type: ignore[attr-defined]
    np.testing.assert_allclose(every.encode(samples[32_000:])[:, :16], first, atol=1e-5)
    with pytest.raises(InputError, match="no layer 3"):
        open_speech_encoder(f"whisper:{tiny_whisper}", "cpu", 3)
