"""Studies of the model on the validation split: ablation, tuning, few-shot new classes."""
