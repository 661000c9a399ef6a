"""Worlds: what every config of a space would score, for every seed, without a training. See docs/certainty.md for the list.

Scores are in units of the noise of one training at the minimum, so a regret of 1 is one standard deviation of one training. A world has

- `mean(config)`: the expected final score; lower is better; its least value is 0;
- `sd(config)`: the standard deviation over seeds;
- `lost(config)`: how likely a training ends without a score: 1 beyond a cliff, a constant where seeds collapse by chance.

One seed moves neighbours alike and distant configs apart: its share of the noise is a smooth random function of the place in the range,
with correlation `NEAR·exp(−½ (d / REACH)²)` at distance d. Real trainings show 0.6 to 0.8 between neighbours a factor of two apart, and
−0.1 to 0.2 between λ off and the chosen λ.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from objectives.base import Value

Config = Mapping[str, Value]
NEAR, REACH = 0.75, 0.25  # the part of a seed's noise that neighbours share, and how far neighbours reach, as a part of the range
WAVES = 24  # how many random waves make a seed's smooth function
OFF = -0.6  # where λ = 0 lies for that function: far from any λ of a log range
FLOOR_LR, BEST_LR, TOP_LR = 1e-4, 3e-3, 1e-1
BETA, L2, LR = (0.1, 10.0), (1e-6, 1e-1), (FLOOR_LR, TOP_LR)
RANGES = {"beta": BETA, "l2": L2, "lr": LR}


def place(name: str, value: Value) -> float:
    """Where a value lies in its range, 0 to 1; λ = 0 lies at `OFF`."""
    low, high = RANGES[name]
    return math.log(float(value) / low) / math.log(high / low) if float(value) > 0 else OFF


def no_noise_more(config: Config) -> float:
    return 1.0


def paired(config: Config) -> float:
    """What is left of the noise where nearly all of it is a shift that a seed gives to all configs."""
    return 0.15


def never(config: Config) -> float:
    return 0.0


@dataclass(frozen=True)
class World:
    """One truth. `searched` are the searched knobs, λ first; `best` is a config with the least expected score."""

    name: str
    what: str
    searched: tuple[str, ...]
    mean: Callable[[Config], float]
    best: Mapping[str, float]
    sd: Callable[[Config], float] = no_noise_more
    shift: float = 0.0  # the standard deviation of what a seed adds to all configs alike
    lost: Callable[[Config], float] = never
    tails: int = 0  # degrees of freedom of Student's t; 0: normal
    modelled: bool = True  # whether a smooth curve can describe it
    fixed: Mapping[str, Value] = field(default_factory=dict)
    measures: Mapping[str, Callable[[Config], float]] = field(default_factory=dict)  # expected values of other metrics, by name
    measured_sd: float = 0.2  # their standard deviation over seeds

    @property
    def lambdas(self) -> tuple[str, ...]:
        return tuple(name for name in self.searched if name != "lr")

    def spec(self, seed: int, **more: Any) -> dict[str, Any]:
        """The sweep that searches this world."""
        search = {name: {"low": RANGES[name][0], "high": RANGES[name][1]} for name in self.searched}
        return {"objective": "vae", "search": search, "fixed": dict(self.fixed), "pack": 1, "check": False, "seed": seed, **more}

    def score(self, config: Config, seed: int) -> float:
        """What a training ends with: NaN where it ends without a score."""
        if uniform("lost", self.name, seed, *self._key(config)) < self.lost(config):
            return math.nan
        shift = self.shift * normal("shift", self.name, seed) if self.shift else 0.0
        return self.mean(config) + self.sd(config) * self._luck(config, seed) + shift

    def measured(self, config: Config, seed: int, share: float = 1.0) -> dict[str, float]:
        """The other metrics of a training that has come to this share of its end."""
        return {
            name: share * mean(config) + self.measured_sd * normal(name, self.name, seed, *self._key(config))
            for name, mean in self.measures.items()
        }

    def regret(self, config: Config) -> float:
        """How far the expected score of a config is above the least; where trainings are lost, the rest counts as 10."""
        lost = self.lost(config)
        return (1 - lost) * self.mean(config) + lost * 10.0 if lost < 1 else 10.0

    def _key(self, config: Config) -> list[object]:
        return [float(config[name]) for name in self.searched]

    def _luck(self, config: Config, seed: int) -> float:
        places = np.array([place(name, config[name]) for name in self.searched])
        shared = smooth(seed, len(places), self.name)(places)
        own = normal("own", self.name, seed, *self._key(config))
        z = math.sqrt(NEAR) * shared + math.sqrt(1 - NEAR) * own
        if not self.tails:
            return z
        # One factor for a seed and a config: t with `tails` degrees of freedom, scaled to a standard deviation of 1.
        chi = generator("tails", self.name, seed, *self._key(config)).chisquare(self.tails)
        return z / math.sqrt(chi / self.tails) / math.sqrt(self.tails / (self.tails - 2))


def generator(*what: object) -> np.random.Generator:
    """A stream of random numbers that is a function of `what`."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr(what).encode()).digest()[:8], "big"))


def normal(*what: object) -> float:
    return float(generator(*what).normal())


def uniform(*what: object) -> float:
    return float(generator(*what).uniform())


@lru_cache(maxsize=4096)
def smooth(seed: int, dims: int, world: str) -> Callable[[Any], float]:
    """A random function with mean 0, variance 1 and correlation exp(−½ (d / REACH)²): random Fourier features (Rahimi and Recht 2007)."""
    rng = generator("smooth", world, seed)
    waves, phases = rng.normal(size=(WAVES, dims)) / REACH, rng.uniform(0, 2 * math.pi, WAVES)
    return lambda at: float(math.sqrt(2 / WAVES) * np.cos(waves @ at + phases).sum())


# ------------------------------------------------------------------------------------------------------------------------ the worlds

C = -3.3  # log10 of the best l2


def tuned(lr: Value, weight: float = 2.0) -> float:
    """What a learning rate costs: `weight` at half a decade, and more above than below."""
    off = math.log10(float(lr) / BEST_LR) / 0.5
    return weight * off * off * (1.5 if off > 0 else 1.0)


def bowl(gain: float, weight: float = 2.0) -> Callable[[Config], float]:
    """A smooth bowl over log λ, 2 sd at a decade; λ off is `gain` worse than the minimum. `weight`: see `tuned`."""

    def mean(config: Config) -> float:
        l2 = float(config["l2"])
        rise = 2.0 * (math.log10(l2) - C) ** 2 if l2 > 0 else gain
        # Weak regularization is as good as none: the bowl's low side ends at the level of λ off.
        return (min(rise, gain) if 0 < l2 < 10**C else rise) + tuned(config["lr"], weight)

    return mean


def valley(config: Config) -> float:
    """As the digits VAE: 100 sd a decade² below β = 0.7, 140 above; β = 1 is 3.4 sd worse."""
    x = math.log10(float(config["beta"]) / 0.7)
    return (100.0 if x < 0 else 140.0) * x * x + tuned(config["lr"], 4.0)


def above_four(config: Config) -> float:
    return float(float(config["beta"]) > 4)


def two(config: Config) -> float:
    """Two λ that interact: the more of the one, the less of the other is best; off by 3 sd."""
    x = math.log10(float(config["beta"]) / 0.5) / 0.4
    l2 = float(config["l2"])
    y = (math.log10(l2) - C) / 1.2 if l2 > 0 else -1.6
    return x * x + y * y + 1.2 * x * y + tuned(config["lr"])


def plateau(config: Config) -> float:
    """Flat over two decades, steep beyond; λ off is 2 sd worse."""
    l2 = float(config["l2"])
    x = (math.log10(l2) - C) / 1.2 if l2 > 0 else -(2.0**0.25)
    return x**4 + tuned(config["lr"])


def edge(config: Config) -> float:
    """The more the better, up to the end of the range."""
    l2 = float(config["l2"])
    return 3.0 * (1 - place("l2", l2)) ** 1.5 + tuned(config["lr"]) if l2 > 0 else 3.0 + tuned(config["lr"])


CLIFF = -2.6


def cliff(config: Config) -> float:
    """Better and better toward a cliff, where trainings diverge."""
    l2 = float(config["l2"])
    x = (CLIFF - 0.2 - math.log10(l2)) / 1.5 if l2 > 0 else 1.5
    return min(1.3 * x * x, 3.0) + tuned(config["lr"])


def beyond_cliff(config: Config) -> float:
    return 1.0 if float(config["l2"]) > 10**CLIFF else 0.0


def growing(config: Config) -> float:
    """The noise grows fourfold over the range."""
    l2 = float(config["l2"])
    return 2.0 ** (3.0 * (place("l2", l2) - place("l2", 10**C))) if l2 > 0 else 0.5


def rugged(config: Config) -> float:
    """A bowl with ripples of 1.5 sd, a third of a decade long."""
    l2 = float(config["l2"])
    if l2 <= 0:
        return 2.0 + tuned(config["lr"])
    x = math.log10(l2) - C
    return 1.0 * x * x + 0.75 * (1 - math.cos(2 * math.pi * x / 0.35)) + tuned(config["lr"])


def chance(config: Config) -> float:
    return 0.2


# The digits VAE as it was trained: β, mean val_nll_nats and its standard error over 20 seeds (docs/log.md, 2026-11-20), lr 0.005.
DIGITS = (
    (0.1, 34.476, 0.123),
    (0.2, 28.719, 0.087),
    (0.3, 26.065, 0.069),
    (0.45, 24.090, 0.035),
    (0.6, 23.500, 0.013),
    (0.7, 23.435, 0.011),
    (0.8, 23.471, 0.011),
    (0.9, 23.550, 0.011),
    (1.0, 23.653, 0.012),
    (1.5, 24.243, 0.021),
    (3.0, 26.575, 0.016),
    (10.0, 27.104, 0.007),
)
UNIT_NATS = 0.011 * math.sqrt(20)  # the sd of one training at the best β


def digits(config: Config) -> float:
    """The table, between its rows a curve of the third degree in log β that has no other minimum."""
    return (float(_digits_mean(math.log(float(config["beta"])))) - 23.435) / UNIT_NATS + tuned(config["lr"], 4.0)


def digits_sd(config: Config) -> float:
    rows = [math.log(beta) for beta, _, _ in DIGITS]
    return float(np.interp(math.log(float(config["beta"])), rows, [error for _, _, error in DIGITS])) * math.sqrt(20) / UNIT_NATS


@lru_cache(maxsize=4096)
def _digits_mean(at: float) -> float:
    from scipy.interpolate import PchipInterpolator

    rows = np.array([(math.log(beta), mean) for beta, mean, _ in DIGITS])
    return float(PchipInterpolator(rows[:, 0], rows[:, 1])(at))


R1_OF_L2, GAN_BEST = 1000.0, 9  # the range of l2 stands for that of R1, 0.001 … 100; the best row
# A GAN on digits as it was trained: R1, mean val_kid and its standard error over 12 seeds; `mlp_small`, 20 epochs, lr 0.001, 2026-11-29.
GAN = (
    (0.0, 0.2957, 0.0109),
    (10 ** -3.0, 0.3314, 0.0327),
    (10 ** -2.5, 0.3094, 0.0371),
    (10 ** -2.0, 0.2597, 0.0224),
    (10 ** -1.5, 0.2288, 0.0282),
    (10 ** -1.0, 0.1560, 0.0157),
    (10 ** -0.5, 0.0708, 0.0039),
    (10 ** 0.0, 0.0329, 0.0035),
    (10 ** 0.5, 0.0227, 0.0036),
    (10 ** 1.0, 0.0222, 0.0027),
    (10 ** 1.5, 0.0388, 0.0031),
    (10 ** 2.0, 0.2778, 0.0153),
)  # fmt: skip
UNIT_KID = GAN[GAN_BEST][2] * math.sqrt(12)


def gan(config: Config) -> float:
    """The table, between its rows a curve of the third degree in log R1 that has no other minimum."""
    l2 = float(config["l2"])
    kid = float(_gan_mean(math.log10(l2 * R1_OF_L2))) if l2 > 0 else GAN[0][1]
    return (kid - GAN[GAN_BEST][1]) / UNIT_KID + tuned(config["lr"])


def gan_sd(config: Config) -> float:
    """The table's spread over seeds: ten times as large with a weak R1 as at the best."""
    l2 = float(config["l2"])
    rows = [math.log10(r1) for r1, _, _ in GAN[1:]]
    error = float(np.interp(math.log10(l2 * R1_OF_L2), rows, [one[2] for one in GAN[1:]])) if l2 > 0 else GAN[0][2]
    return error * math.sqrt(12) / UNIT_KID


@lru_cache(maxsize=4096)
def _gan_mean(at: float) -> float:
    from scipy.interpolate import PchipInterpolator

    rows = np.array([(math.log10(r1), mean) for r1, mean, _ in GAN[1:]])
    return float(PchipInterpolator(rows[:, 0], rows[:, 1])(at))


ON_CLIFF = {"l2": 10 ** (CLIFF - 0.2), "lr": BEST_LR}
BEST_L2 = {"l2": 10**C, "lr": BEST_LR}
WORLDS = {
    world.name: world
    for world in (
        *(World(f"bowl-{g}", f"a smooth bowl, λ gains {g} sd", ("l2", "lr"), bowl(float(g)), BEST_L2) for g in (0, 1, 2, 4)),
        World("valley", "a sharp valley, lost above β = 4", ("beta", "lr"), valley, {"beta": 0.7, "lr": BEST_LR}, lost=above_four),
        World("digits", "the digits VAE as tabulated: 12 β × 20 seeds", ("beta", "lr"), digits, {"beta": 0.7, "lr": BEST_LR}, sd=digits_sd),
        World("gan", "a GAN as tabulated: off and 11 R1 × 12 seeds", ("l2", "lr"), gan, {"l2": 10 / R1_OF_L2, "lr": BEST_LR}, sd=gan_sd),
        World("two", "two λ that interact", ("beta", "l2", "lr"), two, {"beta": 0.5, "l2": 10**C, "lr": BEST_LR}),
        World("plateau", "a flat valley two decades wide", ("l2", "lr"), plateau, BEST_L2),
        World("edge", "the best λ lies at the end of the range", ("l2", "lr"), edge, {"l2": L2[1], "lr": BEST_LR}),
        World("cliff", "trainings diverge just beyond the best λ", ("l2", "lr"), cliff, ON_CLIFF, lost=beyond_cliff),
        World("growing", "noise that grows with λ", ("l2", "lr"), bowl(2.0), BEST_L2, sd=growing),
        World("tails", "noise with heavy tails (t with 3 degrees of freedom)", ("l2", "lr"), bowl(2.0), BEST_L2, tails=3),
        World("chance", "every fifth training collapses, whatever λ is; λ does nothing", ("l2", "lr"), bowl(0.0), BEST_L2, lost=chance),
        World("rugged", "a bowl with ripples that no smooth curve fits", ("l2", "lr"), rugged, BEST_L2, modelled=False),
        World("shift-0", "a seed moves all configs alike; λ does nothing", ("l2", "lr"), bowl(0.0, 3.0), BEST_L2, sd=paired, shift=1.0),
        World("shift-1", "the same, λ gains half a sd", ("l2", "lr"), bowl(0.5, 3.0), BEST_L2, sd=paired, shift=1.0),
        World("alone", "a smooth bowl, λ gains 2 sd, no nuisance knob", ("l2",), bowl(2.0), BEST_L2, fixed={"lr": BEST_LR}),
    )
}  # fmt: skip
