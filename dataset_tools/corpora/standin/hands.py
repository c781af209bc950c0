"""Sprites of hands, arms and heads, seen from above. Hands point up, centered on the working point of the fingers."""

from __future__ import annotations

import cv2
import numpy as np

from dataset_tools.corpora.standin.motions import Values
from dataset_tools.corpora.standin.painter import Color, Image, Painter, Point, Sprite
from dataset_tools.corpora.standin.person import Person

POSES = ("open", "hold", "fist")
WRIST_BELOW_PX = 34.0  # from the middle of a hand to its wrist


def paint_hand(person: Person, pose: str, rng: np.random.Generator) -> Sprite:
    """Paints a right hand in one of `POSES`: palm down, seen from above."""
    p = Painter(60, 84, rng)
    skin = person.skin
    nail: Color = tuple(min(255.0, 1.12 * channel + 12) for channel in skin)  # type: ignore[assignment]
    dark: Color = tuple(0.72 * channel for channel in skin)  # type: ignore[assignment]
    spread, length = {"open": (1.25, 24.0), "hold": (1.0, 17.0), "fist": (0.92, 9.0)}[pose]
    p.stroke([(0, 40), (0, 22)], 19, skin, round_px=9, grain=0.03)
    thumb_tip = {"open": (-19.0, -3.0), "hold": (-12.0, -9.0), "fist": (-9.0, 0.0)}[pose]
    for number, x in enumerate((-9.0, -3.0, 3.0, 8.6)):
        reach = length * (0.9, 1.0, 0.96, 0.78)[number]
        tip = (x * spread, 5 - reach)
        p.stroke([(x, 10), ((x + tip[0]) / 2, 5 - reach * 0.45), tip], 7.4, dark, grain=0)
        p.stroke([(x, 10), ((x + tip[0]) / 2, 5 - reach * 0.45), tip], 6.2, skin, round_px=3, grain=0.03, gloss=0.05)
        if pose != "fist":
            p.ellipse((tip[0], tip[1] - 0.6), (1.9, 2.2), nail, grain=0, opacity=0.8)
    p.polygon([(-9, 10), (9, 9), (9, 24), (-7, 26)], skin, corner_px=4, round_px=9, grain=0.03)
    p.stroke([(-9, 20), (thumb_tip[0] * 0.9 - 2, 10), thumb_tip], 8.6, dark, grain=0)
    p.stroke([(-9, 20), (thumb_tip[0] * 0.9 - 2, 10), thumb_tip], 7.2, skin, round_px=3.5, grain=0.03)
    for x in (-8, -2.7, 2.7, 8):
        p.ellipse((x, 9.5), (2.4, 1.8), dark, opacity=0.35, grain=0)
    return p.sprite()


def mirrored(sprite: Sprite) -> Sprite:
    """Returns the left hand for a right hand."""
    return Sprite(np.ascontiguousarray(sprite.color[:, ::-1]), np.ascontiguousarray(sprite.alpha[:, ::-1]))


def paint_head(person: Person, rng: np.random.Generator) -> Sprite:
    """Paints a head from above, with hair."""
    p = Painter(104, 104, rng)
    p.ellipse((0, -40), (7, 9), person.skin, round_px=6)
    for x in (-39, 39):
        p.ellipse((x, 4), (6, 9), person.skin, round_px=5)
    p.ellipse((0, 0), (39, 44), person.hair, round_px=40, grain=0.16, grain_px=2)
    for angle in np.arange(0, 6.28, 0.21):
        tip = (36 * np.cos(angle), 40 * np.sin(angle))
        strand: Color = tuple(float(rng.uniform(0.75, 1.3)) * channel for channel in person.hair)  # type: ignore[assignment]
        p.stroke([(0, 8), tip], 1.4, strand, opacity=0.4, grain=0)
    return p.sprite()


def wrist_of(hand: Point, arm_deg: float, scale: float) -> Point:
    """Returns the wrist of a hand that is centered at ``hand`` and points to ``arm_deg`` (0 is up, clockwise)."""
    angle = np.radians(arm_deg)
    below = WRIST_BELOW_PX * scale
    return float(hand[0] - below * np.sin(angle)), float(hand[1] + below * np.cos(angle))


def elbow_between(shoulder: Point, wrist: Point, *, left: bool) -> Point:
    """Returns the elbow, bent outward. Seen from above, nearer hands have shorter arms, with the same bend."""
    start, end = np.array(shoulder), np.array(wrist)
    way = end - start
    outward = np.array([way[1], -way[0]]) * (1 if left else -1)
    elbow = start + 0.5 * way + 0.2 * outward
    return float(elbow[0]), float(elbow[1])


def draw_arm(image: Image, shoulder: Point, elbow: Point, wrist: Point, person: Person) -> None:
    """Draws upper arm and forearm as cloth and skin, with light from the upper left, onto ``image``."""
    limit = np.array(elbow) + person.sleeve * (np.array(wrist) - np.array(elbow))
    cuff = (float(limit[0]), float(limit[1]))
    _limb(image, elbow, wrist, person.skin, 20, 17)
    _limb(image, shoulder, elbow, person.cloth, 34, 30)
    if person.sleeve > 0:
        _limb(image, elbow, cuff, person.cloth, 30, 26)
    if person.stripes:
        for start, end in ((shoulder, elbow), (elbow, cuff)):
            _stripes(image, np.array(start), np.array(end), person.cloth_stripe)


def _limb(image: Image, start: Point, end: Point, color: Color, start_px: float, end_px: float) -> None:
    """Draws a tapering limb in three tones: outline, body, highlight."""
    way = np.array(end) - np.array(start)
    length = float(np.linalg.norm(way))
    if length < 1:
        return
    x, y = float(-way[1]) / length, float(way[0]) / length  # the normal
    for factor, width, shift in ((0.6, 1.0, 0.0), (1.0, 0.86, -0.8), (1.14, 0.36, -2.5)):
        tone = tuple(min(255.0, factor * channel) for channel in color)
        sides = [
            (
                middle[0] + sign * (x * width_px / 2 * width) + shift,
                middle[1] + sign * (y * width_px / 2 * width) + shift,
            )
            for middle, width_px, sign in (
                (start, start_px, 1),
                (end, end_px, 1),
                (end, end_px, -1),
                (start, start_px, -1),
            )
        ]
        cv2.fillConvexPoly(image, _fixed(np.array(sides)), tone, cv2.LINE_AA, shift=4)
        if width == 0.86:
            cv2.circle(
                image,
                _fixed_point((end[0] + shift, end[1] + shift)),
                int(end_px * width * 8),
                tone,
                -1,
                cv2.LINE_AA,
                shift=4,
            )


def _stripes(image: Image, start: Values, end: Values, color: Color) -> None:
    length = float(np.linalg.norm(end - start))
    if length < 10:
        return
    normal = np.array([-(end - start)[1], (end - start)[0]]) / length
    for distance in np.arange(6, length - 2, 12):
        middle = start + (end - start) * distance / length
        ends = _fixed(np.array([middle - normal * 10, middle + normal * 10]))
        cv2.line(image, tuple(map(int, ends[0])), tuple(map(int, ends[1])), color, 3, cv2.LINE_AA, shift=4)


def _fixed(points: Values) -> Values:
    """Returns fixed-point coordinates with four fractional bits, for OpenCV's ``shift=4``."""
    return np.round(points * 16).astype(np.int32)


def _fixed_point(point: Point) -> tuple[int, int]:
    return round(point[0] * 16), round(point[1] * 16)
