"""Student's interval of a mean, against a table of its quantiles."""

from __future__ import annotations

import numpy as np
import pytest

from fmn.metrics.t_interval import t_interval


def test_the_half_width_is_that_of_the_table():
    mean, half = t_interval(np.array([1.0, 2.0, 3.0, 4.0]))  # standard deviation 1.291; t = 3.1824 at 3 degrees
    assert (mean, half) == (2.5, pytest.approx(3.1824 * 1.29099 / 2, rel=1e-4))


def test_one_value_has_no_interval():
    assert t_interval(np.array([7.0])) == (7.0, float("inf"))
