"""A consortium's own network, as a researcher exports it, and its published weights loaded again.

    own_network.py export FILE.pt
    own_network.py load FILE.pt MODEL.safetensors FOLDER_OF_LOAD_MODEL
"""
import sys

import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, padding=1, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
            torch.nn.MaxPool2d(2), torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.GroupNorm(4, 16), torch.nn.ReLU())
        self.dropout = torch.nn.Dropout(0.1)
        self.fc = torch.nn.Linear(16, 1)

    def forward(self, x):
        return self.fc(self.dropout(self.features(x).mean(dim=(2, 3))))


if sys.argv[1] == "export":
    torch.manual_seed(1)
    torch.jit.script(Net()).save(sys.argv[2])
else:
    sys.path.insert(0, sys.argv[4])
    import load_model

    tensors, _ = load_model.read_safetensors(sys.argv[3])
    net = Net()
    net.load_state_dict(tensors, strict=True)
    begun = torch.jit.load(sys.argv[2]).state_dict()
    moved = [name for name, tensor in net.state_dict().items() if not torch.equal(tensor.float(), begun[name].float())]
    with torch.no_grad():
        logit = net.eval()(torch.ones(1, 1, 32, 32)).item()
    print(f"{len(tensors)} tensors, {len(moved)} moved, logit {logit:.4f}")
