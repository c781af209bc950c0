"""Items of a manifest, their features as tensors, batches, augmentation."""
