"""The models of packages/engine/src/zoo in PyTorch: same layers, same initial distributions, logits at the end."""

from torch import nn

PIXELS = 28 * 28


def glorot(layer):
    """Keras' initial weights of dense and convolutional layers."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def mlp():
    return nn.Sequential(
        nn.Flatten(),
        glorot(nn.Linear(PIXELS, 256)),
        nn.ReLU(),
        glorot(nn.Linear(256, 10)),
    )


def cnn():
    return nn.Sequential(
        glorot(nn.Conv2d(1, 32, 3)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        glorot(nn.Conv2d(32, 64, 3)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        glorot(nn.Linear(64 * 5 * 5, 128)),
        nn.ReLU(),
        nn.Dropout(0.3),
        glorot(nn.Linear(128, 10)),
    )


def convolution(channels, filters, size, stride):
    """
    Keras pads a stride of 2 at the bottom and right only. PyTorch can do that by a layer of its own, which costs a
    copy; padded on all sides the shapes and the work are the same.
    """
    layer = nn.Conv2d(channels, filters, size, stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight)
    return layer


def normalization(channels):
    # PyTorch's momentum is the share of the new; Keras' is that of the old, 0.9.
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)


class Stage(nn.Module):
    """One basic block (He et al., 2016)."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        self.branch = nn.Sequential(
            convolution(channels, filters, 3, stride),
            normalization(filters),
            nn.ReLU(inplace=True),
            convolution(filters, filters, 3, 1),
            normalization(filters),
        )
        self.shortcut = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(convolution(channels, filters, 1, stride), normalization(filters))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.branch(x) + self.shortcut(x))


def resnet():
    return nn.Sequential(
        convolution(1, 16, 3, 1),
        normalization(16),
        nn.ReLU(inplace=True),
        Stage(16, 16, 1),
        Stage(16, 32, 2),
        Stage(32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        glorot(nn.Linear(64, 10)),
    )


MODELS = {"mlp": mlp, "cnn": cnn, "resnet": resnet}


def parameter_count(net):
    """Weights and moving statistics, as Lockstep counts; PyTorch's count of batches is neither."""
    buffers = (buffer for name, buffer in net.named_buffers() if not name.endswith("num_batches_tracked"))
    return sum(tensor.numel() for tensor in [*net.parameters(), *buffers])
