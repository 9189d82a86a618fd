"""What differs between Linux and macOS: which cores there are, and how to reach oneself."""

import os
import sys

#: The network interface of the machine to itself.
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


def available():
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count()))


def pin(rank):
    """Each rank on a core of its own: they have one thread each, and moving it costs its cache."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {available()[rank]})
