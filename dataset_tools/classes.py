"""The classes: load them, tell which one an interval belongs to, count their support, propose a set.

Each has a file of its own; these are the names to import.
"""

from __future__ import annotations

from dataset_tools.class_file import load_classes
from dataset_tools.class_matching import Classification, classify
from dataset_tools.class_support import ClassSupport, audit
from dataset_tools.class_words import ActionClass, ActionWord, ClassFile, ThingWord

__all__ = [
    "ActionClass",
    "ActionWord",
    "ClassFile",
    "ClassSupport",
    "Classification",
    "ThingWord",
    "audit",
    "classify",
    "load_classes",
]
