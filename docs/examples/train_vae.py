"""A VAE on the digits of scikit-learn. It knows nothing of Lagrange: vae.yaml says how it is called and where its numbers stand."""

import argparse
import math
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

parser = argparse.ArgumentParser()
parser.add_argument("--beta", type=float, default=1.0)
parser.add_argument("--lr", type=float, default=3e-3)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path())
args = parser.parse_args()

CODES = 8
torch.manual_seed(args.seed)
torch.set_num_threads(1)
draw = torch.Generator().manual_seed(0)
images = torch.tensor(load_digits().data / 16, dtype=torch.float32)
images = images[torch.randperm(len(images), generator=draw)]
train, val, test = images[:1000], torch.bernoulli(images[1000:1400], generator=draw), torch.bernoulli(images[1400:], generator=draw)

encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * CODES))
decoder = nn.Sequential(nn.Linear(CODES, 128), nn.ReLU(), nn.Linear(128, 64))
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=args.lr)


def log_px(x, z):
    """log p(x|z), summed over pixels."""
    logits = decoder(z)
    return -binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)


def posterior(x):
    """Mean and standard deviation of q(z|x)."""
    mean, spread = encoder(x).chunk(2, -1)
    return torch.distributions.Normal(mean, softplus(spread) + 1e-3)


prior = torch.distributions.Normal(torch.zeros(CODES), torch.ones(CODES))


@torch.no_grad()
def nll(x, samples=50):
    """−log p(x) by importance samples (Burda et al. 2016), with the same random numbers in every epoch."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        q = posterior(x)
        z = q.sample((samples,))
        weight = log_px(x, z) + prior.log_prob(z).sum(-1) - q.log_prob(z).sum(-1)
        return -(weight.logsumexp(0) - math.log(samples)).mean().item()


for epoch in range(1, args.epochs + 1):
    for rows in torch.randperm(len(train)).split(50):
        x = torch.bernoulli(train[rows])
        q = posterior(x)
        z = q.rsample()
        kl = torch.distributions.kl_divergence(q, prior).sum(-1)
        loss = (args.beta * kl - log_px(x, z)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch} loss={loss.item():.4f} kl={kl.mean().item():.4f} val={nll(val):.6f}", flush=True)

print(f"test={nll(test):.6f}")
torch.save({"encoder": encoder.state_dict(), "decoder": decoder.state_dict()}, args.out / "vae.pt")
