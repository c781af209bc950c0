"""The heads that give S1: a hidden layer, and the paper's softmax layer."""

from __future__ import annotations

import torch

from fmn.models.score_heads import HiddenHead, LinearHead

N, M, VIDEO_DIM, AUDIO_DIM = 5, 7, 12, 8

N, M = 5, 7


def test_the_hidden_head_is_a_hidden_layer_on_the_two_vectors_side_by_side() -> None:
    torch.manual_seed(0)
    head = HiddenHead(6, 4, 0.5).eval()
    video, audio = torch.randn(N, 6), torch.randn(M, 6)
    weight = torch.cat([head.video.weight, head.audio.weight], dim=1)
    logits = head(video[:, None], audio[None])
    for i in range(N):
        for j in range(M):
            hidden = torch.relu(weight @ torch.cat([video[i], audio[j]]) + head.video.bias)
            torch.testing.assert_close(logits[i, j], (head.output.weight @ hidden + head.output.bias)[0])
    torch.testing.assert_close(head(video, audio[:N]), logits[range(N), range(N)])


def test_the_linear_head_is_a_softmax_layer_and_cannot_match() -> None:
    torch.manual_seed(0)
    head = LinearHead(6)
    video, audio = torch.randn(N, 6), torch.randn(M, 6)
    logits = head(video[:, None], audio[None])
    weight = torch.cat([head.video.weight, head.audio.weight], dim=1)
    for i in range(N):
        for j in range(M):
            both = torch.softmax(weight @ torch.cat([video[i], audio[j]]) + head.video.bias, 0)
            torch.testing.assert_close(torch.sigmoid(logits[i, j]), both[0])
    # Note 2 on the paper: whatever the query, the order of the gallery is the same.
    assert len({tuple(row.argsort().tolist()) for row in logits}) == 1
    assert len({tuple(row.argsort().tolist()) for row in HiddenHead(6, 8, 0.0)(video[:, None], audio[None])}) > 1
