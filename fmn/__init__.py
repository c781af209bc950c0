"""The Feature Memory Network of Li et al. (2022), in the order of the paper."""
