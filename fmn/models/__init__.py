"""Retrieval models: FMN with its memories and losses, the base class, the baselines."""
