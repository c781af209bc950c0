"""The synthetic corpus (stand-in): rendered kitchen scenes in MPII Cooking 2's layout.

From plan to picture: `corpus` writes it; `cast` says who cooks what, `agenda` what happens in each video, `director`
what each hand does when, `tracks` where it is in every frame, `render` how that looks. How hard it is: `difficulty`.
"""
