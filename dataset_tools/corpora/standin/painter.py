"""Sprite painter: small RGBA images composed of parts with color, grain, roundness and gloss.

Colors are BGR, 0 to 255, as in OpenCV. Coordinates are pixels of the frame, relative to the center of the sprite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]  # uint8; not specified by OpenCV's type hints
Plane = NDArray[Any]  # float32
Color = tuple[float, float, float]
Point = tuple[float, float]

SUPERSAMPLING = 4
_LIGHT = np.array([-0.45, -0.55, 0.70], np.float32)  # from the upper left


@dataclass(frozen=True)
class Sprite:
    """An image with premultiplied alpha that can be laid over another one, positioned by its center.

    Attributes:
        color: BGR, premultiplied by alpha: uint8 [H, W, 3].
        alpha: 0 to 255: uint8 [H, W].
    """

    color: Image
    alpha: Image


def noise(rng: np.random.Generator, shape: tuple[int, int], grain_px: float) -> Plane:
    """Returns smooth noise of mean 0 and standard deviation 1: float32 [H, W]; ``grain_px`` is its spot size."""
    coarse = (max(2, int(shape[0] / grain_px) + 2), max(2, int(shape[1] / grain_px) + 2))
    field: Plane = rng.standard_normal(coarse).astype(np.float32)
    field = np.asarray(cv2.resize(field, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC))
    field = field - field.mean()
    return np.asarray(field / max(float(field.std()), 1e-6), np.float32)


class Painter:
    """Paints a sprite of at most ``width_px`` × ``height_px``, part over part.

    Attributes:
        zoom: pixels of the frame per unit of the coordinates.
    """

    zoom = 1.0

    def __init__(self, width_px: float, height_px: float, rng: np.random.Generator) -> None:
        margin = 2
        self._half = np.array([np.ceil(width_px / 2) + margin, np.ceil(height_px / 2) + margin])
        width, height = (2 * self._half * SUPERSAMPLING).astype(int)
        self._color = np.zeros((height, width, 3), np.float32)
        self._alpha = np.zeros((height, width), np.float32)
        self._rng = rng

    def ellipse(self, center: Point, radii: Point, color: Color, **style: Any) -> None:
        mask = np.zeros(self._alpha.shape, np.uint8)
        size = tuple(max(1, round(radius * SUPERSAMPLING)) for radius in radii)
        cv2.ellipse(mask, self._point(center), size, 0, 0, 360, 255, -1)
        self.part(mask, color, **style)

    def ring(self, center: Point, radius_px: float, thickness_px: float, color: Color, **style: Any) -> None:
        mask = np.zeros(self._alpha.shape, np.uint8)
        thickness = max(1, round(thickness_px * SUPERSAMPLING))
        cv2.circle(mask, self._point(center), round(radius_px * SUPERSAMPLING), 255, thickness)
        self.part(mask, color, **style)

    def polygon(self, points: Sequence[Point], color: Color, *, corner_px: float = 0.0, **style: Any) -> None:
        """Paints a filled polygon; ``corner_px`` rounds its corners (and enlarges it by as much)."""
        mask = np.zeros(self._alpha.shape, np.uint8)
        corners = np.array([self._point(point) for point in points], np.int32)
        cv2.fillPoly(mask, [corners], 255)
        if corner_px > 0:
            cv2.polylines(mask, [corners], True, 255, max(1, round(2 * corner_px * SUPERSAMPLING)))
        self.part(mask, color, **style)

    def stroke(self, points: Sequence[Point], width_px: float, color: Color, **style: Any) -> None:
        """Paints a line with round ends."""
        mask = np.zeros(self._alpha.shape, np.uint8)
        line = np.array([self._point(point) for point in points], np.int32)
        cv2.polylines(mask, [line], False, 255, max(1, round(width_px * SUPERSAMPLING)))
        self.part(mask, color, **style)

    def part(
        self,
        mask: Image,
        color: Color,
        *,
        grain: float = 0.06,
        grain_px: float = 3.0,
        round_px: float = 0.0,
        gloss: float = 0.0,
        opacity: float = 1.0,
        edge: float = 0.0,
    ) -> None:
        """Paints where ``mask`` is set.

        Args:
            mask: uint8 [H, W], supersampled.
            color: BGR.
            grain: standard deviation of the texture, relative to the color.
            grain_px: size of its spots.
            round_px: distance from the edge over which the part is curved; 0 is flat.
            gloss: strength of the highlight on a curved part.
            opacity: 0 to 1.
            edge: how much darker the outline is.
        """
        left, top, width, height = cv2.boundingRect(mask)
        here = (slice(top, top + height), slice(left, left + width))
        inside = mask[here]
        light = np.ones(inside.shape, np.float32)
        if grain > 0:
            light += grain * noise(self._rng, (height, width), grain_px * SUPERSAMPLING)
        shine = np.zeros(inside.shape, np.float32)
        if round_px > 0 or edge > 0:
            depth = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 3)[1:-1, 1:-1] / SUPERSAMPLING
        if round_px > 0:
            rise = 1 - np.clip(depth / round_px, 0, 1)
            surface: Plane = cv2.GaussianBlur(np.sqrt(np.clip(1 - rise**2, 0, 1)) * round_px, (0, 0), SUPERSAMPLING)
            slope_x: Plane = cv2.Sobel(surface, cv2.CV_32F, 1, 0, ksize=3) / 8 * SUPERSAMPLING
            slope_y: Plane = cv2.Sobel(surface, cv2.CV_32F, 0, 1, ksize=3) / 8 * SUPERSAMPLING
            steep = np.sqrt(slope_x**2 + slope_y**2 + 1)
            facing = (-slope_x * _LIGHT[0] - slope_y * _LIGHT[1] + _LIGHT[2]) / steep
            light *= 0.55 + 0.6 * np.clip(facing, 0, 1)
            shine = gloss * 255 * np.clip(facing, 0, 1) ** 24
        if edge > 0:
            light *= 1 - edge * np.exp(-depth / 0.8)
        cover = (inside.astype(np.float32) / 255 * opacity)[..., None]
        painted = np.clip(np.array(color, np.float32) * light[..., None] + shine[..., None], 0, 255)
        self._color[here] = self._color[here] * (1 - cover) + painted * cover
        self._alpha[here] = self._alpha[here] * (1 - cover[..., 0]) + cover[..., 0]

    def sprite(self) -> Sprite:
        """Returns the painted sprite."""
        size = tuple(np.round(2 * self._half * self.zoom).astype(int))
        color = cv2.resize(self._color, size, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(self._alpha, size, interpolation=cv2.INTER_AREA)
        return Sprite(np.round(color).astype(np.uint8), np.round(alpha * 255).astype(np.uint8))

    def _point(self, point: Point) -> tuple[int, int]:
        x, y = (np.array(point) + self._half) * SUPERSAMPLING
        return round(float(x)), round(float(y))


def turned(sprite: Sprite, angle_deg: float, scale: float = 1.0) -> Sprite:
    """Returns the sprite rotated clockwise by ``angle_deg`` about its center, and scaled."""
    height, width = sprite.alpha.shape
    cosine, sine = abs(np.cos(np.radians(angle_deg))), abs(np.sin(np.radians(angle_deg)))
    size = 2 * np.ceil(scale * np.array([width * cosine + height * sine, width * sine + height * cosine]) / 2)
    matrix: Plane = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), -angle_deg, scale)
    matrix[:, 2] += size / 2 - np.array([width / 2, height / 2])
    target = (int(size[0]), int(size[1]))
    return Sprite(cv2.warpAffine(sprite.color, matrix, target), cv2.warpAffine(sprite.alpha, matrix, target))


def lay(image: Image, sprite: Sprite, center: Point) -> None:
    """Lays a sprite over ``image`` (BGR uint8 [H, W, 3], modified in place), centered at ``center``."""
    place = _overlap(image, sprite.alpha.shape, center)
    if place is None:
        return
    target, source = place
    patch = image[target]
    through = cv2.cvtColor(255 - sprite.alpha[source], cv2.COLOR_GRAY2BGR)
    kept = cv2.multiply(patch, through, scale=1 / 255)
    cv2.add(kept, sprite.color[source], dst=kept)
    image[target] = kept


def lay_shadow(image: Image, alpha: Image, center: Point, *, strength: float) -> None:
    """Darkens ``image`` in place with the shadow of something with that ``alpha``."""
    alpha = cv2.blur(cv2.copyMakeBorder(alpha, 5, 5, 5, 5, cv2.BORDER_CONSTANT), (5, 5))
    place = _overlap(image, alpha.shape, center)
    if place is None:
        return
    target, source = place
    through = cv2.convertScaleAbs(alpha[source], alpha=-strength, beta=0)  # |−s·a| = s·a
    image[target] = cv2.multiply(image[target], cv2.cvtColor(255 - through, cv2.COLOR_GRAY2BGR), scale=1 / 255)


def _overlap(
    image: Image, shape: tuple[int, ...], center: Point
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Returns the region of ``image`` covered by an image of this shape, and its visible part; None if outside."""
    top = round(center[1] - shape[0] / 2)
    left = round(center[0] - shape[1] / 2)
    first_row, last_row = max(0, top), min(image.shape[0], top + shape[0])
    first_column, last_column = max(0, left), min(image.shape[1], left + shape[1])
    if first_row >= last_row or first_column >= last_column:
        return None
    return (
        (slice(first_row, last_row), slice(first_column, last_column)),
        (slice(first_row - top, last_row - top), slice(first_column - left, last_column - left)),
    )
