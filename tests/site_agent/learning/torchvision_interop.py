#!/usr/bin/env python3
"""Models that our code wrote load, strict, into plain PyTorch with torchvision's names and give the same scores.

usage: torchvision_interop.py INTEROP_MODELS_PROGRAM FOLDER_OF_LOAD_MODEL [MODEL ARCHITECTURE NORM]
With MODEL (for 64 x 64 images) that file is checked instead, e.g. one that a federation published.
Exits with 77 (skipped) where this Python has no torch.
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


def check_scores(load_model, folder, architecture, norm):
    stem = os.path.join(folder, f"{architecture}-{norm}")
    network = load_model.load_model(stem + ".safetensors", architecture, norm)
    images = numpy.fromfile(stem + ".images", dtype="<f4").reshape(8, 64, 64)
    ours = numpy.fromfile(stem + ".scores", dtype="<f4")
    theirs = load_model.score(network, images).numpy()
    difference = float(numpy.abs(ours - theirs).max())
    print(f"{architecture} with {norm} norm: largest difference of {len(ours)} scores {difference:.2e}")
    assert len(ours) == 8 and numpy.ptp(ours) > 1e-3, "the scores do not tell images apart"
    assert difference < 1e-4, "the scores differ"


def check_order(load_model, folder, architecture, norm):
    """The file's tensors stand in the order of PyTorch's own state dict."""
    path = os.path.join(folder, f"{architecture}-{norm}.safetensors")
    tensors, _ = load_model.read_safetensors(path)
    expected = load_model.NETWORKS[architecture](norm=norm).state_dict()
    assert list(tensors) == list(expected), "the order of tensors differs"
    assert all(tensors[name].shape == expected[name].shape for name in expected), "a shape differs"


def check_refusals(load_model, folder):
    path = os.path.join(folder, "resnet18-group.safetensors")
    for architecture, norm in (("small_cnn", "group"), ("resnet18", "batch")):
        try:
            load_model.load_model(path, architecture, norm)
        except load_model.ModelFileError:
            continue
        raise AssertionError(f"loaded as {architecture} with {norm} norm")
    with open(path, "rb") as file:
        beginning = file.read(100000)
    cut = os.path.join(folder, "cut.safetensors")
    with open(cut, "wb") as file:
        file.write(beginning)
    try:
        load_model.load_model(cut)
    except load_model.ModelFileError:
        return
    raise AssertionError("a truncated file was loaded")


def main():
    program, module_folder, *given = sys.argv[1:]
    sys.dont_write_bytecode = True
    sys.path.insert(0, module_folder)
    import load_model

    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, folder, *given], check=True)
        if given:
            check_order(load_model, folder, *given[1:])
            check_scores(load_model, folder, *given[1:])
            return
        for architecture in ("small_cnn", "resnet18"):
            for norm in ("group", "batch"):
                check_order(load_model, folder, architecture, norm)
                check_scores(load_model, folder, architecture, norm)
        check_refusals(load_model, folder)


if __name__ == "__main__":
    main()
