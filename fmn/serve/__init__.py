"""The page of a run in the browser: search, and what goes wrong."""
