"""Joint encoders: models that embed clips and speech in a common space."""
