#!/usr/bin/env python3
"""Optimizer steps a second in plain PyTorch: the other side of consilium-bench-training.

Prints one number: images (or rows of a table) a second, the median over the timed steps. A step is zero_grad, forward,
loss, backward and SGD with momentum and weight decay, on one batch in memory. A U-Net outlines two structures with Dice
and cross-entropy, the detector learns one box an image, a table has 32 numbers; everything else tells two classes apart.
"""

import argparse
import os
import statistics
import sys
import time

import torch
from torch.nn import functional

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../../site_agent/learning/python"))
from load_model import NETWORKS  # noqa: E402


TABLES = ("logistic", "mlp")
COLUMNS = 32
SPECTROGRAM = (32, 311)  # bands x frames of a plan's default


def dice_and_cross_entropy(logits, masks):
    """The loss of site_agent/learning/tasks: cross-entropy, and one minus the mean Dice of the structures."""
    logarithms = torch.log_softmax(logits, 1)
    truth = torch.zeros_like(logarithms).scatter_(1, masks.unsqueeze(1), 1)
    cross_entropy = -(logarithms * truth).sum(1).mean()
    p, g = logarithms.exp()[:, 1:], truth[:, 1:]
    over = (0, *range(2, p.dim()))
    overlap, total = (p * g).sum(over), p.sum(over) + g.sum(over)
    return cross_entropy + 1 - ((2 * overlap + 1) / (total + 1)).mean()


def middle_box_loss(network, batch, size):
    """The loss of site_agent/learning/tasks/detection.cpp of the box in each image's middle: focal loss of the kind, overlap
    (GIoU) and centre-ness at the places that learn it, which are chosen once, beforehand, not in every step as ours does."""
    low, high, middle = size / 4, size - size / 4, size / 2
    places = []
    for stride in network.STRIDES:
        at = torch.arange(size // stride) * stride + stride / 2
        y, x = torch.meshgrid(at, at, indexing="ij")
        places.append(torch.stack((x, y, torch.full_like(x, stride)), -1).flatten(0, 1))
    places = torch.cat(places)
    x, y, stride = places.unbind(1)
    edges = torch.stack((x - low, y - low, high - x, high - y), 1)
    near = ((places[:, :2] - middle).abs() < 1.5 * stride[:, None]).all(1) & (edges > 0).all(1)
    taught = (near & (stride == network.STRIDES[0])).nonzero().squeeze(1)
    kinds = torch.zeros(batch, len(places), 1)
    kinds[:, taught] = 1
    across, down = edges[taught][:, 0::2], edges[taught][:, 1::2]
    centreness = ((across.amin(1) / across.amax(1)) * (down.amin(1) / down.amax(1))).sqrt()
    truth = torch.tensor([low, low, high, high])
    cross_entropy = functional.binary_cross_entropy_with_logits

    def area(boxes):
        sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
        return sides[..., 0] * sides[..., 1]

    def loss(answers, _):
        logits, p = answers[..., :1], torch.sigmoid(answers[..., :1])
        off, weight = kinds * (1 - p) + (1 - kinds) * p, 0.75 - 0.5 * kinds
        focal = (weight * off**2 * cross_entropy(logits, kinds, reduction="none")).sum()
        mine = answers[:, taught]
        reach = mine[..., 1:5].clamp(max=5).exp() * places[taught, 2:]
        boxes = torch.cat((places[taught, :2] - reach[..., :2], places[taught, :2] + reach[..., 2:]), -1)
        both = area(torch.cat((torch.maximum(boxes[..., :2], truth[:2]), torch.minimum(boxes[..., 2:], truth[2:])), -1))
        around = area(torch.cat((torch.minimum(boxes[..., :2], truth[:2]), torch.maximum(boxes[..., 2:], truth[2:])), -1))
        either = area(boxes) + area(truth) - both
        overlap = (1 - both / (either + 1e-7) + (around - either) / (around + 1e-7)).sum()
        centres = cross_entropy(mine[..., 5], centreness.expand(batch, -1), reduction="sum")
        return (focal + overlap + centres) / (batch * len(taught))

    return loss


def segmentation(options, sides):
    network = NETWORKS[options.architecture](norm=options.norm, outputs=3)
    masks = torch.zeros(options.batch, *sides, dtype=torch.long)
    masks[..., options.size // 4 : -options.size // 4, options.size // 4 : -options.size // 4] = 1
    return network, torch.randn(options.batch, 1, *sides), masks, dice_and_cross_entropy


def make(options):
    """The network, a batch of inputs, its targets and the loss of the network's output."""
    cross_entropy = torch.nn.BCEWithLogitsLoss()
    classes = (torch.arange(options.batch) % 2).float()
    if options.architecture in TABLES:
        network = NETWORKS[options.architecture](inputs=COLUMNS, numbers=COLUMNS)
        return network, torch.randn(options.batch, COLUMNS), classes, lambda y, t: cross_entropy(y.squeeze(1), t)
    if options.architecture in ("unet", "unet3d"):
        return segmentation(options, (options.size,) * (3 if options.architecture == "unet3d" else 2))
    sides = SPECTROGRAM if options.architecture == "spectrogram_cnn" else (options.size, options.size)
    network, images = NETWORKS[options.architecture](norm=options.norm), torch.randn(options.batch, 1, *sides)
    if options.architecture == "fcos":
        return network, images, classes, middle_box_loss(network, options.batch, options.size)
    return network, images, classes, lambda y, t: cross_entropy(y.squeeze(1), t)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--architecture", choices=sorted(NETWORKS), required=True)
    parser.add_argument("--norm", choices=("group", "batch"), required=True)
    parser.add_argument("--optimizer", choices=("sgd", "adamw"), default="sgd")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: what torch chooses")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--flush-denormals", action="store_true")
    options = parser.parse_args()

    torch.manual_seed(1)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_flush_denormal(options.flush_denormals)
    network, inputs, targets, loss_of = make(options)
    if options.channels_last and inputs.dim() >= 4:
        channels_last = torch.channels_last if inputs.dim() == 4 else torch.channels_last_3d
        network = network.to(memory_format=channels_last)
        inputs = inputs.contiguous(memory_format=channels_last)
    if options.optimizer == "sgd":
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    else:
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4)

    seconds = []
    for _ in range(options.warm_up + options.steps):
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(network(inputs), targets)
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - started)
    print(f"{options.batch / statistics.median(seconds[options.warm_up :]):.2f}")


if __name__ == "__main__":
    main()
