"""One subject's side of the conversation with ../peers.js: JSON lines on standard input and output."""

import json
import os
import sys
import time

# The lines go to a copy of standard output, and all else that prints there (C++ logs too) to standard error.
_lines = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def send(message):
    print(json.dumps(message), file=_lines, flush=True)


def serve(hello, block):
    """Says hello, then answers every line with the rate of a block, in samples per second."""
    send(hello)
    for line in sys.stdin:
        send({"rate": block(**json.loads(line))})


def rate(step, samples, seconds):
    """Repeats a step of so many samples for at least so many seconds."""
    started = time.perf_counter()
    done = 0
    while True:
        step()
        done += samples
        elapsed = time.perf_counter() - started
        if elapsed >= seconds:
            return done / elapsed
