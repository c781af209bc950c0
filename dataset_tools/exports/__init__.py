"""Exports of a data set: its rows and media, what may be passed on, the data set card, how to build it again."""
