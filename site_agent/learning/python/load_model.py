#!/usr/bin/env python3
"""Loads a model that Consilium published into plain PyTorch.

Needs torch and numpy, nothing else of Consilium's:

    python3 load_model.py MODEL.safetensors                       # what is in the file
    python3 load_model.py MODEL.safetensors --inputs images.npy   # one line an image: probabilities
    python3 load_model.py MODEL.safetensors --inputs images.npy --output masks.npy  # of a U-Net

or from a program:

    from load_model import load_model
    network = load_model("MODEL.safetensors")                     # an nn.Module in eval mode
    logits = network(images)                                      # images: float32, N x channels x size x size

The network is read off the tensors' names and shapes: architecture, normalisation, channels, outputs; --architecture
and --norm state what is expected, and a file that holds something else is refused. Images are those that the plan's
[preprocessing] makes; rows of a table those that its [table] makes, with numbers as they are measured and NaN where
one is missing. The names of the ResNets, DenseNet and EfficientNet are torchvision's: the same file also loads,
strict, into torchvision's own (norm_layer=... of group norm), once its first convolution takes as many channels and
its classifier has as many outputs. Nothing in the file is executed.
"""

import argparse
import json
import math
import struct
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional

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


def make_norm(norm, channels, groups, volumes=False):
    batch_norm = nn.BatchNorm3d if volumes else nn.BatchNorm2d
    return nn.GroupNorm(groups, channels) if norm == "group" else batch_norm(channels)


def relu(x):
    return functional.relu(x, inplace=True)


class SmallCnn(nn.Module):
    """Four 3x3 convolutions (16, 32, 64, 128 channels), each with norm, ReLU and, but for the last, a 2x2 max pool;
    then the mean over the image and one linear layer: 97,000 weights."""

    def __init__(self, norm="group", channels=1, outputs=1):
        super().__init__()
        channels = (channels, 16, 32, 64, 128)
        for i in range(1, 5):
            conv = nn.Conv2d(channels[i - 1], channels[i], 3, padding=1, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"norm{i}", make_norm(norm, channels[i], 8))
        self.fc = nn.Linear(128, outputs)

    def forward(self, x):
        x = functional.max_pool2d(relu(self.norm1(self.conv1(x))), 2)
        x = functional.max_pool2d(relu(self.norm2(self.conv2(x))), 2)
        x = functional.max_pool2d(relu(self.norm3(self.conv3(x))), 2)
        x = relu(self.norm4(self.conv4(x)))
        return self.fc(x.mean((2, 3)))


class Downsample(nn.Sequential):
    def __init__(self, channels_in, channels, stride, norm):
        super().__init__(nn.Conv2d(channels_in, channels, 1, stride, bias=False), make_norm(norm, channels, 32))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016), named as in torchvision."""

    expansion = 1

    def __init__(self, channels_in, width, stride, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = make_norm(norm, width, 32)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = make_norm(norm, width, 32)
        changes = stride != 1 or channels_in != width
        self.downsample = Downsample(channels_in, width, stride, norm) if changes else None

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += shortcut
        return relu(y)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with the stride in the second, and a shortcut; named as in torchvision."""

    expansion = 4

    def __init__(self, channels_in, width, stride, norm):
        super().__init__()
        channels = 4 * width
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = make_norm(norm, width, 32)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = make_norm(norm, width, 32)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = make_norm(norm, channels, 32)
        changes = stride != 1 or channels_in != channels
        self.downsample = Downsample(channels_in, channels, stride, norm) if changes else None

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = relu(self.bn1(self.conv1(x)))
        y = relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += shortcut
        return relu(y)


class ResNet(nn.Module):
    """torchvision's ResNets."""

    def __init__(self, block, blocks, norm="group", channels=1, outputs=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, padding=3, bias=False)
        self.bn1 = make_norm(norm, 64, 32)
        channels_in = 64
        for i, count in enumerate(blocks):
            width, layer = 64 << i, []
            for j in range(count):
                layer.append(block(channels_in, width, 2 if i > 0 and j == 0 else 1, norm))
                channels_in = width * block.expansion
            self.add_module(f"layer{i + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(channels_in, outputs)

    def forward(self, x):
        x = relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, 2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def resnet18(**options):
    return ResNet(BasicBlock, (2, 2, 2, 2), **options)


def resnet34(**options):
    return ResNet(BasicBlock, (3, 4, 6, 3), **options)


def resnet50(**options):
    return ResNet(Bottleneck, (3, 4, 6, 3), **options)


class DenseLayer(nn.Module):
    def __init__(self, channels, norm):
        super().__init__()
        self.norm1 = make_norm(norm, channels, 32)
        self.conv1 = nn.Conv2d(channels, 128, 1, bias=False)
        self.norm2 = make_norm(norm, 128, 32)
        self.conv2 = nn.Conv2d(128, 32, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(relu(self.norm1(x)))
        y = self.conv2(relu(self.norm2(y)))
        return torch.cat((x, y), 1)


class Transition(nn.Module):
    def __init__(self, channels, norm):
        super().__init__()
        self.norm = make_norm(norm, channels, 32)
        self.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)

    def forward(self, x):
        return functional.avg_pool2d(self.conv(relu(self.norm(x))), 2, 2)


class DenseNet121(nn.Module):
    """torchvision's densenet121 (Huang et al. 2017)."""

    def __init__(self, norm="group", channels=1, outputs=1):
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(channels, 64, 7, 2, padding=3, bias=False))
        self.features.add_module("norm0", make_norm(norm, 64, 32))
        self.features.add_module("relu0", nn.ReLU(inplace=True))
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, padding=1))
        channels = 64
        for i, layers in enumerate((6, 12, 24, 16), start=1):
            block = nn.Sequential()
            for j in range(1, layers + 1):
                block.add_module(f"denselayer{j}", DenseLayer(channels, norm))
                channels += 32
            self.features.add_module(f"denseblock{i}", block)
            if i < 4:
                self.features.add_module(f"transition{i}", Transition(channels, norm))
                channels //= 2
        self.features.add_module("norm5", make_norm(norm, channels, 32))
        self.classifier = nn.Linear(channels, outputs)

    def forward(self, x):
        return self.classifier(relu(self.features(x)).mean((2, 3)))


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        scale = self.fc2(functional.silu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * scale.sigmoid()


def conv_norm_silu(channels_in, channels, norm, kernel=1, stride=1, groups=1, activation=True):
    layers = [
        nn.Conv2d(channels_in, channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        make_norm(norm, channels, 8),
    ]
    if activation:
        layers.append(nn.SiLU(inplace=True))
    return nn.Sequential(*layers)


class MBConv(nn.Module):
    def __init__(self, expansion, kernel, stride, channels_in, channels, norm):
        super().__init__()
        width = expansion * channels_in
        layers = []
        if expansion != 1:
            layers.append(conv_norm_silu(channels_in, width, norm))
        layers.append(conv_norm_silu(width, width, norm, kernel, stride, groups=width))
        layers.append(SqueezeExcitation(width, channels_in // 4))
        layers.append(conv_norm_silu(width, channels, norm, activation=False))
        self.block = nn.Sequential(*layers)
        self.residual = stride == 1 and channels_in == channels

    def forward(self, x):
        y = self.block(x)
        if self.residual:
            y += x
        return y


class EfficientNetB0(nn.Module):
    """torchvision's efficientnet_b0 (Tan and Le 2019) without what only training has: stochastic depth, dropout."""

    STAGES = (  # expansion, kernel, stride, channels, blocks
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    )

    def __init__(self, norm="group", channels=1, outputs=1):
        super().__init__()
        layers = [conv_norm_silu(channels, 32, norm, kernel=3, stride=2)]
        channels_in = 32
        for expansion, kernel, stride, channels, blocks in self.STAGES:
            stage = []
            for i in range(blocks):
                stage.append(MBConv(expansion, kernel, stride if i == 0 else 1, channels_in, channels, norm))
                channels_in = channels
            layers.append(nn.Sequential(*stage))
        layers.append(conv_norm_silu(channels_in, 1280, norm))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0), nn.Linear(1280, outputs))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions, each with its norm, and a 1x1 convolution round them; ReLU after the first and the sum."""

    def __init__(self, channels_in, channels, norm, convolution=nn.Conv2d):
        super().__init__()
        self.add_unit(channels_in, channels, norm, convolution)

    def add_unit(self, channels_in, channels, norm, convolution):
        groups = math.gcd(channels, 8)
        volumes = convolution is nn.Conv3d
        self.conv1 = convolution(channels_in, channels, 3, padding=1, bias=False)
        self.norm1 = make_norm(norm, channels, groups, volumes)
        self.conv2 = convolution(channels, channels, 3, padding=1, bias=False)
        self.norm2 = make_norm(norm, channels, groups, volumes)
        self.shortcut = convolution(channels_in, channels, 1, bias=False)

    def forward(self, x):
        y = relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        y += self.shortcut(x)
        return relu(y)


class Decoder(ResidualUnit):
    """Doubles the size of the level below and joins the encoder's of the same size, which comes first."""

    def __init__(self, channels_in, channels, norm, convolution=nn.Conv2d):
        nn.Module.__init__(self)
        up = nn.ConvTranspose3d if convolution is nn.Conv3d else nn.ConvTranspose2d
        self.up = up(channels_in, channels, 2, 2)
        self.add_unit(2 * channels, channels, norm, convolution)

    def forward(self, x, level):
        return super().forward(torch.cat((level, self.up(x)), 1))


class Unet(nn.Module):
    """Ronneberger et al. 2015 with residual units: four levels of width, 2, 4 and 8 times width channels with 2x2 max
    pools between, three decoders back, a 1x1 convolution. Logits of the background and of each structure a pixel."""

    convolution = nn.Conv2d
    pool = staticmethod(functional.max_pool2d)

    def __init__(self, norm="group", channels=1, outputs=2, width=16):
        super().__init__()
        widths = [width << level for level in range(4)]
        self.encoder = nn.ModuleList(
            ResidualUnit(channels_in, out, norm, self.convolution)
            for channels_in, out in zip([channels, *widths], widths)
        )
        self.decoder = nn.ModuleList(Decoder(2 * out, out, norm, self.convolution) for out in reversed(widths[:3]))
        self.head = self.convolution(width, outputs, 1)

    def forward(self, x):
        levels = []
        for unit in self.encoder:
            x = unit(self.pool(x, 2) if levels else x)
            levels.append(x)
        for decoder, level in zip(self.decoder, reversed(levels[:3])):
            x = decoder(x, level)
        return self.head(x)


class Unet3d(Unet):
    """The same of volumes (Cicek et al. 2016): N x channels x slices x height x width."""

    convolution = nn.Conv3d
    pool = staticmethod(functional.max_pool3d)


class ResNetBody(nn.Module):
    """torchvision's resnet18 without its last layer; gives what layer2, layer3 and layer4 give."""

    def __init__(self, norm, channels):
        super().__init__()
        whole = resnet18(norm=norm, channels=channels)
        for name, child in whole.named_children():
            if name != "fc":
                self.add_module(name, child)

    def forward(self, x):
        x = relu(self.bn1(self.conv1(x)))
        x = self.layer1(functional.max_pool2d(x, 3, 2, padding=1))
        levels = []
        for layer in (self.layer2, self.layer3, self.layer4):
            x = layer(x)
            levels.append(x)
        return levels


class Pyramid(nn.Module):
    """Lin et al. 2017: each level's own features and what lies above it, at `width` channels."""

    def __init__(self, channels, width):
        super().__init__()
        self.inner_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(c, width, 1)) for c in channels)
        self.layer_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(width, width, 3, padding=1)) for _ in channels)

    def forward(self, levels):
        above, pyramid = None, []
        for level, inner, layer in zip(levels[::-1], self.inner_blocks[::-1], self.layer_blocks[::-1]):
            x = inner(level)
            if above is not None:
                x = x + functional.interpolate(above, size=x.shape[2:], mode="nearest")
            above = x
            pyramid.insert(0, layer(x))
        return pyramid


def detection_tower(width):
    layers = []
    for _ in range(4):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(math.gcd(width, 32), width), nn.ReLU()]
    return nn.Sequential(*layers)


class ClassificationHead(nn.Module):
    def __init__(self, width, kinds):
        super().__init__()
        self.conv = detection_tower(width)
        self.cls_logits = nn.Conv2d(width, kinds, 3, padding=1)

    def forward(self, x):
        return self.cls_logits(self.conv(x))


class RegressionHead(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = detection_tower(width)
        self.bbox_reg = nn.Conv2d(width, 4, 3, padding=1)
        self.bbox_ctrness = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x):
        x = self.conv(x)
        return torch.cat((self.bbox_reg(x), self.bbox_ctrness(x)), 1)


class Fcos(nn.Module):
    """Tian et al. 2019 on a ResNet-18 with a pyramid of strides 8, 16 and 32, named as torchvision's. Gives N x places
    x (kinds + 4 + 1): of each place, stride by stride and row by row, the logit of each kind, the logarithms of the
    distances in strides to the left, upper, right and lower edge, and the logit of centre-ness."""

    STRIDES = (8, 16, 32)

    def __init__(self, norm="group", channels=1, outputs=1, width=64):
        super().__init__()
        self.backbone = nn.ModuleDict({"body": ResNetBody(norm, channels), "fpn": Pyramid((128, 256, 512), width)})
        self.head = nn.ModuleDict(
            {"classification_head": ClassificationHead(width, outputs), "regression_head": RegressionHead(width)}
        )

    def forward(self, x):
        answers = []
        for level in self.backbone["fpn"](self.backbone["body"](x)):
            heads = [self.head["classification_head"](level), self.head["regression_head"](level)]
            answers.append(torch.cat(heads, 1).permute(0, 2, 3, 1).flatten(1, 2))
        return torch.cat(answers, 1)

    def boxes(self, answers, size, least_score=0.02, most_overlap=0.6, most=100):
        """Of each image a list of (kind, score, left, top, right, bottom) in pixels, from the highest score down;
        `size` is height and width."""
        centres, strides = [], []
        for stride in self.STRIDES:
            rows, columns = (torch.arange(side // stride) * stride + stride / 2 for side in size)
            y, x = torch.meshgrid(rows, columns, indexing="ij")
            centres.append(torch.stack((x, y), -1).flatten(0, 1))
            strides.append(torch.full((len(centres[-1]), 1), float(stride)))
        centres, strides = torch.cat(centres), torch.cat(strides)
        found = []
        for answer in answers:
            scores = (torch.sigmoid(answer[:, :-5]) * torch.sigmoid(answer[:, -1:])).sqrt()
            reach = answer[:, -5:-1].clamp(max=5).exp() * strides
            edges = torch.cat((centres - reach[:, :2], centres + reach[:, 2:]), 1)
            edges[:, 0::2].clamp_(0, size[1])
            edges[:, 1::2].clamp_(0, size[0])
            found.append(self.best(scores, edges, least_score, most_overlap, most))
        return found

    @staticmethod
    def best(scores, edges, least_score, most_overlap, most):
        kept = []
        order = scores.flatten().argsort(descending=True, stable=True)[:1000].tolist()
        for place, kind in (divmod(index, scores.shape[1]) for index in order):
            score, box = float(scores[place, kind]), edges[place].tolist()
            if score < least_score or box[0] >= box[2] or box[1] >= box[3] or len(kept) == most:
                continue
            if all(other[0] != kind or overlap(box, other[2:]) <= most_overlap for other in kept):
                kept.append((kind, score, *box))
        return kept


def overlap(a, b):
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


class SpectrogramBlock(nn.Module):
    def __init__(self, channels_in, channels, norm):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.norm = make_norm(norm, channels, 8)

    def forward(self, x):
        return relu(self.norm(self.conv(x)))


class SpectrogramCnn(nn.Module):
    """Four blocks with 2x2 max pools between; the mean over the bands, then of time the mean and the maximum, added;
    one linear layer. Spectrograms are N x 1 x bands x frames, as [audio] makes them, the highest band first."""

    def __init__(self, norm="group", channels=1, outputs=1):
        super().__init__()
        widths = (channels, 16, 32, 64, 128)
        self.blocks = nn.ModuleList(SpectrogramBlock(a, b, norm) for a, b in zip(widths, widths[1:]))
        self.fc = nn.Linear(128, outputs)

    def forward(self, x):
        for block in self.blocks[:-1]:
            x = functional.max_pool2d(block(x), 2)
        x = self.blocks[-1](x).mean(2)
        return self.fc(x.mean(2) + x.amax(2))


class Preparation(nn.Module):
    """Brings the first columns, a table's numbers, to the federation's scale; a missing one becomes its mean."""

    def __init__(self, numbers):
        super().__init__()
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("deviation", torch.ones(numbers))

    def forward(self, rows):
        numbers = len(self.mean)
        scaled = torch.nan_to_num((rows[:, :numbers] - self.mean) / self.deviation)
        return torch.cat((scaled, rows[:, numbers:]), 1)


class Logistic(nn.Module):
    """Logistic regression, or Cox regression, on a table's columns."""

    def __init__(self, inputs, outputs=1, numbers=0):
        super().__init__()
        self.prepare = Preparation(numbers) if numbers else nn.Identity()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, rows):
        return self.linear(self.prepare(rows))


class Mlp(nn.Module):
    """Linear layers with ReLU between them on a table's columns; dropout is training's."""

    def __init__(self, inputs, outputs=1, numbers=0, hidden=(32,), dropout=0.0):
        super().__init__()
        self.prepare = Preparation(numbers) if numbers else nn.Identity()
        widths = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows):
        x = self.prepare(rows)
        for layer in self.layers[:-1]:
            x = self.dropout(relu(layer(x)))
        return self.layers[-1](x)


class Fusion(nn.Module):
    """An image and its patient's row: N x (the image's values, each pixel's channels together, then the columns)."""

    def __init__(self, architecture, inputs, norm="group", channels=1, outputs=1, numbers=0):
        super().__init__()
        self.prepare = Preparation(numbers) if numbers else nn.Identity()
        self.image = NETWORKS[architecture](norm=norm, channels=channels)
        name, head = [(name, module) for name, module in self.image.named_modules() if isinstance(module, nn.Linear)][-1]
        parent, _, child = name.rpartition(".")
        setattr(self.image.get_submodule(parent), child, nn.Identity())
        self.columns = nn.Linear(inputs, 32)
        self.fc = nn.Linear(head.in_features + 32, outputs)
        self.inputs, self.channels = inputs, channels

    def forward(self, x):
        images, columns = x[:, : -self.inputs], x[:, -self.inputs :]
        size = math.isqrt(images.shape[1] // self.channels)
        images = images.reshape(-1, size, size, self.channels).permute(0, 3, 1, 2)
        columns = relu(self.columns(self.prepare(columns)))
        return self.fc(torch.cat((self.image(images), columns), 1))


NETWORKS = {
    "small_cnn": SmallCnn,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "densenet121": DenseNet121,
    "efficientnet_b0": EfficientNetB0,
    "unet": Unet,
    "unet3d": Unet3d,
    "fcos": Fcos,
    "spectrogram_cnn": SpectrogramCnn,
    "fusion": Fusion,
    "logistic": Logistic,
    "mlp": Mlp,
}
# A tensor that only this network has, the first and the last weight. Read from the top.
SIGNS = (
    ("efficientnet_b0", "features.8.0.weight", "features.0.0.weight", "classifier.1.weight"),
    ("densenet121", "features.norm5.weight", "features.conv0.weight", "classifier.weight"),
    ("resnet50", "layer1.0.conv3.weight", "conv1.weight", "fc.weight"),
    ("resnet34", "layer1.2.conv1.weight", "conv1.weight", "fc.weight"),
    ("resnet18", "layer1.0.conv1.weight", "conv1.weight", "fc.weight"),
    ("small_cnn", "norm4.weight", "conv1.weight", "fc.weight"),
    ("fcos", "backbone.body.conv1.weight", "backbone.body.conv1.weight", "head.classification_head.cls_logits.weight"),
    ("spectrogram_cnn", "blocks.3.norm.weight", "blocks.0.conv.weight", "fc.weight"),
    ("unet", "encoder.0.conv1.weight", "encoder.0.conv1.weight", "head.weight"),
    ("logistic", "linear.weight", "linear.weight", "linear.weight"),
)


def describe(tensors):
    """The architecture and what its network in NETWORKS is made with, read off the tensors' names and shapes."""
    if "columns.weight" in tensors and "fc.weight" in tensors:
        return "fusion", describe_fusion(tensors)
    for architecture, sign, first, last in SIGNS:
        if sign not in tensors or first not in tensors or last not in tensors:
            continue
        inputs, outputs = tensors[first].shape[1], tensors[last].shape[0]
        if architecture == "logistic":
            return architecture, {"inputs": inputs, "outputs": outputs, "numbers": count_numbers(tensors)}
        norm = "batch" if any(name.endswith("running_mean") for name in tensors) else "group"
        options = {"norm": norm, "channels": inputs, "outputs": outputs}
        if architecture == "unet":
            options["width"] = tensors[first].shape[0]
            architecture = "unet3d" if tensors[first].dim() == 5 else "unet"
        if architecture == "fcos":
            options["width"] = tensors[last].shape[1]
        return architecture, options
    weights = [tensor for name, tensor in tensors.items() if name.startswith("layers.") and name.endswith(".weight")]
    if not weights:
        raise ModelFileError("the tensors' names are those of no network known here")
    return "mlp", {
        "inputs": weights[0].shape[1],
        "outputs": weights[-1].shape[0],
        "numbers": count_numbers(tensors),
        "hidden": tuple(weight.shape[0] for weight in weights[:-1]),
    }


def describe_fusion(tensors):
    image = {name[len("image.") :]: tensor for name, tensor in tensors.items() if name.startswith("image.")}
    for architecture, sign, first, _ in SIGNS:
        if sign in image and first in image:
            return {
                "architecture": architecture,
                "inputs": tensors["columns.weight"].shape[1],
                "norm": "batch" if any(name.endswith("running_mean") for name in image) else "group",
                "channels": image[first].shape[1],
                "outputs": tensors["fc.weight"].shape[0],
                "numbers": count_numbers(tensors),
            }
    raise ModelFileError("the tensors of the image's part are those of no network known here")


def count_numbers(tensors):
    return len(tensors["prepare.mean"]) if "prepare.mean" in tensors else 0


def merge_adapters(tensors):
    """Each NAME.weight + NAME.lora_B NAME.lora_A, without the two: low-rank adapters (Hu et al. 2021) as plain weights."""
    merged = {name: value for name, value in tensors.items() if not name.endswith((".lora_A", ".lora_B"))}
    for name in [name for name in tensors if name.endswith(".lora_A")]:
        layer = name[: -len(".lora_A")]
        weight = merged[layer + ".weight"]
        merged[layer + ".weight"] = weight + (tensors[layer + ".lora_B"] @ tensors[name]).reshape(weight.shape)
    return merged


def load_model(path, architecture=None, norm=None):
    """The network with the file's weights, adapters merged, in eval mode. Every tensor must be used, and none be missing."""
    tensors, _ = read_safetensors(path)
    tensors = merge_adapters(tensors)
    found, options = describe(tensors)
    for asked, is_there in ((architecture, found), (norm, options.get("norm"))):
        if asked not in (None, is_there):
            raise ModelFileError(f"the file holds a {found} with {options.get('norm', 'no')} norm, not {asked}")
    network = NETWORKS[found](**options)
    network.load_state_dict(tensors, strict=True)
    return network.eval()


def forward(network, inputs):
    """The logits of inputs: images (N x size x size or N x channels x size x size), volumes (N x slices x size x size or
    N x channels x slices x size x size) or rows (N x columns)."""
    inputs = torch.as_tensor(inputs, dtype=torch.float32)
    if inputs.dim() == (4 if isinstance(network, Unet3d) else 3):
        inputs = inputs.unsqueeze(1)
    with torch.no_grad():
        return torch.cat([network(batch) for batch in inputs.split(64)])


TASKS = ("binary", "multiclass", "multilabel", "segmentation", "survival")


def score(network, inputs, task="binary"):
    """What the task makes of the logits: probabilities of target 1 (binary, N) or of each class or label
    (multiclass, multilabel, N x classes; segmentation N x (1 + structures) x size x size), or the log relative hazard
    (survival, N)."""
    logits = forward(network, inputs)
    if task == "survival":
        return logits.squeeze(1)
    if task == "binary":
        return torch.sigmoid(logits).squeeze(1)
    return torch.sigmoid(logits) if task == "multilabel" else torch.softmax(logits, 1)


def likely_task(architecture, outputs):
    if architecture in ("unet", "unet3d"):
        return "segmentation"
    return "binary" if outputs == 1 else "multiclass"


def write_scores(scores, task, path):
    """One line an input; a segmentation's masks (0 background, 1 the first structure ...) go to a .npy file."""
    if task == "segmentation":
        if not path:
            raise ModelFileError("a segmentation needs --output FILE.npy for its masks")
        numpy.save(path, scores.argmax(1).to(torch.uint8).numpy())
        return
    for values in scores.reshape(len(scores), -1).tolist():
        print(" ".join(f"{value:.6f}" for value in values))


def write_boxes(network, images):
    """One line a box: the image, the kind (0 is the plan's first), the score, left, top, right, bottom in pixels."""
    for number, boxes in enumerate(network.boxes(forward(network, images), images.shape[-2:])):
        for kind, score, *edges in boxes:
            print(number, kind, f"{score:.6f}", " ".join(f"{edge:.3f}" for edge in edges))


def main():
    parser = argparse.ArgumentParser(description="Loads a model that Consilium published.")
    parser.add_argument("model", help="a .safetensors file")
    parser.add_argument("--architecture", choices=sorted(NETWORKS), help="refuse anything else")
    parser.add_argument("--norm", choices=("group", "batch"), help="refuse anything else")
    parser.add_argument("--inputs", "--images", help="a .npy file of preprocessed images or of a table's rows")
    parser.add_argument("--task", choices=TASKS, help="what was learned; else the usual of the network")
    parser.add_argument("--output", help="a .npy file for the masks of a segmentation")
    options = parser.parse_args()
    try:
        network = load_model(options.model, options.architecture, options.norm)
        tensors, metadata = read_safetensors(options.model)
        architecture, shape = describe(tensors)
        if options.inputs:
            if architecture == "fcos":
                write_boxes(network, numpy.load(options.inputs))
                return 0
            task = options.task or likely_task(architecture, shape["outputs"])
            write_scores(score(network, numpy.load(options.inputs), task), task, options.output)
            return 0
    except (ModelFileError, OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    norm = f" with {shape['norm']} norm" if "norm" in shape else ""
    weights = sum(p.numel() for p in network.parameters())
    print(f"{architecture}{norm}, {shape['outputs']} outputs, {len(tensors)} tensors, {weights} weights")
    for key, value in sorted(metadata.items()):
        print(f"{key}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
