"""A stand-alone PyTorch script of a config: it trains without Lagrange and comes to the same number with the same seed.

A script has what can be read in one go: networks of linear layers, Adam, λ whose formula is one line, data that scikit-learn or torchvision
gives. All else is refused by name. Random numbers are those of `objectives/draws.py`: a stream for each use, seeded by the member's seed
and the name of the use. `tests/search/test_script.py` holds scripts to the trainings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from objectives.base import Knob, Value
from objectives.registry import load
from search.errors import SpecError

# The layers of each network that a script can have: encoder and decoder, or generator and discriminator. D is the size of an image.
_CHAINS: dict[tuple[str, str], tuple[str, str]] = {
    ("autoencoder", "mlp"): ("mlp([D, 128, latent_dim], nn.ReLU)", "mlp([latent_dim, 128, D], nn.ReLU)"),
    ("autoencoder", "mlp512"): ("mlp([D, 512, latent_dim], nn.ReLU)", "mlp([latent_dim, 512, D], nn.ReLU, nn.Sigmoid())"),
    ("autoencoder", "shallow"): ("mlp([D, latent_dim], nn.ReLU, nn.ReLU())", "mlp([latent_dim, D], nn.ReLU)"),
    ("autoencoder", "linear"): ("mlp([D, latent_dim], nn.ReLU, bias=False)", "mlp([latent_dim, D], nn.ReLU, bias=False)"),
    ("vae", "mlp400"): ("mlp([D, 400, 2 * latent_dim], nn.ReLU)", "mlp([latent_dim, 400, D], nn.ReLU)"),
    ("vae", "mlp512"): ("mlp([D, 512, 2 * latent_dim], nn.ReLU)", "mlp([latent_dim, 512, D], nn.ReLU)"),
    ("gan", "mlp_small"): ("mlp([latent_dim, 128, 128, D], Leaky, UnitInterval())", "mlp([D, 128, 64, 1], Leaky)"),
}
# The unweighted penalty of each λ, as a line of code. A GAN's player has its own `weights`.
_WEIGHTS = {
    "l2": "0.5 * sum(w.square().sum() for w in {of})",
    "l1": "sum(w.abs().sum() for w in {of})",
    "l2_unsquared": "(sum(w.square().sum() for w in {of}) + 1e-12).sqrt()",
}
_PENALTIES: dict[str, dict[str, str]] = {
    "autoencoder": {
        **{name: line.format(of="weights(encoder, decoder)") for name, line in _WEIGHTS.items()},
        "l2_decoder": _WEIGHTS["l2"].format(of="weights(decoder)"),
        "latent_l2": "0.5 * z.square().sum(-1).mean()",
    },
    "vae": {
        **{name: line.format(of="weights(encoder, decoder)") for name, line in _WEIGHTS.items()},
        "l2_decoder": _WEIGHTS["l2"].format(of="weights(decoder)"),
        "beta": "kl",
        "latent_moment": "0.5 * (mean.square() + log_variance.exp() - 1).square().mean()",
    },
    "gan": {
        f"{name}_{player[0]}": line.format(of=f"weights({player})")
        for name, line in _WEIGHTS.items()
        for player in ("generator", "discriminator")
    },
}
_GAMES = {
    "non_saturating": ("F.softplus(-on_real).mean() + F.softplus(on_fake).mean()", "F.softplus(-on_fake).mean()"),
    "minimax": ("F.softplus(-on_real).mean() + F.softplus(on_fake).mean()", "-F.softplus(on_fake).mean()"),
    "hinge": ("(1 - on_real).relu().mean() + (1 + on_fake).relu().mean()", "-on_fake.mean()"),
    "lsgan": ("0.5 * (on_real - 1).square().mean() + 0.5 * on_fake.square().mean()", "0.5 * (on_fake - 1).square().mean()"),
    "wasserstein": ("on_fake.mean() - on_real.mean()", "-on_fake.mean()"),
}
_OWN = {"autoencoder": ("lr", "latent_dim"), "vae": ("lr", "latent_dim"), "gan": ("lr", "latent_dim", "lr_ratio", "beta1", "loss", "ema")}
_TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
_DATA = ("digits", *_TORCHVISION)
# Keys of a spec that would change what is trained or measured.
_STRANGE = ("schedule", "constraints", "measure", "features", "latents", "output")


def written(spec: Mapping[str, Any]) -> str:
    """The script of an exported spec.

    Raises:
        SpecError: with all that a script cannot have, by name.
    """
    family = str(spec["objective"])
    if family not in _PENALTIES:
        raise SpecError([f"--format script can write {', '.join(_PENALTIES)}; got the objective {family!r}. Take yaml or json."])
    knobs = load(family).knobs
    config: dict[str, Value] = {name: knob.default for name, knob in knobs.items()} | dict(spec["fixed"])
    if wrong := _faults(spec, family, knobs, config):
        raise SpecError([f"--format script cannot have {fault}" for fault in wrong])
    labelled = _labelled(spec) if family == "gan" else ""
    return _HEAD.format(**_facts(spec, config)) + _data(spec) + labelled + _MODEL + _body(spec, family, config)


def _faults(spec: Mapping[str, Any], family: str, knobs: Mapping[str, Knob], config: Mapping[str, Value]) -> list[str]:
    other = "take yaml, which `lagrange train` takes"
    found = []
    if (family, str(spec.get("model"))) not in _CHAINS:
        known = ", ".join(model for kind, model in _CHAINS if kind == family)
        found.append(f"the model {spec.get('model')!r} (it has {known}): {other}.")
    data = {key: value for key, value in spec["dataset"].items() if value is not None and key not in ("name", "root", "train_size")}
    if spec["dataset"].get("name") not in _DATA or data.get("binarize", "dynamic") == "static" or "hold_out" in data:
        found.append(f"the data set {spec['dataset'].get('name')!r} with these options (it has {', '.join(_DATA)} as they are): {other}.")
    for name, value in config.items():
        if name in _PENALTIES[family] or name in _OWN[family]:
            continue
        knob = knobs.get(name)
        if knob is None or value not in (knob.off, knob.default):
            found.append(f"{name} = {value!r}, whose formula is more than a line: {other}.")
    if family == "gan" and config["loss"] not in _GAMES:
        found.append(f"loss = {config['loss']!r}, which pairs images: {other}.")
    found += [f"{key}: {other}." for key in _STRANGE if spec.get(key)]
    found += [f"score: {spec['score']}: {other}."] if spec.get("score", "last") != "last" else []
    found += [f"precision: {spec['precision']}: {other}."] if spec.get("precision", "float32") != "float32" else []
    return found


def _facts(spec: Mapping[str, Any], config: Mapping[str, Value]) -> dict[str, Any]:
    family, told, digits = str(spec["objective"]), spec.get("provenance", {}), spec["dataset"]["name"] == "digits"
    named = [name for name in spec["fixed"] if name in _PENALTIES[family] or name in _OWN[family]]
    named += [name for name in (*_OWN[family], *(["beta"] if family == "vae" else [])) if name not in named]
    promise = spec.get("promise") or {}
    seed = next((one["seed"] for one in promise.get("confirmed", [])), 0)
    known = f"; promised: {promise['mean']:.6g} [{promise['low']:.6g}, {promise['high']:.6g}]" if promise else ""
    return {
        "title": f"{family} {spec['model']} on {spec['dataset']['name']}: the config that the sweep {told.get('sweep')} chose{known}.",
        "needs": "scikit-learn" if digits else "torchvision",
        "fetches": "" if digits else f"\nFetches the data into {spec['dataset'].get('root') or 'data'} where it is not there.",
        "knobs": "\n".join(f"{name} = {config[name]!r}" for name in named),
        "epochs": spec["budget"]["epochs"],
        "batch_size": spec.get("batch_size") or 64,
        "seed": seed,
    }


def _data(spec: Mapping[str, Any]) -> str:
    dataset = spec["dataset"]
    few = f"[:{dataset['train_size']}]" if dataset.get("train_size") else ""
    if dataset["name"] == "digits":
        return _DIGITS.format(few=few)
    return _IDX.format(few=few, kind=_TORCHVISION[dataset["name"]], root=str(dataset.get("root") or "data"))


def _labelled(spec: Mapping[str, Any]) -> str:
    """What the classifier is trained on in whose features a GAN's samples are compared: all training images."""
    dataset = spec["dataset"]
    if dataset["name"] == "digits":
        return "labels = torch.from_numpy(load_digits().target[order[:1077]]).long()\nlabelled = pixels[order[:1077]]\n"
    source = f"datasets.{_TORCHVISION[dataset['name']]}({str(dataset.get('root') or 'data')!r}, train=True)"
    return f"labels = {source}.targets[order[:cut]]\nlabelled = pixels[order[:cut]]\n"


def _body(spec: Mapping[str, Any], family: str, config: Mapping[str, Value]) -> str:
    first, second = _CHAINS[family, str(spec["model"])]
    knobs = load(family).knobs
    on = sorted(name for name in _PENALTIES[family] if config[name] != 0 and (name == "beta" or config[name] != knobs[name].off))
    if family != "gan":
        penalties = "".join(f"        loss = loss + {name} * {_PENALTIES[family][name]}\n" for name in on)
        text = _AUTOENCODER if family == "autoencoder" else _VAE
        bernoulli = spec.get("likelihood") != "gaussian"
        return text.format(encoder=first, decoder=second, penalties=penalties, **(_BERNOULLI if bernoulli else _GAUSSIAN))
    played = _GAMES[str(config["loss"])]
    of = {player: "".join(f" + {name} * {_PENALTIES[family][name]}" for name in on if name.endswith(player)) for player in ("_d", "_g")}
    judge = _JUDGES["digits" if spec["dataset"]["name"] == "digits" else "lenet"]
    return _GAN.format(generator=first, discriminator=second, on_d=played[0] + of["_d"], on_g=played[1] + of["_g"], **judge)


_HEAD = '''"""{title}

Trains without Lagrange: needs torch, numpy and {needs}. With the seed of a confirmed training it comes to that training's number.
Writes the trained weights to weights.pt in the current folder, or to --out FILE, over a file that is there.{fetches}
"""

import argparse
import copy
import hashlib
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

{knobs}
epochs = {epochs}
batch_size = {batch_size}

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default={seed})
parser.add_argument("--out", default="weights.pt", help="the file for the trained weights")
options = parser.parse_args()
torch.set_num_threads(1)


def derived(seed, name):
    """The seed of one use of random numbers: 63 bits of SHA-256."""
    return int.from_bytes(hashlib.sha256(f"{{seed}}/{{name}}".encode()).digest()[:8], "big") >> 1


class Streams(dict):
    """A generator for each use of random numbers."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def __missing__(self, name):
        self[name] = torch.Generator().manual_seed(derived(self.seed, name))
        return self[name]

    def normal(self, shape, name):
        return torch.randn(shape, generator=self[name])

    def uniform(self, shape, name):
        return torch.rand(shape, generator=self[name])


draws = Streams(options.seed)
'''

_DIGITS = """
from sklearn.datasets import load_digits

pixels = torch.from_numpy(load_digits().images.astype("float32")).div(16).flatten(1)
order = np.random.RandomState(0).permutation(len(pixels))
train, val = pixels[order[:1077]]{few}, pixels[order[1077:1437]]
"""

_IDX = """
from torchvision import datasets

pixels = datasets.{kind}({root!r}, train=True, download=True).data.float().div(255).flatten(1)
order = np.random.RandomState(0).permutation(len(pixels))
cut = len(pixels) - len(pixels) // 6
train, val = pixels[order[:cut]]{few}, pixels[order[cut:]]
"""

_MODEL = """D = train.shape[1]
batch_size = min(batch_size, len(train))


def mlp(widths, activation, last=None, bias=True):
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs, bias=bias), activation()]
    return nn.Sequential(*layers[:-1], *([last] if last else []))


def weights(*parts):
    return [p for part in parts for p in part.parameters() if p.ndim > 1]


def adam(lr, parameters, beta1=0.9):
    return torch.optim.Adam(parameters, lr=lr, betas=(beta1, 0.999), foreach=False)


def batches():
    order = torch.randperm(len(train), generator=draws["order"])
    for start in range(0, len(train) - batch_size + 1, batch_size):
        yield train[order[start : start + batch_size]]


torch.manual_seed(derived(options.seed, "init"))
"""

_AUTOENCODER = """encoder = {encoder}
decoder = {decoder}
optimizer = adam(lr, [*encoder.parameters(), *decoder.parameters()])
for epoch in range(epochs):
    for x in batches():
        z = encoder(x)
        loss = 0.5 * (x - decoder(z)).square().sum(-1).mean()
{penalties}        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        score = 0.5 * (val - decoder(encoder(val))).square().sum(-1).mean()
    print(f"epoch {{epoch + 1}} val_half_sse {{score:.8g}}")
torch.save({{"encoder": encoder.state_dict(), "decoder": decoder.state_dict()}}, options.out)
print(f"val_half_sse {{score:.9g}}; wrote {{options.out}}")
"""

_VAE = """encoder = {encoder}
decoder = {decoder}
optimizer = adam(lr, [*encoder.parameters(), *decoder.parameters()])


def observed(x, draws):
    return {observed}


def nats(out, x):
    return {nats}


for epoch in range(epochs):
    for batch in batches():
        x = observed(batch, draws)
        mean, log_variance = encoder(x).chunk(2, -1)
        out = decoder(mean + (0.5 * log_variance).exp() * draws.normal(mean.shape, "latent"))
        kl = (0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)).sum(-1).mean()
        loss = nats(out, x).mean()
{penalties}        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {{epoch + 1}} loss {{loss:.6g}}")
torch.save({{"encoder": encoder.state_dict(), "decoder": decoder.state_dict()}}, options.out)

# The importance-weighted bound on -log p(x) with 100 samples of z, on at most 2,000 validation images and noise that never changes.
fixed = Streams(derived(0, "vae/val"))
found = []
with torch.no_grad():
    for x in torch.split(observed(val[:2000], fixed), 100):
        mean, log_variance = (value[:, None] for value in encoder(x).chunk(2, -1))
        noise = fixed.normal((len(x), 100, latent_dim), "iwae")
        z = mean + (0.5 * log_variance).exp() * noise
        ratio = 0.5 * (noise.square() + log_variance - z.square()).sum(-1)
        found.append((ratio - nats(decoder(z), x[:, None])).double())
log_w = torch.cat(found)
print(f"val_nll_nats {{(math.log(100) - log_w.logsumexp(1)).mean():.9g}}; wrote {{options.out}}")
"""
_BERNOULLI = {
    "observed": '(draws.uniform(x.shape, "binarize") < x).to(x.dtype)',
    "nats": 'F.binary_cross_entropy_with_logits(out, x.expand_as(out), reduction="none").sum(-1)',
}
_GAUSSIAN = {"observed": "x", "nats": "0.5 * (x - out).square().sum(-1) + 0.5 * D * math.log(2 * math.pi)"}

# The classifier whose features are the default on these images, and how it is trained (objectives/features: `classifier`, `lenet`).
_JUDGES: dict[str, dict[str, str | int | float]] = {
    "digits": {
        "layers": "nn.Linear(D, 128), nn.ReLU(), nn.Linear(128, 32), nn.LeakyReLU(0.1), nn.Linear(32, 10)",
        "passes": 40,
        "rows": 32,
        "rate": 0.05,
    },
    "lenet": {
        "layers": """
    nn.Unflatten(1, (1, 28, 28)),
    *(nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(32, 64, 5), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Flatten(), nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 10)),
""",
        "passes": 2,
        "rows": 32,
        "rate": 0.03,
    },
}

_GAN = """

class Leaky(nn.LeakyReLU):
    def __init__(self):
        super().__init__(0.2)


class UnitInterval(nn.Module):
    def forward(self, x):
        return (torch.tanh(x) + 1) / 2


generator = {generator}
discriminator = {discriminator}
optimizers = [adam(lr * lr_ratio, discriminator.parameters(), beta1), adam(lr, generator.parameters(), beta1)]
averages = [p.detach().clone() for p in generator.parameters()]
scored = copy.deepcopy(generator)
steps = 0

# The score compares images in what a classifier computes before its last layer. It is trained on labelled images with a seed of its own.
torch.manual_seed(0)
judge = nn.Sequential({layers})
parameters = list(judge.parameters())
velocities = [torch.zeros_like(p) for p in parameters]
passes = [rows for _ in range({passes}) for rows in torch.split(torch.randperm(len(labelled)), {rows})]
for done, rows in enumerate(passes):
    gradients = torch.autograd.grad(F.cross_entropy(judge(labelled[rows] - 0.5), labels[rows]), parameters)
    with torch.no_grad():
        for p, velocity, gradient in zip(parameters, velocities, gradients):
            velocity.mul_(0.9).add_(gradient)
            p.sub_({rate} * (1 - done / len(passes)) * velocity)


@torch.no_grad()
def features(images):
    return torch.cat([judge[:-1](x - 0.5) for x in images.split(1000)])


with torch.no_grad():  # features have a mean square of 1 over the training images
    scale = float(torch.cat([features(x).square().mean(1) for x in labelled.split(1000)]).mean().rsqrt())
    for p in judge[-3].parameters():
        p.mul_(scale)
real = features(val[:2000]).double()
noise = Streams(derived(0, "gan/val")).normal((len(real), latent_dim), "latent")  # it never changes


def kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def kid(fake):
    # The kernel inception distance: the unbiased squared MMD of fake and real features, mean over blocks of at most 1,000 images.
    blocks, found = min(-(-len(real) // 1000), len(real) // 2), 0.0
    for x, y in zip(fake.tensor_split(blocks), real.tensor_split(blocks)):
        within = [(k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)) for k in (kernel(x, x), kernel(y, y))]
        found += float(sum(within) - 2 * kernel(x, y).mean()) / blocks
    return found


def step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


scores = []
for epoch in range(epochs):
    for x in batches():
        fake = generator(draws.normal((batch_size, latent_dim), "latent")).detach()
        on_fake, on_real = discriminator(2 * fake - 1).squeeze(-1), discriminator(2 * x - 1).squeeze(-1)
        step(optimizers[0], {on_d})
        on_fake = discriminator(2 * generator(draws.normal((batch_size, latent_dim), "latent")) - 1).squeeze(-1)
        step(optimizers[1], {on_g})
        decay = min(ema, (1 + steps) / (10 + steps))
        for average, p in zip(averages, generator.parameters()):
            average.add_((p.detach() - average) * (1 - decay))
        steps += 1
    with torch.no_grad():
        for average, p in zip(averages, scored.parameters()):
            p.copy_(average)
        scores.append(kid(features(scored(noise)).double()))
    print(f"epoch {{epoch + 1}} val_kid {{scores[-1]:.8g}}")
torch.save({{"generator": scored.state_dict()}}, options.out)
last = scores[-min(5, math.ceil(epochs / 5)) :]
print(f"val_kid {{sum(last) / len(last):.9g}}; wrote {{options.out}}")
"""
