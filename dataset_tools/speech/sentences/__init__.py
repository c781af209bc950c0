"""Sentences of clips: a grammar in English and Chinese, and human-written ones."""
