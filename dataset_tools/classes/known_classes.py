"""Class file check: whether a class file contains all classes of a data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError


def check_known(class_ids: Iterable[str], classes: ClassFile, where: Path) -> None:
    """Checks that a class file has every class that rows name.

    Args:
        class_ids: classes of clips or utterances.
        classes: the class file, or its first classes.
        where: the file or folder of these rows, for the message.

    Raises:
        InputError: classes are missing; the message names all of them.
    """
    unknown = sorted(set(class_ids) - {one.id for one in classes.classes})
    if unknown:
        raise InputError(
            f"The class file does not have: {', '.join(unknown)}",
            where=where,
            expected=f"the class file that the data set was built with, not {classes.path}",
            next_step="give it with --class-file, or run fmn-data build again",
        )
