"""Sources of footage and annotations: MPII Cooking 2, your own annotation files, the synthetic (stand-in) corpus."""
