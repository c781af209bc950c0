"""What several systems share: towers, classifiers, correlations, margins, features."""
