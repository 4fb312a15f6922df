#!/usr/bin/env python3
"""Optimizer steps a second in plain PyTorch: the other side of consilium-bench-training.

Prints one number: images a second, the median over the timed steps. A step is zero_grad, forward, loss, backward and
SGD with momentum and weight decay, on one batch in memory.
"""

import argparse
import os
import statistics
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../../site_agent/learning/python"))
from load_model import NETWORKS  # noqa: E402


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
    options = parser.parse_args()

    torch.manual_seed(1)
    if options.threads:
        torch.set_num_threads(options.threads)
    network = NETWORKS[options.architecture](options.norm)
    images = torch.randn(options.batch, 1, options.size, options.size)
    if options.channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    targets = (torch.arange(options.batch) % 2).float()
    loss_of = torch.nn.BCEWithLogitsLoss()
    if options.optimizer == "sgd":
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    else:
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4)

    seconds = []
    for _ in range(options.warm_up + options.steps):
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(network(images).squeeze(1), targets)
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - started)
    print(f"{options.batch / statistics.median(seconds[options.warm_up :]):.2f}")


if __name__ == "__main__":
    main()
