#!/usr/bin/env python3
"""Every network of ours and the same in plain PyTorch: the same tensors, logits, gradients and running statistics.

usage: networks_interop.py NETWORK_RECORDS_PROGRAM FOLDER_OF_LOAD_MODEL
Exits with 77 (skipped) where this Python has no torch. Where it has torchvision, the models of its networks also load,
strict, into torchvision's own and give the same logits.
"""

import os
import subprocess
import sys
import tempfile

try:
    import numpy
    import torch
except ImportError as error:
    print(f"skipped: {error}; install python3-torch to run this test")
    sys.exit(77)
try:
    import torchvision
except ImportError:
    torchvision = None

TOLERANCE = 1e-4
TORCHVISION = ("resnet18", "resnet34", "resnet50", "densenet121", "efficientnet_b0")


class Record:
    """What our program wrote of one network."""

    def __init__(self, folder, line):
        self.name, self.architecture, norm, inputs, logits = line.split()
        self.norm = None if norm == "none" else norm
        self.stem = os.path.join(folder, self.name)
        self.inputs = self.read("inputs", inputs)
        self.logits = self.read("logits", logits)
        self.training_logits = self.read("training_logits", logits)
        self.probe = self.read("probe", logits)

    def read(self, suffix, shape):
        values = numpy.fromfile(f"{self.stem}.{suffix}", dtype="<f4")
        return torch.from_numpy(values).reshape([int(side) for side in shape.split(",")])


def worst(ours, theirs):
    """The largest difference, by the largest value there is where that is above 1."""
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1))


def worst_gradient(ours, theirs):
    """The length of the difference by the length of the tensor's gradient, however short that is."""
    return float((ours - theirs).norm() / theirs.norm().clamp(min=1e-6))


def check_layout(load_model, record):
    """The file's tensors stand in the order of PyTorch's own state dict, and every one is used."""
    tensors, _ = load_model.read_safetensors(record.stem + ".safetensors")
    network = load_model.load_model(record.stem + ".safetensors", record.architecture, record.norm)
    assert list(tensors) == list(network.state_dict()), f"{record.name}: the order of tensors differs"
    return network, tensors


def check_training(load_model, network, record):
    network = network.train().to(memory_format=torch.channels_last)
    inputs = record.inputs
    if inputs.dim() == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    logits = network(inputs).reshape(record.probe.shape)
    (logits * record.probe).mean().backward()
    gradients, _ = load_model.read_safetensors(record.stem + ".gradients.safetensors")
    trained = dict(network.named_parameters())
    assert list(gradients) == list(trained), f"{record.name}: gradients of other tensors"
    differences = {name: worst_gradient(gradients[name], trained[name].grad) for name in trained}
    after, _ = load_model.read_safetensors(record.stem + ".after.safetensors")
    state = network.state_dict()
    statistics = max(worst(after[name], state[name].float()) for name in after)
    return worst(record.training_logits, logits.detach()), max(differences.values()), statistics


def check_torchvision(tensors, record):
    if torchvision is None or record.architecture not in TORCHVISION:
        return
    channels = record.inputs.shape[1]
    classifier = [name for name in tensors if name.endswith(".weight")][-1]
    groups = 8 if record.architecture == "efficientnet_b0" else 32
    options = {"num_classes": tensors[classifier].shape[0]}
    if record.norm == "group" and record.architecture != "densenet121":  # which takes no norm_layer
        options["norm_layer"] = lambda channels: torch.nn.GroupNorm(groups, channels)
    elif record.norm == "group":
        return
    network = getattr(torchvision.models, record.architecture)(**options)
    first = next(name for name, module in network.named_modules() if isinstance(module, torch.nn.Conv2d))
    parent, _, child = first.rpartition(".")
    old = network.get_submodule(first)
    new = torch.nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False)
    setattr(network.get_submodule(parent), child, new)
    network.load_state_dict(tensors, strict=True)
    with torch.no_grad():
        logits = network.eval()(record.inputs).reshape(record.logits.shape)
    difference = worst(record.logits, logits)
    print(f"{record.name}: into torchvision {torchvision.__version__} strictly, logits {difference:.1e}")
    assert difference < TOLERANCE, f"{record.name}: torchvision's logits differ"


def check(load_model, record):
    network, tensors = check_layout(load_model, record)
    with torch.no_grad():
        logits = network(record.inputs).reshape(record.logits.shape)
    evaluation = worst(record.logits, logits)
    training, gradients, statistics = check_training(load_model, network, record)
    print(
        f"{record.name}: logits {evaluation:.1e}, in training {training:.1e}, gradients {gradients:.1e}, "
        f"statistics {statistics:.1e}"
    )
    assert record.logits.std(0).max() > 1e-3, f"{record.name}: the logits do not tell inputs apart"
    assert max(evaluation, training, gradients, statistics) < TOLERANCE, f"{record.name} differs"
    check_torchvision(tensors, record)


def main():
    program, module_folder = sys.argv[1:]
    sys.dont_write_bytecode = True
    sys.path.insert(0, module_folder)
    import load_model

    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([program, folder], check=True, stdout=subprocess.PIPE, text=True)
        records = [Record(folder, line) for line in done.stdout.splitlines()]
        assert {record.architecture for record in records} == set(load_model.NETWORKS), "a network is missing"
        for record in records:
            check(load_model, record)


if __name__ == "__main__":
    main()
