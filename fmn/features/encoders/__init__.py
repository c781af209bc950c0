"""Pretrained image, video and speech encoders: a common interface, a registry, and adapters for other libraries."""
