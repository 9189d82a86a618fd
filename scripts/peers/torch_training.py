"""Training in PyTorch, for one process or a rank of several: data in memory, Adam, an epoch at a time."""

import argparse
import time

import torch
import torch.nn.functional as F

import fashion_mnist
from torch_models import read_network


def parse_options(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--network", required=True, help="file of networks.js")
    parser.add_argument("--batch", type=int, default=512, help="global batch")
    parser.add_argument("--samples", type=int, required=True, help="of an epoch")
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--channels-last", action="store_true")
    return parser.parse_args()


class Trainer:
    """@param wrap what makes the model a distributed one"""

    def __init__(self, options, rank=0, world=1, wrap=lambda net: net):
        self.layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self.rank, self.world, self.batch = rank, world, options.batch
        images, labels = fashion_mnist.load(options.data_dir, "train")
        # As float32, scaled once: to gather four bytes a pixel takes less time than to convert one in every step.
        self.images = torch.tensor(images[: options.samples]).view(-1, 1, 28, 28).float().div_(255)
        self.labels = torch.tensor(labels[: options.samples]).long()
        torch.manual_seed(0)
        self.net = wrap(read_network(options.network).to(memory_format=self.layout).train())
        # One pass over each parameter instead of a dozen operations.
        self.adam = torch.optim.Adam(self.net.parameters(), lr=0.001, fused=True)
        self.shuffle = torch.Generator().manual_seed(0)

    def epoch(self):
        """One pass in a new order, the same on all ranks; each takes its part of every global batch."""
        order = torch.randperm(len(self.labels), generator=self.shuffle)
        for batch in order.split(self.batch):
            part = batch.tensor_split(self.world)[self.rank]
            images = self.images.index_select(0, part).to(memory_format=self.layout)
            self.adam.zero_grad(set_to_none=True)
            F.cross_entropy(self.net(images), self.labels.index_select(0, part)).backward()
            self.adam.step()

    def timed_epoch(self):
        """@returns samples per second, over all ranks"""
        started = time.perf_counter()
        self.epoch()
        return len(self.labels) / (time.perf_counter() - started)
