from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from fmn.data.sequences import Sequences
from fmn.models.utterance_encoder import Pooling, UtteranceEncoder, stacked

LENGTHS = [7, 1, 12, 5]


def padded(padding: float = 0.0) -> Sequences:
    generator = torch.Generator().manual_seed(0)
    frames = torch.full((len(LENGTHS), 12, 6), padding)
    for row, length in enumerate(LENGTHS):
        frames[row, :length] = torch.randn(length, 6, generator=generator)
    return Sequences(frames, torch.tensor(LENGTHS))


def reference(encoder: UtteranceEncoder) -> nn.LSTM:
    """torch's own bidirectional LSTM with the encoder's weights."""
    lstm = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
    values = dict(encoder.forwards.state_dict())
    values |= {f"{name}_reverse": value for name, value in encoder.backwards.state_dict().items()}
    lstm.load_state_dict(values)
    return lstm


def test_last_pooling_is_the_final_state_of_torchs_packed_bidirectional_lstm() -> None:
    torch.manual_seed(1)
    encoder = UtteranceEncoder(6, 5, pooling="last")
    frames, lengths = padded()
    packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
    _, (final, _) = reference(encoder)(packed)
    torch.testing.assert_close(encoder(padded()), torch.cat([final[0], final[1]], dim=1))


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooling_is_that_of_torchs_packed_outputs(pooling: Pooling) -> None:
    torch.manual_seed(1)
    encoder = UtteranceEncoder(6, 5, pooling=pooling)
    frames, lengths = padded()
    packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
    outputs, _ = pad_packed_sequence(reference(encoder)(packed)[0], batch_first=True)
    parts = [outputs[row, :length] for row, length in enumerate(LENGTHS)]
    expected = torch.stack([part.mean(0) if pooling == "mean" else part.max(0).values for part in parts])
    torch.testing.assert_close(encoder(padded()), expected)


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("stack", [1, 4])
def test_padding_never_changes_a_result(pooling: Pooling, stack: int) -> None:
    torch.manual_seed(2)
    encoder = UtteranceEncoder(6, 5, stack=stack, pooling=pooling)
    together = encoder(padded())
    torch.testing.assert_close(encoder(padded(float("nan"))), together)
    frames, _ = padded()
    for row, length in enumerate(LENGTHS):
        alone = encoder(Sequences(frames[row : row + 1, :length], torch.tensor([length])))
        torch.testing.assert_close(alone[0], together[row])


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_no_gradient_reaches_padding(pooling: Pooling) -> None:
    encoder = UtteranceEncoder(6, 5, stack=2, pooling=pooling)
    frames, lengths = padded()
    frames.requires_grad_()
    encoder(Sequences(frames, lengths)).square().sum().backward()
    assert frames.grad is not None
    for row, length in enumerate(LENGTHS):
        assert frames.grad[row, :length].abs().sum(1).min() > 0
        assert not frames.grad[row, length:].any()


def test_stacking_puts_successive_frames_side_by_side() -> None:
    frames, lengths = stacked(padded(9.0), 5)
    assert frames.shape == (4, 3, 30)
    assert lengths.tolist() == [2, 1, 3, 1]
    original = padded()
    for row, length in enumerate(LENGTHS):
        flat = np.zeros(15 * 6, np.float32)
        flat[: length * 6] = original.frames[row, :length].flatten().numpy()
        assert np.array_equal(frames[row].flatten().numpy(), flat)


def test_an_utterance_becomes_2u_numbers() -> None:
    assert UtteranceEncoder(6, 1024).output_dim == 2048
    assert UtteranceEncoder(6, 5)(padded()).shape == (4, 10)
