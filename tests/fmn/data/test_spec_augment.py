from __future__ import annotations

import pytest
import torch

from fmn.config import AugmentConfig
from fmn.data.sequences import Sequences
from fmn.data.spec_augment import augmented

OFF = {"stretch": 0, "time_masks": 0, "coefficient_masks": 0, "noise": 0.0}
LENGTHS = torch.tensor([40, 17, 1])


def ones(features: int = 12) -> Sequences:
    frames = torch.zeros(3, 40, features)
    for row, length in enumerate(LENGTHS):
        frames[row, :length] = 1
    return Sequences(frames, LENGTHS)


def varied(**values: float) -> Sequences:
    torch.manual_seed(5)
    return augmented(ones(), AugmentConfig(**(OFF | values)), 4)  # type: ignore[arg-type]


def test_all_zero_changes_nothing() -> None:
    frames, lengths = varied()
    assert torch.equal(frames, ones().frames)
    assert torch.equal(lengths, LENGTHS)


def test_the_same_seed_varies_the_same_way_and_another_does_not() -> None:
    torch.manual_seed(1)
    first = augmented(ones(), AugmentConfig(), 4)
    torch.manual_seed(1)
    again = augmented(ones(), AugmentConfig(), 4)
    other = augmented(ones(), AugmentConfig(), 4)
    assert torch.equal(first.frames, again.frames)
    assert not torch.equal(first.frames, other.frames)


@pytest.mark.parametrize("values", [{"stretch": 0.25}, {"noise": 0.5}, {"time_masks": 2}])
def test_nothing_stands_behind_the_ends(values: dict[str, float]) -> None:
    frames, lengths = varied(**values)
    for row, length in enumerate(lengths):
        assert not frames[row, length:].any()
        assert frames[row, :length].any() or "time_masks" in values


def test_tempo_stays_within_its_bounds_and_reads_the_sequence_in_order() -> None:
    ramp = torch.arange(40.0)[None, :, None].expand(64, -1, 4).contiguous()
    torch.manual_seed(0)
    frames, lengths = augmented(
        Sequences(ramp, torch.full((64,), 40)),
        AugmentConfig(**(OFF | {"stretch": 0.25})),
        4,  # type: ignore[arg-type]
    )
    assert lengths.min() >= 32
    assert lengths.max() <= 50
    assert lengths.unique().numel() > 5
    for row, length in enumerate(lengths):
        heard = frames[row, :length, 0]
        assert heard[0] == 0
        assert heard[-1] >= 37
        assert (heard.diff() >= 0).all()
        assert (heard.diff() <= 2).all()


def test_blanked_time_is_bounded() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        frames, _ = augmented(ones(), AugmentConfig(**(OFF | {"time_masks": 2})), 4)  # type: ignore[arg-type]
        blank = 40 - frames[0].any(dim=1).sum()
        assert 0 <= blank <= 2 * 5  # two masks of at most an eighth of 40 frames
        assert torch.equal(frames[0].any(dim=1), frames[0].all(dim=1))


def test_a_blanked_band_is_blank_in_every_order_of_deltas() -> None:
    blanked = set()
    for seed in range(30):
        torch.manual_seed(seed)
        config = AugmentConfig(**(OFF | {"coefficient_masks": 1, "coefficient_mask_width": 2}))  # type: ignore[arg-type]
        frames, _ = augmented(ones(), config, 4)
        orders = frames[0, 0].reshape(3, 4)
        assert torch.equal(orders[0], orders[1])
        assert torch.equal(orders[0], orders[2])
        assert torch.equal(frames[0].min(0).values, frames[0].max(0).values)
        blanked.add(int(4 - orders[0].sum()))
    assert blanked == {0, 1, 2}


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    torch.manual_seed(0)
    many = Sequences(torch.zeros(50, 40, 12), torch.full((50,), 40))
    frames, _ = augmented(many, AugmentConfig(**(OFF | {"noise": 0.3})), 4)  # type: ignore[arg-type]
    assert float(frames.std()) == pytest.approx(0.3, rel=0.02)
