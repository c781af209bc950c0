"""MPII Cooking 2 as it is distributed: annotations, videos, official split, download."""
