"""Layers as Keras means them, for pictures with their channels in front."""

import math

import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    # Of the channels, or of the features.
    "softmax": lambda x: x.softmax(1 if x.dim() == 4 else -1),
}


class Unsupported(Exception):
    """What this program cannot build, in words for people."""


def channels_last(x):
    """As Keras has it; a view."""
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def channels_first(x):
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


class Normalization(nn.modules.batchnorm._BatchNorm):
    """Batch normalization of whatever has its channels in dimension 1, or last where there are two others."""

    def __init__(self, node, specs):
        # PyTorch's momentum is the share of the new, Keras' that of the old.
        statistic = specs[node["movingMean"]]
        super().__init__(statistic["size"], eps=node["epsilon"], momentum=1 - statistic["momentum"], affine=False)
        for own, name in (("weight", "gamma"), ("bias", "beta")):
            if name in node:
                setattr(self, own, nn.Parameter(torch.empty(self.num_features)))

    def _check_input_dim(self, x):
        pass

    def forward(self, x):
        return super().forward(x.movedim(-1, 1)).movedim(1, -1) if x.dim() == 3 else super().forward(x)


class Dense(nn.Linear):
    """Contracts the channels, or the last dimension."""

    def forward(self, x):
        return super().forward(x) if x.dim() < 4 else channels_first(super().forward(channels_last(x)))


class Windowed(nn.Module):
    """
    Anything with a window over a picture.
    @param around where Keras pads one row or column more at the bottom or right, as it does with a stride of 2, to pad as
    much on all sides: shapes and work are the same, and a copy of the picture less, since PyTorch's layers pad by
    themselves only so.
    """

    def __init__(self, node, around, padding_value=0.0):
        super().__init__()
        window = node["window"]
        self.stride = tuple(window["strides"])
        self.size = tuple(window["size"])
        top, bottom, left, right = (window["padding"][side] for side in ("top", "bottom", "left", "right"))
        self.padding_value = padding_value
        self.apart = None
        self.padding = (bottom, right)
        is_even = (top, left) == (bottom, right)
        if not is_even and not (around and min(self.stride) > 1):
            self.apart = (left, right, top, bottom)
            self.padding = (0, 0)

    def padded(self, x):
        return x if self.apart is None else F.pad(x, self.apart, value=self.padding_value)


class Convolution(Windowed):
    def __init__(self, node, around, shape, depthwise):
        super().__init__(node, around)
        height, width, channels, filters = shape
        self.groups = channels if depthwise else 1
        outputs = channels * filters if depthwise else filters
        self.weight = nn.Parameter(torch.empty(outputs, channels // self.groups, height, width))
        self.bias = nn.Parameter(torch.empty(outputs)) if "bias" in node else None

    def forward(self, x):
        return F.conv2d(self.padded(x), self.weight, self.bias, self.stride, self.padding, groups=self.groups)


class MaxPool(Windowed):
    def __init__(self, node, around):
        super().__init__(node, around, -math.inf)

    def forward(self, x):
        return F.max_pool2d(self.padded(x), self.size, self.stride, self.padding)


class AveragePool(Windowed):
    """Padding counts neither in the sum nor in the divisor."""

    def forward(self, x):
        if self.apart is None:
            return F.avg_pool2d(x, self.size, self.stride, self.padding, count_include_pad=False)
        sums = F.avg_pool2d(self.padded(x), self.size, self.stride, divisor_override=1)
        ones = x.new_ones(1, 1, *x.shape[2:])
        return sums / F.avg_pool2d(self.padded(ones), self.size, self.stride, divisor_override=1)
