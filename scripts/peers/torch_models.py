"""Lockstep's models in PyTorch, built from the file that networks.js writes."""

import json

import bench_python  # noqa: F401
from network import Network


def read_network(path):
    """Where Keras pads below and to the right alone, it pads all around: shapes and work are the same, without a copy."""
    with open(path) as file:
        return Network(json.load(file), around=True)
