"""Peers that run in a process of their own: PyTorch beside TensorFlow in one process may crash.

The process imports the script that asks, so what the script needs for itself alone is imported only where
`multiprocessing.parent_process() is None`.
"""

import contextlib
import multiprocessing


def in_own_process(make, *arguments):
    """A function that is made, by `make(*arguments)`, and called there; ends with the process that asks."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    context.Process(target=_answer, args=(there, make, arguments), daemon=True).start()

    def ask(*question):
        here.send(question)
        return here.recv()

    return ask


def _answer(asked, make, arguments):
    function = make(*arguments)
    with contextlib.suppress(EOFError):  # the one who asks has ended
        while True:
            asked.send(function(*asked.recv()))
