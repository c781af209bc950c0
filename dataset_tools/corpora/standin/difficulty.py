"""Difficulty levels of the synthetic corpus, all parameters in one place.

The levels are fixed, as published results refer to them. A change requires a new name.
"""

from __future__ import annotations

from dataclasses import dataclass

from dataset_tools.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """One level. Shares and probabilities are between 0 and 1; lengths are in pixels of a 320×240 frame.

    Attributes:
        name: name on the command line.
        subjects: number of the 20 subjects that are on the worktop of one video.
        clutter: number of other things there.
        acting_share: share of an interval in which the thing is acted on; in the rest, others are touched.
        other_hand: probability that the other hand is busy with another thing, too.
        other_tool: probability that an idle hand fetches a tool like acting ones (possibly none) rather than none.
        carried_decoys: share of the touches of other things in which these are shifted and turned.
        main_hand: probability that the person acts with the dominant hand.
        amplitude: smallest and largest factor on the size of a motion, by person and interval.
        tempo: smallest and largest factor on the speed of a motion, by person and interval.
        rhythm_noise: relative irregularity of a motion's speed.
        path_noise_px: standard deviation of random hand displacement.
        jitter_px: standard deviation of the camera's jitter.
        light: relative standard deviation of brightness and color between videos.
        flicker: relative standard deviation of brightness within a video.
        occlusions_per_minute: how often the person's head enters the frame.
        noise: smallest and largest standard deviation of the sensor noise, in gray levels.
    """

    name: str
    subjects: int
    clutter: int
    acting_share: float
    other_hand: float
    other_tool: float
    carried_decoys: float
    main_hand: float
    amplitude: tuple[float, float]
    tempo: tuple[float, float]
    rhythm_noise: float
    path_noise_px: float
    jitter_px: float
    light: float
    flicker: float
    occlusions_per_minute: float
    noise: tuple[float, float]


EASY = Difficulty(
    name="easy",
    subjects=10,
    clutter=2,
    acting_share=0.9,
    other_hand=0.3,
    other_tool=0.1,
    carried_decoys=0.2,
    main_hand=0.75,
    amplitude=(0.95, 1.2),
    tempo=(0.9, 1.1),
    rhythm_noise=0.05,
    path_noise_px=0.8,
    jitter_px=0.3,
    light=0.05,
    flicker=0.005,
    occlusions_per_minute=0.5,
    noise=(1.0, 2.0),
)
STANDARD = Difficulty(
    name="standard",
    subjects=11,
    clutter=2,
    acting_share=0.85,
    other_hand=1.0,
    other_tool=1.0,
    carried_decoys=0.35,
    main_hand=0.75,
    amplitude=(0.95, 1.25),
    tempo=(0.85, 1.2),
    rhythm_noise=0.08,
    path_noise_px=1.2,
    jitter_px=0.3,
    light=0.08,
    flicker=0.01,
    occlusions_per_minute=1.0,
    noise=(1.0, 2.5),
)
HARD = Difficulty(
    name="hard",
    subjects=12,
    clutter=4,
    acting_share=0.5,
    other_hand=1.0,
    other_tool=1.0,
    carried_decoys=0.6,
    main_hand=0.7,
    amplitude=(0.55, 1.1),
    tempo=(0.65, 1.45),
    rhythm_noise=0.2,
    path_noise_px=2.8,
    jitter_px=1.4,
    light=0.18,
    flicker=0.025,
    occlusions_per_minute=5.0,
    noise=(4.0, 7.0),
)
LEVELS = {level.name: level for level in (EASY, STANDARD, HARD)}


def difficulty_named(name: str) -> Difficulty:
    """Returns the level of that name.

    Raises:
        InputError: there is no such level.
    """
    if name not in LEVELS:
        raise InputError(
            f"There is no difficulty {name!r}",
            where="--difficulty",
            expected="one of " + ", ".join(LEVELS),
            next_step="choose one of them",
        )
    return LEVELS[name]
