"""Tiny joint models with random weights, in the files that real ones come in."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

CARD = "---\nlicense: apache-2.0\n---\n# A model\n"
TOKENS = (
    *("<pad>", "<eos>", "<bos>", "<unk>", "<|image|>", "<|image>", "<image|>"),
    *("<|audio|>", "<|audio>", "<audio|>", "<|video|>"),
)


def pe_av(transformers: Any, folder: Path, seed: int = 0, **sampling: Any) -> Path:
    """Frames of 160 px, sound of 16 kHz, vectors of 12 numbers; four frames a clip unless told otherwise."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "head_dim": 8}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    text = {"hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    codec = {"model_type": "dac", "downsampling_ratios": [4, 8], "encoder_hidden_size": 4, "codebook_dim": 8}
    pictures = {"architecture": "test_vit", "num_classes": 10, "global_pool": "avg", "initializer_range": 0.02}
    pictures["model_args"] = {"depth": 1}
    audio = {"model_type": "pe_audio_encoder", "dac_config": codec | {"hidden_size": 16}, **sizes}
    video = {
        "model_type": "pe_video_encoder",
        "vision_config": {"model_type": "timm_wrapper", "do_pooling": True, **pictures},
        **sizes,
    }
    config = transformers.PeAudioVideoConfig(
        text_config={"model_type": "modernbert", "vocab_size": 60, **text, **special},
        audio_video_config={"audio_config": audio, "video_config": video, **sizes},
    )
    torch.manual_seed(seed)
    with redirect_stdout(StringIO()):
        transformers.PeAudioVideoModel(config).save_pretrained(folder)
    transformers.PeAudioFeatureExtractor(hop_length=32, sampling_rate=16_000).save_pretrained(folder)
    settings = {"do_sample_frames": True, "num_frames": 4} | sampling
    half = [0.5, 0.5, 0.5]
    transformers.PeVideoVideoProcessor(
        size={"height": 160, "width": 160},
        do_resize=True,
        do_rescale=True,
        do_normalize=True,
        image_mean=half,
        image_std=half,
        **settings,
    ).save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    return folder


def embedding_gemma(transformers: Any, folder: Path, *, vision: bool = True) -> Path:
    """Patches of 4 px, up to 70 tokens a frame, five frames a second, vectors of 12 numbers."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = Tokenizer(models.WordLevel({token: number for number, token in enumerate(TOKENS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    named = {"image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>"}
    named |= {"audio_token": "<|audio|>", "boa_token": "<|audio>", "eoa_token": "<audio|>"}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        extra_special_tokens=named,
    )
    patches = {"patch_size": 4, "pooling_kernel_size": 3}
    transformers.EmbeddingGemma2Processor(
        feature_extractor=transformers.Gemma4AudioFeatureExtractor(),
        image_processor=transformers.Gemma4ImageProcessor(max_soft_tokens=70, **patches),
        tokenizer=tokenizer,
        video_processor=transformers.EmbeddingGemma2VideoProcessor(max_soft_tokens=70, fps=5, **patches),
    ).save_pretrained(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "head_dim": 8}
    text = sizes | {"vocab_size": 20, "num_hidden_layers": 2, "num_key_value_heads": 1, "embedding_dim": 12}
    text |= {"global_head_dim": 8, "num_global_key_value_heads": 1, "hidden_size_per_layer_input": 4}
    pictures = sizes | patches | {"num_hidden_layers": 1, "num_key_value_heads": 2, "position_embedding_size": 64}
    sound = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "output_proj_dims": 16}
    config = transformers.EmbeddingGemma2Config(
        text_config=text | {"sliding_window_pattern": 2},
        vision_config={"model_type": "gemma4_vision", **pictures} if vision else None,
        audio_config={"model_type": "gemma4_audio", **sound, "subsampling_conv_channels": [128, 4]},
        image_token_id=4,
        boi_token_id=5,
        eoi_token_id=6,
        audio_token_id=7,
        boa_token_id=8,
        eoa_token_index=9,
        video_token_id=10,
    )
    torch.manual_seed(0)
    transformers.EmbeddingGemma2Model(config).save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.fixture(scope="session")
def joint(transformers: Any, timm: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a tiny model of each kind."""
    folder = tmp_path_factory.mktemp("joint")
    return {
        "pe_av": pe_av(transformers, folder / "pe_av"),
        "embedding_gemma": embedding_gemma(transformers, folder / "embedding_gemma"),
    }


@pytest.fixture
def make_pe_av(transformers: Any, tmp_path: Path) -> Any:
    return lambda name, seed=0, **sampling: pe_av(transformers, tmp_path / name, seed, **sampling)


@pytest.fixture
def make_embedding_gemma(transformers: Any, tmp_path: Path) -> Any:
    return lambda name, **options: embedding_gemma(transformers, tmp_path / name, **options)
