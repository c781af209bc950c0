"""The Feature Memory Network of Li et al. (2022): training, evaluation, search."""
