"""Sources of footage and annotations: MPII Cooking 2, annotation files of one's own, the synthetic corpus."""
