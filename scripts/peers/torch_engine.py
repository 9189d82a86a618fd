"""PyTorch on one thread: forward and backward of one micro-batch, eager mode."""

import argparse

import torch
import torch.nn.functional as F

from lines import rate, serve
from torch_models import read_network

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--network", required=True, help="file of networks.js")
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--channels-last", action="store_true")
options = parser.parse_args()

torch.set_num_threads(1)
torch.set_num_interop_threads(1)
layout = torch.channels_last if options.channels_last else torch.contiguous_format
net = read_network(options.network).to(memory_format=layout).train()
# Scaled float32 pictures, ready in memory: Lockstep's engine scales from uint8 in every step.
images = torch.rand(options.batch, 1, 28, 28)
# Black on the left half, as Lockstep's are.
images[..., :14] = 0
images = images.to(memory_format=layout)
labels = torch.randint(10, (options.batch,))


def step():
    # Gradients are dropped and not zeroed: backward then writes instead of adding.
    net.zero_grad(set_to_none=True)
    F.cross_entropy(net(images), labels).backward()


def block(seconds):
    return rate(step, options.batch, seconds)


serve({"versions": {"torch": torch.__version__}, "parameters": net.num_parameters()}, block)
