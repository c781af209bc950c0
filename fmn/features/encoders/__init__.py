"""Pretrained encoders of pictures, video and speech: one interface, a registry, and adapters of other libraries."""
