"""Pictures in memory as bytes, and batches of them: mirrored, moved and erased at random with Lockstep's distributions."""

import math
import os

import torch
import torch.nn.functional as F

#: Zhong and others, 2017, "Random erasing": share of the area, and height over width.
LEAST_AREA, MOST_AREA = 0.02, 0.4
LEAST_ASPECT, MOST_ASPECT = 0.3, 1 / 0.3


def read_idx(folder, name):
    """@returns the array of an IDX file, uint8"""
    with open(os.path.join(folder, name), "rb") as file:
        data = bytearray(file.read())
    dims = data[3]
    shape = [int.from_bytes(data[at : at + 4], "big") for at in range(4, 4 + 4 * dims, 4)]
    return torch.frombuffer(data, dtype=torch.uint8, offset=4 + 4 * dims).view(shape)


def load(folder, split, limit):
    """@param split "train" or "t10k" @returns the first pictures [n, 28, 28], uint8, and their labels [n], int64"""
    pictures = read_idx(folder, f"{split}-images-idx3-ubyte")[:limit]
    return pictures, read_idx(folder, f"{split}-labels-idx1-ubyte")[:limit].long()


def scaled(pictures, layout):
    """As the network takes them: [n, 1, height, width], 0 to 1."""
    return pictures.unsqueeze(1).to(torch.float32, memory_format=layout).mul_(1 / 255)


class Augmenter:
    """
    Draws what happens to all pictures of an epoch at once. Each is stored with its margin, and its mirror image too, so that
    one indexing operation finds, mirrors and moves a batch.
    """

    def __init__(self, pictures, flip, shift, erase):
        self.count, self.height, self.width = pictures.shape
        self.flip, self.shift, self.erase = flip, shift, erase
        self.pictures = pictures
        if flip or shift > 0:
            stored = F.pad(pictures, (shift,) * 4)
            ways = torch.stack([stored, stored.flip(-1)]) if flip else stored.unsqueeze(0)
            # [mirrored, picture, down, right, height, width]: every place of the window, without a copy.
            self.views = ways.unfold(2, self.height, 1).unfold(3, self.width, 1)
        self.mirrored = torch.randint(2, (self.count,)) if flip else torch.zeros(self.count, dtype=torch.long)
        self.rows = torch.arange(self.height).view(1, -1, 1)
        self.columns = torch.arange(self.width).view(1, 1, -1)

    def begin_epoch(self):
        if self.flip:
            self.mirrored = 1 - self.mirrored
        self.down, self.right = torch.randint(2 * self.shift + 1, (2, self.count))
        if self.erase > 0:
            self.rectangles = self.draw_rectangles()

    def draw_rectangles(self):
        """@returns [picture, (top, left, bottom, right)], all 0 where nothing is erased"""
        rectangles = torch.zeros(self.count, 4, dtype=torch.long)
        # As often as it takes until each fits into its picture.
        left_over = (torch.rand(self.count) < self.erase).nonzero().squeeze(1)
        while len(left_over) > 0:
            share, aspect, down, right = torch.rand(4, len(left_over))
            area = (LEAST_AREA + share * (MOST_AREA - LEAST_AREA)) * self.height * self.width
            aspect = LEAST_ASPECT + aspect * (MOST_ASPECT - LEAST_ASPECT)
            height = (area * aspect).sqrt().round().long()
            width = (area / aspect).sqrt().round().long()
            top = (down * (self.height - height + 1)).long()
            left = (right * (self.width - width + 1)).long()
            fits = (height <= self.height) & (width <= self.width)
            drawn = torch.stack([top, left, top + height, left + width], 1)
            rectangles[left_over[fits]] = drawn[fits]
            left_over = left_over[~fits]
        return rectangles

    def batch(self, indices):
        """@returns changed pictures [n, height, width], uint8"""
        if self.flip or self.shift > 0:
            pictures = self.views[self.mirrored[indices], indices, self.down[indices], self.right[indices]]
        else:
            pictures = self.pictures.index_select(0, indices)
        if self.erase > 0:
            top, left, bottom, right = self.rectangles[indices].view(-1, 4, 1, 1).unbind(1)
            is_inside = (self.rows >= top) & (self.rows < bottom) & (self.columns >= left) & (self.columns < right)
            pictures = torch.where(is_inside, noise(pictures.shape), pictures)
        return pictures


def noise(shape):
    """Uniform bytes, drawn eight at a time."""
    size = math.prod(shape)
    words = torch.empty((size + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[:size].view(shape)
