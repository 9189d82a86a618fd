"""The rate of a large float32 matrix product on one thread through numpy or torch: what the core can do, in GFLOP/s."""

import os
import sys

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

from lines import rate, serve  # noqa: E402

SIZE = 1024
GFLOP = 2 * SIZE**3 / 1e9

if sys.argv[1] == "numpy":
    import numpy

    a, b = numpy.random.default_rng(0).random((2, SIZE, SIZE), dtype="float32")
else:
    import torch

    torch.set_num_threads(1)
    a, b = torch.rand(2, SIZE, SIZE)


def block(seconds):
    return rate(lambda: a @ b, GFLOP, seconds)


serve({}, block)
