"""The four files of Fashion-MNIST (IDX, plain or gzipped) as numpy arrays."""

import gzip
import os

import numpy


def read_idx(folder, name):
    path = os.path.join(folder, name)
    plain = os.path.exists(path)
    with open(path, "rb") if plain else gzip.open(path + ".gz", "rb") as file:
        data = file.read()
    dims = data[3]
    shape = numpy.frombuffer(data, ">u4", dims, offset=4)
    return numpy.frombuffer(data, "u1", offset=4 + 4 * dims).reshape(shape)


def load(folder, split):
    """@param split "train" or "t10k" @returns pictures [n, 28, 28] and labels [n], both uint8"""
    return read_idx(folder, f"{split}-images-idx3-ubyte"), read_idx(folder, f"{split}-labels-idx1-ubyte")
