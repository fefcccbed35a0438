"""Batches of images of different sizes: those that are equal once padded go together."""

from collections.abc import Sequence

import numpy as np


def padded_size(size, multiple):
    """Height and width rounded up to multiples of so many px."""
    return tuple(-(-length // multiple) * multiple for length in size)


class Buckets(Sequence):
    """Batches of stills of different sizes: each holds images whose padded sizes are equal.

    With a multiple as small as the network's own factor, an image is padded no more than it would be alone, so that
    a batch costs and teaches what its images would one by one (equal to rounding, as tests hold it). A larger multiple
    makes fewer, fuller batches; zeros beyond an image then change its outputs a little, near that border.

    Parameters
    ----------
    stills : sequence of Still
    encode : callable
        ``encode(list of Still) -> (inputs, targets)``.
    batch_size : int
        1, as in the paper, or more; the last batch of a bucket may be short.
    multiple : int
        px.
    seed : int or None
        None takes the stills in their order.
    """

    def __init__(self, stills, encode, batch_size, multiple, *, seed=None):
        """Sort the stills by their padded size."""
        if not len(stills):
            raise ValueError("expected at least one still, got none")
        self.stills, self.encode, self.batch_size, self.seed = stills, encode, batch_size, seed
        self.buckets = {}
        for number, still in enumerate(stills):
            self.buckets.setdefault(padded_size(still.image.shape[:2], multiple), []).append(number)
        self._pass = None, []

    def __len__(self):
        return sum(-(-len(members) // self.batch_size) for members in self.buckets.values())

    def __getitem__(self, number):
        return self.encode([self.stills[i] for i in self.numbers(number)])

    def numbers(self, number):
        """Which stills are in a batch; batches go on in further passes, each in an order of its own."""
        turn, place = divmod(number, len(self))
        if self._pass[0] != turn:
            self._pass = turn, self._order(turn)
        return self._pass[1][place]

    def _order(self, turn):
        rng = None if self.seed is None else np.random.default_rng([self.seed, turn])
        batches = []
        for members in self.buckets.values():
            order = members if rng is None else rng.permutation(members)
            batches += [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        return batches if rng is None else [batches[i] for i in rng.permutation(len(batches))]
