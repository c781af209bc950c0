"""Training: the trainer, run folders, checkpoints, resuming."""
