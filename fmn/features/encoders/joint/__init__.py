"""Joint encoders: models that put clips and speech into one space."""
