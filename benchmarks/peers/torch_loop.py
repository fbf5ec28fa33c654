"""A plain PyTorch loop over a DataLoader, nothing tracked."""

from __future__ import annotations

import argparse
import itertools

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.arguments import list_fits, load_images, parse_arguments, print_accuracies

_EVALUATION_BATCH = 1000


def build_model(name: str, hidden: list[int]) -> nn.Sequential:
    """The networks of conf/model/ that are measured; the outputs are logits, as PyTorch's loss takes them."""
    stack: list[nn.Module] = []
    units = 28 * 28
    if name == "cnn_32_64_pool3":
        stack += [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(3), nn.Dropout(0.5)]
        units, hidden = 8 * 8 * 64, [300]
    stack.append(nn.Flatten())
    for before, after in itertools.pairwise([units, *hidden]):
        stack += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*stack, nn.Linear(hidden[-1], 10))


def measure(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Mean cross-entropy and accuracy."""
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(batch) for batch in images.split(_EVALUATION_BATCH)])
        loss = nn.functional.cross_entropy(logits, labels).item()
        return loss, (logits.argmax(1) == labels).float().mean().item()


def train(arguments: argparse.Namespace) -> list[float]:
    """Train the grid, one network after another; returns their test accuracies."""
    parts = load_images(arguments.data)
    x_train, x_val, x_test = (torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) for x in parts[::2])
    y_train, y_val, y_test = (torch.from_numpy(y.astype(np.int64)) for y in parts[1::2])
    accuracies = []
    for fit in list_fits(arguments):
        torch.manual_seed(fit.seed)
        model = build_model(arguments.model, arguments.hidden)
        kernels = [layer.weight for layer in model if isinstance(layer, (nn.Conv2d, nn.Linear))][:-1]
        optimizer = torch.optim.SGD(model.parameters(), lr=fit.learning_rate)
        batches = DataLoader(TensorDataset(x_train, y_train), batch_size=arguments.batch_size, shuffle=True)
        history = []
        for _ in range(arguments.epochs):
            model.train()
            for x, y in batches:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                if fit.reg:
                    loss = loss + fit.reg * sum(kernel.square().sum() for kernel in kernels)
                loss.backward()
                optimizer.step()
            history.append(measure(model, x_val, y_val))
        accuracies.append(measure(model, x_test, y_test)[1])
    return accuracies


if __name__ == "__main__":
    print_accuracies(train(parse_arguments(__doc__)))
