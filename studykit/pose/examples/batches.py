"""Batches of stills for training, on any backend of Keras."""

from collections.abc import Sequence

import numpy as np


class Batches(Sequence):
    """Batches of stills for training, on any backend of Keras.

    Batch n depends only on `seed` and n: a run that was stopped goes on with the very batches it would have had.
    Each pass takes every still once, in an order of its own; batches straddle passes, so that all are full.

    Parameters
    ----------
    stills : StillSet
    encode : callable
        ``encode(list of Still) -> (inputs, targets)`` as the network wants them.
    batch_size : int
    augmentation : Augmentation or None
        None leaves the stills as they are.
    shuffle : bool
        False takes the stills once in their order, the last batch short.
    seed : int
    steps : int, optional
        How many batches there are; a pass over the stills if not given.
    first : int
        Number of the first batch, to go on with a stopped run.
    """

    def __init__(self, stills, encode, batch_size, *, augmentation=None, shuffle=True, seed=0, steps=None, first=0):
        """Keep the arguments."""
        if not len(stills):
            raise ValueError("expected at least one still to train on, got none")
        self.stills, self.encode, self.batch_size = stills, encode, batch_size
        self.augmentation, self.shuffle, self.seed, self.first = augmentation, shuffle, seed, first
        self.steps = steps if steps is not None else -(-len(stills) // batch_size)

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        return self.encode(self.examples(index))

    def examples(self, index):
        """The stills of one batch, augmented."""
        number = self.first + index
        rng = np.random.default_rng([self.seed, number])
        chosen = [self.stills[i] for i in self._numbers(number)]
        if self.augmentation is None:
            return chosen
        return [self.augmentation(still, self.stills.keypoints, rng) for still in chosen]

    def _numbers(self, number):
        at = np.arange(number * self.batch_size, (number + 1) * self.batch_size)
        if not self.shuffle:
            return at[at < len(self.stills)]
        passes = {p: _order(self.seed, p, len(self.stills)) for p in set(at // len(self.stills))}
        return [passes[i // len(self.stills)][i % len(self.stills)] for i in at]


def _order(seed, number, length):
    """The order of the stills in one pass."""
    return np.random.default_rng([seed, 1, number]).permutation(length)
