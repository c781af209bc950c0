"""Annotators' decisions: their journal, which one counts, and how far annotators agree."""
