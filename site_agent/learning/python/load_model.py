#!/usr/bin/env python3
"""Loads a classifier that Consilium published into plain PyTorch.

Needs torch and numpy, nothing else of Consilium's:

    python3 load_model.py MODEL.safetensors                       # what is in the file
    python3 load_model.py MODEL.safetensors --images images.npy   # one probability a line

or from a program:

    from load_model import load_model
    network = load_model("MODEL.safetensors")                     # an nn.Module in eval mode
    probability = torch.sigmoid(network(images)).squeeze(1)       # images: float32, N x 1 x size x size

The architecture and its normalisation are read off the tensors' names; --architecture and --norm state what is
expected, and a file that holds something else is refused. Images are those that the plan's [preprocessing] makes.
The names are torchvision's: the same file also loads, strict, into torchvision's
resnet18(num_classes=1, norm_layer=...) once its conv1 takes one channel. Nothing in the file is executed.
"""

import argparse
import json
import struct
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional

RESNET18_GROUPS = 32
SMALL_CNN_GROUPS = 8
LARGEST_HEADER = 16 << 20


class ModelFileError(Exception):
    """The file is not a model that these networks can hold."""


def read_safetensors(path):
    """The tensors (name -> torch.float32 tensor, in file order) and the metadata of a safetensors file."""
    with open(path, "rb") as file:
        content = file.read()
    if len(content) < 8:
        raise ModelFileError("the file is shorter than a safetensors header")
    (header_size,) = struct.unpack("<Q", content[:8])
    if header_size > min(LARGEST_HEADER, len(content) - 8):
        raise ModelFileError("the header does not fit in the file")
    header = json.loads(content[8 : 8 + header_size])
    metadata = header.pop("__metadata__", {})
    data = content[8 + header_size :]
    tensors = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if entry["dtype"] != "F32" or end > len(data):
            raise ModelFileError(f"tensor {name} is not float32 or reaches beyond the file")
        values = numpy.frombuffer(data[begin:end], dtype="<f4").astype(numpy.float32)
        tensors[name] = torch.from_numpy(values).reshape(entry["shape"])
    return tensors, metadata


def make_norm(norm, channels, groups):
    return nn.GroupNorm(groups, channels) if norm == "group" else nn.BatchNorm2d(channels)


class SmallCnn(nn.Module):
    """Four 3x3 convolutions (16, 32, 64, 128 channels), each with norm, ReLU and, but for the last, a 2x2 max pool;
    then the mean over the image and one linear layer: 97,000 weights."""

    def __init__(self, norm="group"):
        super().__init__()
        channels = (1, 16, 32, 64, 128)
        for i in range(1, 5):
            conv = nn.Conv2d(channels[i - 1], channels[i], 3, padding=1, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"norm{i}", make_norm(norm, channels[i], SMALL_CNN_GROUPS))
        self.fc = nn.Linear(128, 1)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.norm1(self.conv1(x)), inplace=True), 2)
        x = functional.max_pool2d(functional.relu(self.norm2(self.conv2(x)), inplace=True), 2)
        x = functional.max_pool2d(functional.relu(self.norm3(self.conv3(x)), inplace=True), 2)
        x = functional.relu(self.norm4(self.conv4(x)), inplace=True)
        return self.fc(x.mean((2, 3)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016), named as in torchvision."""

    def __init__(self, channels_in, channels, stride, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = make_norm(norm, channels, RESNET18_GROUPS)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = make_norm(norm, channels, RESNET18_GROUPS)
        self.downsample = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False),
                make_norm(norm, channels, RESNET18_GROUPS),
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += shortcut
        return functional.relu(y, inplace=True)


class ResNet18(nn.Module):
    """torchvision's resnet18 for one input channel and one output logit."""

    def __init__(self, norm="group"):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 7, 2, padding=3, bias=False)
        self.bn1 = make_norm(norm, 64, RESNET18_GROUPS)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1, norm), BasicBlock(64, 64, 1, norm))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2, norm), BasicBlock(128, 128, 1, norm))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2, norm), BasicBlock(256, 256, 1, norm))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2, norm), BasicBlock(512, 512, 1, norm))
        self.fc = nn.Linear(512, 1)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = functional.max_pool2d(x, 3, 2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


NETWORKS = {"small_cnn": SmallCnn, "resnet18": ResNet18}


def describe(tensors):
    """The architecture and the norm, read off the tensors' names."""
    architecture = "resnet18" if "layer1.0.conv1.weight" in tensors else "small_cnn"
    norm = "batch" if any(name.endswith("running_mean") for name in tensors) else "group"
    return architecture, norm


def load_model(path, architecture=None, norm=None):
    """The network with the file's weights, in eval mode. Every tensor must be used, and none be missing."""
    tensors, _ = read_safetensors(path)
    found_architecture, found_norm = describe(tensors)
    for asked, found in ((architecture, found_architecture), (norm, found_norm)):
        if asked not in (None, found):
            raise ModelFileError(f"the file holds a {found_architecture} with {found_norm} norm, not {asked}")
    network = NETWORKS[found_architecture](found_norm)
    network.load_state_dict(tensors, strict=True)
    return network.eval()


def score(network, images):
    """Probabilities of target 1 for images (N x size x size or N x 1 x size x size)."""
    images = torch.as_tensor(images, dtype=torch.float32)
    if images.dim() == 3:
        images = images.unsqueeze(1)
    with torch.no_grad():
        return torch.cat([torch.sigmoid(network(batch)).squeeze(1) for batch in images.split(64)])


def main():
    parser = argparse.ArgumentParser(description="Loads a model that Consilium published.")
    parser.add_argument("model", help="a .safetensors file")
    parser.add_argument("--architecture", choices=sorted(NETWORKS), help="refuse anything else")
    parser.add_argument("--norm", choices=("group", "batch"), help="refuse anything else")
    parser.add_argument("--images", help="a .npy file of preprocessed images, N x size x size")
    options = parser.parse_args()
    try:
        network = load_model(options.model, options.architecture, options.norm)
        if options.images:
            for probability in score(network, numpy.load(options.images)):
                print(f"{probability:.6f}")
            return 0
        tensors, metadata = read_safetensors(options.model)
    except (ModelFileError, OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    architecture, norm = describe(tensors)
    weights = sum(p.numel() for p in network.parameters())
    print(f"{architecture} with {norm} norm, {len(tensors)} tensors, {weights} weights")
    for key, value in sorted(metadata.items()):
        print(f"{key}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
