"""Batches of stills for training, on any backend of Keras."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count, islice
from typing import Any

import numpy as np

from studykit.stills import Still, StillSet


class Batches:
    """Batches of stills without end; a pass over the stills is `len` of them.

    Batch n depends only on `seed` and n: a run that was stopped goes on with the very batches it would have had.
    Each pass takes every still once, in an order of its own; batches straddle passes, so that all are full.

    Parameters
    ----------
    stills : StillSet
    encode : callable
        ``encode(list of Still) -> (inputs, targets)`` as the network wants them.
    batch_size : int
    augmentation : callable, optional
        ``augmentation(still, keypoints, rng) -> Still``, such as an `Augmentation`.
    seed : int
    """

    def __init__(
        self,
        stills: StillSet,
        encode: Callable[[list[Still]], Any],
        batch_size: int,
        *,
        augmentation: Callable | None = None,
        seed: int | None = 0,
    ) -> None:
        """Keep the arguments."""
        if not len(stills):
            raise ValueError("expected at least one still to train on, got none")
        self.stills, self.encode, self.batch_size = stills, encode, batch_size
        self.augmentation, self.seed = augmentation, seed

    def __len__(self) -> int:
        return -(-len(self.stills) // self.batch_size)

    def __getitem__(self, number: int) -> Any:
        return self.encode(self.examples(number))

    def examples(self, number: int) -> list[Still]:
        """The stills of one batch, augmented."""
        chosen = [self.stills[i] for i in self.numbers(number)]
        if self.augmentation is None:
            return chosen
        rng = np.random.default_rng([self.seed, number])
        return [self.augmentation(still, self.stills.keypoints, rng) for still in chosen]

    def first(self, size: int) -> list[Still]:
        """So many examples, from the first batch on."""
        return list(islice(chain.from_iterable(map(self.examples, count())), size))

    def numbers(self, number: int) -> Sequence[int]:
        """Which stills are in a batch."""
        at = np.arange(number * self.batch_size, (number + 1) * self.batch_size)
        passes = {p: self._order(p) for p in set(at // len(self.stills))}
        return [passes[i // len(self.stills)][i % len(self.stills)] for i in at]

    def _order(self, turn: int) -> Any:
        """The order of the stills in one pass."""
        return np.random.default_rng([self.seed, 1, turn]).permutation(len(self.stills))


class Buckets(Batches):
    """Batches of stills of different sizes: each holds images whose padded sizes are equal.

    With a multiple as small as the network's own factor, an image is padded no more than it would be alone, so that
    a batch costs and teaches what its images would one by one (equal to rounding, as tests hold it). A larger multiple
    makes fewer, fuller batches; zeros beyond an image then change its outputs a little, near that border.

    Parameters
    ----------
    stills, encode, batch_size
        As of `Batches`; the last batch of a bucket may be short.
    multiple : int
        px.
    seed : int or None
        None takes the stills in their order.
    """

    def __init__(
        self,
        stills: Sequence[Still],
        encode: Callable[[list[Still]], Any],
        batch_size: int,
        multiple: int,
        *,
        seed: int | None = None,
    ) -> None:
        """Sort the stills by their padded size."""
        super().__init__(stills, encode, batch_size, seed=seed)
        self.buckets: dict[tuple, list[int]] = {}
        for number, still in enumerate(stills):
            self.buckets.setdefault(padded_size(still.image.shape[:2], multiple), []).append(number)
        self._pass = None, []

    def __len__(self) -> int:
        return sum(-(-len(members) // self.batch_size) for members in self.buckets.values())

    def numbers(self, number: int) -> Sequence[int]:
        """Which stills are in a batch; batches go on in further passes, each in an order of its own."""
        turn, place = divmod(number, len(self))
        if self._pass[0] != turn:
            self._pass = turn, self._order(turn)
        return self._pass[1][place]

    def _order(self, turn: int) -> Any:
        rng = None if self.seed is None else np.random.default_rng([self.seed, turn])
        batches = []
        for members in self.buckets.values():
            order = members if rng is None else rng.permutation(members)
            batches += [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        return batches if rng is None else [batches[i] for i in rng.permutation(len(batches))]


def padded_size(size: Sequence[int], multiple: int) -> tuple[int, ...]:
    """Height and width rounded up to multiples of so many px."""
    return tuple(-(-length // multiple) * multiple for length in size)


def ahead(items: Iterable, depth: int) -> Iterator:
    """The items of an iterable, up to `depth` of them made beforehand by a thread; its errors are raised here."""
    items, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming = deque(pool.submit(next, items, end) for _ in range(depth))
        try:
            while (item := coming.popleft().result()) is not end:
                coming.append(pool.submit(next, items, end))
                yield item
        finally:
            pool.shutdown(cancel_futures=True)
