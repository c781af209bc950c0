from __future__ import annotations

import pytest

from dataset_tools.core.renamed_options import with_new_names


def test_names_and_values_are_renamed_where_the_command_has_the_new_one() -> None:
    has = {"--annotations", "--out", "-o", "--form"}
    assert with_new_names(["--intervals", "a.csv", "--output=b"], has) == ["--annotations", "a.csv", "--out=b"]
    assert with_new_names(["--form", "printed"], has) == ["--form", "as-published"]
    assert with_new_names(["--form=working", "x"], has) == ["--form=standard", "x"]
    assert with_new_names(["--third-look"], has) == ["--third-look"]  # there is no such option: the parser says so
    assert with_new_names(["--", "--output"], has) == ["--", "--output"]


def test_an_old_name_that_is_an_option_here_is_left_alone() -> None:
    assert with_new_names(["--classes", "20"], {"--classes", "--held-out-classes"}) == ["--classes", "20"]


def test_new_names_give_no_notice(capsys: pytest.CaptureFixture[str]) -> None:
    with_new_names(["--out", "b", "--form", "standard"], {"--out", "--form"})
    assert capsys.readouterr().err == ""
