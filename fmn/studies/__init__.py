"""What a choice of the model is worth: ablations, tuning, classes learned later. Everything is judged on fold 0."""
