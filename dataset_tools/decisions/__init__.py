"""Annotators' decisions: journal, majority rule, agreement."""
