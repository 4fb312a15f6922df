#!/usr/bin/env python3
"""Every network of ours and the same in plain PyTorch: the same tensors, logits, gradients and running statistics.

usage: networks_interop.py NETWORK_RECORDS_PROGRAM FOLDER_OF_LOAD_MODEL
Exits with 77 (skipped) where this Python has no torch. Where it has torchvision, the models of its networks also load,
strict, into torchvision's own and give the same logits.
"""

import copy
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
    """The length of the difference by the length of the tensor's gradient; a thousandth of the network's where that is
    longer, as where the true gradient is 0 any rounding is a large part of it."""
    whole = torch.cat([gradient.flatten() for gradient in theirs.values()]).norm()
    lengths = {name: max(gradient.norm(), whole / 1000) for name, gradient in theirs.items()}
    return max(float((ours[name] - theirs[name]).norm() / lengths[name]) for name in theirs)


def check_layout(load_model, record):
    """The file's tensors stand in the order of PyTorch's own state dict, and every one is used."""
    tensors, _ = load_model.read_safetensors(record.stem + ".safetensors")
    network = load_model.load_model(record.stem + ".safetensors", record.architecture, record.norm)
    assert list(tensors) == list(network.state_dict()), f"{record.name}: the order of tensors differs"
    return network, tensors


def train(network, record, dtype):
    """One pass of training in plain PyTorch: the logits, the gradients and the state after it."""
    network = copy.deepcopy(network).to(dtype=dtype).train()
    logits = network(record.inputs.to(dtype)).reshape(record.probe.shape)
    (logits * record.probe).mean().backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    return logits.detach(), gradients, network.state_dict()


def check_training(load_model, network, record):
    """Against PyTorch in double precision. A ReLU that rounding opens or shuts turns a gradient, in PyTorch's single
    precision as well: where that is further off than the tolerance, ours may be as far and half as far again."""
    gradients, _ = load_model.read_safetensors(record.stem + ".gradients.safetensors")
    after, _ = load_model.read_safetensors(record.stem + ".after.safetensors")
    logits, truth, state = train(network, record, torch.float64)
    _, single, _ = train(network, record, torch.float32)
    assert list(gradients) == list(truth), f"{record.name}: gradients of other tensors"
    ours = worst_gradient(gradients, truth)
    theirs = worst_gradient(single, truth)
    statistics = max(worst(after[name], state[name]) for name in after)
    training = worst(record.training_logits, logits)
    print(
        f"{record.name}: in training: logits {training:.1e}, gradients {ours:.1e} (PyTorch in single precision "
        f"{theirs:.1e}), statistics {statistics:.1e}"
    )
    assert max(training, statistics) < TOLERANCE, f"{record.name}: training differs"
    assert ours < max(TOLERANCE, 1.5 * theirs), f"{record.name}: the gradients differ"


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


def check_torchvision_fcos(tensors, record):
    """torchvision's FCOS on our pyramid: strictly, and the same answers of its head."""
    if torchvision is None or record.architecture != "fcos" or record.norm == "group":
        return
    from torchvision.models.detection import anchor_utils, backbone_utils, fcos

    width = tensors["head.regression_head.bbox_reg.weight"].shape[1]
    kinds = tensors["head.classification_head.cls_logits.weight"].shape[0]
    if width % 32 != 0:  # the groups of torchvision's head
        return
    body = torchvision.models.resnet18()
    body.conv1 = torch.nn.Conv2d(record.inputs.shape[1], 64, 7, 2, 3, bias=False)
    layers = {"layer2": "0", "layer3": "1", "layer4": "2"}
    backbone = backbone_utils.BackboneWithFPN(body, layers, [128, 256, 512], width)
    anchors = anchor_utils.AnchorGenerator(sizes=((8,), (16,), (32,)), aspect_ratios=((1.0,),) * 3)
    network = fcos.FCOS(backbone, num_classes=kinds, anchor_generator=anchors)
    network.load_state_dict(tensors, strict=True)
    network.eval()
    with torch.no_grad():
        levels = list(network.backbone(record.inputs).values())[:3]
        answers = network.head(levels)
    ours = record.logits
    difference = max(
        worst(ours[..., :kinds], answers["cls_logits"]),
        worst(ours[..., -1:], answers["bbox_ctrness"]),
        worst(ours[..., kinds : kinds + 4].relu(), answers["bbox_regression"]),
    )
    print(f"{record.name}: into torchvision {torchvision.__version__} strictly, answers {difference:.1e}")
    assert difference < TOLERANCE, f"{record.name}: torchvision's answers differ"


def check(load_model, record):
    network, tensors = check_layout(load_model, record)
    with torch.no_grad():
        logits = network(record.inputs).reshape(record.logits.shape)
    difference = worst(record.logits, logits)
    print(f"{record.name}: logits {difference:.1e}")
    assert record.logits.std(0).max() > 1e-3, f"{record.name}: the logits do not tell inputs apart"
    assert difference < TOLERANCE, f"{record.name}: the logits differ"
    check_training(load_model, network, record)
    check_torchvision(tensors, record)
    check_torchvision_fcos(tensors, record)


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
