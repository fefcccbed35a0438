"""Training examples: augmentation, crops, batches."""
