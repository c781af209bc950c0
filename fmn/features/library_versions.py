"""Versions of PyAV and OpenCV, without importing them: cached features are keyed by them, but need no decoder."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def av_version() -> str:
    """Returns ``av.__version__``: the version of its distribution. Without one, PyAV is imported."""
    found = _installed("av")
    if found is None:
        import av

        return av.__version__
    return found


def opencv_version() -> str:
    """Returns ``cv2.__version__``: the version of its distribution, ``4.12.0.88``, without that of the build.

    OpenCV is imported if the distribution is not one of PyPI, or if there are several.
    """
    installed = [found for name in _OPENCV if (found := _installed(name)) is not None]
    released = re.fullmatch(r"(\d+\.\d+\.\d+)\.\d+", installed[0]) if len(installed) == 1 else None
    if released is not None:
        return released[1]
    import cv2

    return cv2.__version__


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
