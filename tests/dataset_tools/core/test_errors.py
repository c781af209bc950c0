from __future__ import annotations

import pickle

import pytest

from dataset_tools.core.errors import InputError, ManifestError, SampleError, StoppedError, ToolkitError


@pytest.mark.parametrize(
    ("kind", "code"), [(InputError, 2), (ManifestError, 2), (SampleError, 1), (StoppedError, 3), (ToolkitError, 2)]
)
def test_exit_codes_are_the_promised_ones(kind: type[ToolkitError], code: int) -> None:
    assert issubclass(kind, ToolkitError)
    assert kind("x").exit_code == code


def test_a_message_shows_every_part_that_is_there() -> None:
    error = InputError("It is broken", where="a.mat", expected="a whole file", next_step="copy it again")
    assert str(error) == "It is broken\n  where: a.mat\n  expected: a whole file\n  next: copy it again"
    assert str(InputError("It is broken")) == "It is broken"


def test_an_error_comes_back_whole_from_a_worker_process() -> None:
    error = SampleError("It is broken", where="clip 3", next_step="retry")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is SampleError
    assert copy.as_dict() == {"found": "It is broken", "where": "clip 3", "next": "retry"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:s3cret@mirror.example/a", "http://…@mirror.example/a"),
        ("ray://:s3c@ret@10.0.0.1:10001", "ray://…@10.0.0.1:10001"),
        ("https://s3cret@host", "https://…@host"),
        ("https://host/a@b", "https://host/a@b"),
        ("mail owner@localhost", "mail owner@localhost"),
    ],
)
def test_no_part_of_an_error_shows_a_password_of_a_url(url: str, shown: str) -> None:
    error = InputError(f"No {url}", where=url, expected=f"not {url}", next_step=f"ask {url}")
    expected = {"found": f"No {shown}", "where": shown, "expected": f"not {shown}", "next": f"ask {shown}"}
    assert error.as_dict() == expected
    assert pickle.loads(pickle.dumps(error)).as_dict() == expected
    assert "s3c" not in repr(error) + str(error)
