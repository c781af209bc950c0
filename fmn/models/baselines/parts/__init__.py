"""Building blocks of baselines: towers, classifiers, correlation, margins, features."""
