"""The synthetic corpus (stand-in): rendered kitchen scenes in MPII Cooking 2's layout.

`standin_corpus` writes the corpus. `cast` assigns persons to dishes, `agenda` plans the intervals of each video,
`director` schedules the hands' actions, `tracks` computes their positions in every frame, and `render` draws the
frames. `difficulty` defines the difficulty levels.
"""
