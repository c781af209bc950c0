from dataset_tools.classes.usable_intervals import MIN_FRAMES
from fmn.search.query_files import LEAST_FRAMES


def test_the_minimum_length_of_a_clip_is_that_of_data_sets() -> None:
    assert LEAST_FRAMES == MIN_FRAMES  # a copy, since fmn does not import the package of classes
