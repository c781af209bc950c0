"""``fmn serve``: search, exploration and error analysis of a run in the browser."""
