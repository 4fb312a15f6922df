#!/usr/bin/env python3
"""Optimizer steps a second in plain PyTorch: the other side of consilium-bench-training.

Prints one number: images (or rows of a table) a second, the median over the timed steps. A step is zero_grad, forward,
loss, backward and SGD with momentum and weight decay, on one batch in memory. A U-Net outlines two structures with Dice
and cross-entropy, a table has 32 numbers; everything else tells two classes apart.
"""

import argparse
import os
import statistics
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../../site_agent/learning/python"))
from load_model import NETWORKS  # noqa: E402


TABLES = ("logistic", "mlp")
COLUMNS = 32


def dice_and_cross_entropy(logits, masks):
    """The loss of site_agent/learning/tasks: cross-entropy, and one minus the mean Dice of the structures."""
    logarithms = torch.log_softmax(logits, 1)
    truth = torch.zeros_like(logarithms).scatter_(1, masks.unsqueeze(1), 1)
    cross_entropy = -(logarithms * truth).sum(1).mean()
    p, g = logarithms.exp()[:, 1:], truth[:, 1:]
    overlap, total = (p * g).sum((0, 2, 3)), p.sum((0, 2, 3)) + g.sum((0, 2, 3))
    return cross_entropy + 1 - ((2 * overlap + 1) / (total + 1)).mean()


def make(options):
    """The network, a batch of inputs, its targets and the loss of the network's output."""
    cross_entropy = torch.nn.BCEWithLogitsLoss()
    classes = (torch.arange(options.batch) % 2).float()
    if options.architecture in TABLES:
        network = NETWORKS[options.architecture](inputs=COLUMNS, numbers=COLUMNS)
        return network, torch.randn(options.batch, COLUMNS), classes, lambda y, t: cross_entropy(y.squeeze(1), t)
    images = torch.randn(options.batch, 1, options.size, options.size)
    if options.architecture == "unet":
        network = NETWORKS["unet"](norm=options.norm, outputs=3)
        masks = (torch.arange(images.numel()) % 2).reshape(options.batch, options.size, options.size)
        return network, images, masks, dice_and_cross_entropy
    network = NETWORKS[options.architecture](norm=options.norm)
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
    if options.channels_last and inputs.dim() == 4:
        network = network.to(memory_format=torch.channels_last)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
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
