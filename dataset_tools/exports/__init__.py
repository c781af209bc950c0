"""Exports of a data set: rows and media, redistribution rights, data set card, rebuild recipe."""
