"""A GAN with its own loop, loader, schedule and metric: eight heaps of points on a circle. Does a gradient penalty help?

lagrange sweep gan.py --name ring        python gan.py --r1 0.3

The lines that Lagrange asks for are marked with #.
"""

import math

import torch
from torch import nn

from objectives import knob, objective  #

BATCH, STEPS, CODE = 128, 60, 4


def points(n, seed):
    """Points (n, 2) of eight heaps on a circle of radius 2."""
    draw = torch.Generator().manual_seed(seed)
    angle = torch.randint(8, (n,), generator=draw) * math.pi / 4
    return 2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(n, 2, generator=draw)


def energy_distance(a, b):
    """√(2 E|a − b| − E|a − a'| − E|b − b'|): zero where the two sets are the same (Székely and Rizzo 2013)."""
    return (2 * torch.cdist(a, b) - torch.cdist(a, a) - torch.cdist(b, b)).mean().clamp(min=0).sqrt().item()


def mlp(size_in, size_out):
    """Two hidden layers."""
    return nn.Sequential(nn.Linear(size_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, size_out))


def endless(x):
    """Batches without end."""
    while True:
        yield from x[torch.randperm(len(x))].split(BATCH)[:-1]


def discriminator_loss(critic, real, fake, r1):
    """−log D(x) − log(1 − D(G(z))), and ½ r1 ‖∇ₓ critic(x)‖² at real points."""
    real = real.requires_grad_()
    on_real = critic(real)
    (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
    loss = nn.functional.softplus(-on_real).mean() + nn.functional.softplus(critic(fake)).mean()
    return loss + r1 / 2 * slope.square().sum(1).mean()


@objective(  #
    score="val_distance",
    better="lower",
    epochs=10,
    r1=knob(0.01, 10, log=True, off=0.0, unit="weight of the penalty"),
    lr=knob(1e-3, 3e-2, log=True),
)
def train(trial):
    """One training."""
    torch.manual_seed(trial.seed)
    generator, critic = mlp(CODE, 2), mlp(2, 1)
    players = [torch.optim.Adam(one.parameters(), trial.lr, betas=(0.9, 0.99)) for one in (critic, generator)]
    schedules = [torch.optim.lr_scheduler.LinearLR(one, 1.0, 0.1, trial.max_epochs) for one in players]
    parts = {"generator": generator, "critic": critic, "d": players[0], "g": players[1], "s0": schedules[0], "s1": schedules[1]}
    if (state := trial.load()) is not None:  #
        for name, part in parts.items():
            part.load_state_dict(state[name])
    batches, val, codes = endless(points(2000, 0)), points(1000, 1), torch.randn(1000, CODE, generator=torch.Generator().manual_seed(2))
    for _ in trial.epochs():  #
        for real in (next(batches) for _ in range(STEPS)):
            fake = generator(torch.randn(BATCH, CODE))
            players[0].zero_grad()
            discriminator_loss(critic, real, fake.detach(), trial.r1).backward()
            players[0].step()
            players[1].zero_grad()
            nn.functional.softplus(-critic(fake)).mean().backward()
            players[1].step()
        for schedule in schedules:
            schedule.step()
        with torch.no_grad():
            distance = energy_distance(generator(codes), val)
        trial.save({name: part.state_dict() for name, part in parts.items()})  #
        trial.report(val_distance=distance)  #
    with torch.no_grad():
        made = generator(codes)
    trial.finish(test_distance=energy_distance(made, points(1000, 3)), weights=generator.state_dict())  #
