"""What the objectives that train with PyTorch have in common, readable without torch.

A family is an `Objective` and, beside that, the mathematics of one model: `loss`, `evaluate`, `finish`, `test`, `pictures`. Everything
about loops, members, checkpoints and optimizers is in `training/loop.py`.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from objectives import base, data, latents, metrics, models, registry, regularizers
from objectives.checks.device import device_of
from objectives.data._kinds import ImageSet
from objectives.draws import Draws
from objectives.families import _prepared
from objectives.families._prepared import CHEAP_IMAGES
from objectives.features import Extractor, make
from objectives.lazy import Later, Tensor, torch
from objectives.metrics._subject import Subject
from objectives.models import Parts
from objectives.terms import Net, Terms

if TYPE_CHECKING:
    from objectives.training.loop import TrainingRun
    from objectives.training.traced import Trace

_calibration: Any = Later("objectives.training.calibration")  # it needs torch
LR = base.Knob(
    name="lr",
    summary="learning rate of the optimizer",
    formula="η",
    unit="1",
    default=1e-3,
    low=1e-4,
    high=1e-2,
    log=True,
    source="Kingma & Ba 2015",
)
CLIP_NORM = base.Knob(
    name="clip_norm",
    summary="the longest that a player's gradient may be, each member's by its own norm; longer ones are rescaled; 0 is no limit",
    formula="g·min(1, c/‖g‖)",
    unit="norm of the gradient",
    default=0.0,
    low=0.1,
    high=100.0,
    log=True,
    source="Pascanu, Mikolov and Bengio 2013",
)


def latent_dim(default: int) -> base.Knob:
    """The nuisance knob `latent_dim`. It changes tensor shapes: members that differ in it are not stacked."""
    return base.Knob(
        name="latent_dim",
        summary="size of the latent space",
        formula="dim z",
        unit="1",
        default=default,
        low=2,
        high=64,
        log=True,
        integer=True,
        structural=True,
        where="latent",
    )


def knobs_of(objective: str, players: Sequence[str], nuisance: Sequence[base.Knob]) -> dict[str, base.Knob]:
    """The nuisance knobs, and the knobs of every regularizer that acts on the objective."""
    found = {knob.name: knob for knob in nuisance}
    for regularizer in regularizers.acting_on(objective, tuple(players)).values():
        found.update({knob.name: knob for knob in (regularizer.knob, *regularizer.companions)})
    return found


def comparable(images: ImageSet) -> int:
    """On how many training images a generalization gap is measured: as many as there are for validation, but not few."""
    return max(len(images.val), CHEAP_IMAGES)


def metrics_of(
    objective: str, players: Sequence[str], measured: Sequence[base.Metric], exact: Sequence[base.Metric] = (), offers: Sequence[str] = ()
) -> dict[str, base.Metric]:
    """Every number that a family reports: what it measures, what it can be asked for (`offers`) and what the loop logs.

    `exact` metrics have no standard error.
    """
    asked = [metric for name in metrics.measurable(frozenset(offers)) for metric in metrics.declared(name)]
    found = {metric.name: metric for metric in (*asked, *measured, *exact)}
    for metric in (*asked, *measured):
        name = f"{metric.name}_se"
        found[name] = base.Metric(name, f"Standard error over images of {metric.name}", "s / √n", metric.unit, costly=True)
    for player in players:
        suffix, of = (f"_{player[0]}", f" of the {player}") if len(players) > 1 else ("", "")
        for name, what, formula in (("loss", "", "data + Σ λ·penalty"), ("data", " without penalties", "data")):
            name = f"train_{name}{suffix}"
            found[name] = base.Metric(name, f"Training loss{of}{what}, mean over the epoch", formula, "that of the loss")
    for name, regularizer in regularizers.acting_on(objective, tuple(players)).items():
        if regularizer.has("penalty"):
            what = f"Unweighted penalty of {name}, mean over the epoch; logged where it is on"
            found[f"penalty_{name}"] = base.Metric(f"penalty_{name}", what, regularizer.knob.formula, "penalty")
    found["scored_epoch"] = base.Metric("scored_epoch", "The epoch whose weights are scored", "t", "epochs")
    return found


@lru_cache(maxsize=2)
def extractor(options: str, device: str, cache: str | None, features: str) -> Extractor:
    """The features in which a data set's images are compared. Made once per process, because many members use one worker process."""
    return make(loaded(options, device), Path(cache) if cache else None, json.loads(features))


@lru_cache(maxsize=2)
def loaded(options: str, device: str) -> ImageSet:
    """A data set, once per process; `options` is JSON."""
    return data.load(json.loads(options), device)


class Family(base.Objective, _prepared.Preparing):
    """Base of the objectives that train with PyTorch."""

    hands_on: ClassVar[bool] = True
    imports: ClassVar[tuple[str, ...]] = ("objectives.training.loop",)
    cheap: ClassVar[str] = ""  # what schedulers compare after every epoch, where that is not the score
    default_batch_size: ClassVar[int] = 64
    players: ClassVar[Mapping[str, tuple[str, ...]]]  # who is trained, in the order of their steps, and the parts that each owns
    averaged: ClassVar[Mapping[str, str]] = {}  # players whose exponential moving average is what is scored, and the knob of its decay
    dtype: ClassVar[str] = "float32"
    precisions: ClassVar[tuple[str, ...]] = get_args(base.Precision)
    offers: ClassVar[tuple[str, ...]] = ()  # what the family offers to metrics: see `metrics/_subject.py`
    meanings: Mapping[str, str] = {}  # what each part's output is: logits, pixels, codes, posterior
    density = False  # whether its likelihood is a density of real-valued pixels; for families that offer a likelihood
    evaluates_together: ClassVar[bool] = False  # `evaluate` only makes tensors from tensors, so it can be mapped over members
    measures: ClassVar[tuple[str, ...]] = ()  # metric files that are measured for every complete member
    kept: ClassVar[tuple[str, ...]] = ()  # the parts that are used after training; empty: all of them

    def __init__(self, settings: base.Settings) -> None:
        self.settings = replace(settings, device=device_of(settings.device))
        self.traces: dict[Hashable, Trace] = {}  # the traces of its mapped losses, kept for all runs of this process
        self.model, self.deciding = settings.model or self.models[0], settings.metric or self.score
        if self.deciding not in (deciders := [name for name, metric in self.metrics.items() if metric.decides]):
            raise base.ObjectiveError(registry.unknown(f"deciding metric of {self.name!r}", self.deciding, deciders))
        strange = [registry.unknown(f"metric of {self.name!r}", one, [*self.metrics]) for one in settings.beside if one not in self.metrics]
        if wrong := [*models.faults(self.model, self.name), *self.measure_faults(settings.measure), *strange]:
            raise base.ObjectiveError("\n".join(wrong))
        files = metrics.files_of((self.deciding, *settings.beside), frozenset(self.offers))
        # What is asked for or constrained is measured of every complete member; what `measure` names, where it is confirmed.
        always = tuple(dict.fromkeys([*self.measures, *files]))
        self.measured = dict.fromkeys(base.Phase, tuple(dict.fromkeys([*always, *settings.measure]))) | {base.Phase.SEARCH: always}
        self.likelihood = settings.likelihood or next(iter(self.likelihoods), "")
        if settings.likelihood and settings.likelihood not in self.likelihoods:
            raise base.ObjectiveError(registry.unknown(f"likelihood of {self.name!r}", settings.likelihood, self.likelihoods))
        if settings.epochs < 1:
            raise base.ObjectiveError(f"epochs must be at least 1; got {settings.epochs}.")

    # What searches see ------------------------------------------------------------------------------------------------------------------

    @classmethod
    def measure_faults(cls, wanted: Sequence[str]) -> list[str]:
        """Names that are no metrics, or that this family cannot be asked for."""
        known = metrics.measurable(frozenset(cls.offers))
        what = f"measure: a metric that {cls.name!r} can be asked for"
        return [registry.unknown(what, name, known) for name in wanted if name not in known]

    def load_data(self) -> ImageSet:
        """The data set of the settings, loaded once per process.

        Raises:
            ObjectiveError: an option is wrong, files are missing or damaged, or the likelihood means nothing on such data.
        """
        facts = data.module(str(self.settings.dataset.get("name", ""))).DATASET
        if wrong := data.likelihood_faults(facts, self.settings.dataset, self.likelihood):
            raise base.ObjectiveError("\n".join(wrong))
        return loaded(self.options_key(), self.settings.device)

    def options_key(self) -> str:
        """The data set's options as JSON."""
        return json.dumps(dict(self.settings.dataset), sort_keys=True, default=str)

    def prepare(self) -> dict[str, Any]:
        """Load the data and train what is cached; plain facts for the record."""
        return _prepared.facts(self)

    def label_facts(self) -> dict[str, Any]:
        """What the family's own metrics need in their full names."""
        return {}

    def features(self) -> Extractor:
        """The features in which images are compared."""
        return extractor(self.options_key(), self.settings.device, self.settings.cache, json.dumps(dict(self.settings.features or {})))

    def warm_up(self, images: ImageSet) -> dict[str, Any]:
        """Compute what all members share; facts for the record."""
        return {}

    def start(self, members: Sequence[base.Member]) -> TrainingRun:
        """Begin training `members`, which agree in every structural knob."""
        from objectives.training.loop import TrainingRun

        return TrainingRun(self, members)

    def read_test(self, config: base.Config, weights: Path) -> dict[str, float]:
        """Score saved weights on the test split; the key `score` is the deciding metric."""
        from objectives.training.built import read_test

        return read_test(self, config, weights)

    @classmethod
    def bundle(cls, config: base.Config) -> tuple[base.Value, ...]:
        """Members with the same bundle can be trained as one pack: the structural knobs, and which regularizers with a state are on."""
        structural = [config.get(name, knob.default) for name, knob in cls.knobs.items() if knob.structural]
        stateful = [
            name
            for name, found in regularizers.acting_on(cls.name, tuple(cls.players)).items()
            if any(found.has(hook) for hook in ("memory", "step_memory", "parameters"))
            and not found.idle(config.get(name, found.knob.default))
        ]
        return (*structural, *stateful)

    def rehearse(self) -> None:
        """Set up in this process what the first pack needs, before it is timed or waited for."""
        from objectives.training import population

        population.rehearse()

    def calibrate(self, searched: Sequence[str], widest: int, members: int) -> dict[str, Any]:
        """How many of the `members` to be trained here, at most `widest`, train fastest as one program, with the figures."""
        return dict(_calibration.measure(self, searched, widest, members))

    def epoch_seconds(self, config: base.Config) -> float:
        """About how long an epoch of one member takes here."""
        return float(_calibration.epoch_seconds(self, config))

    @classmethod
    def conflicts(cls, intent: base.Intent) -> list[base.Conflict]:
        """What does not go together in a sweep: errors first, then warnings."""
        from objectives.checks import conflicts

        return conflicts.conflicts(cls.name, intent)

    def probes(self, config: base.Config) -> Mapping[str, base.Probe]:
        """One fixed batch per player, for the check that every λ is alive."""
        from objectives.checks import _probe

        return _probe.of(self, config)

    @classmethod
    def parts(cls, shape: tuple[int, int, int], latent_dim: int) -> Parts:
        """What a model of this family must consist of, for images of this shape. Empty: any parts."""
        return {}

    # How the players move ---------------------------------------------------------------------------------------------------------------

    def every(self, player: str, options: base.Config) -> int:
        """A player takes a step once in so many minibatches."""
        return 1

    def rate(self, player: str, columns: Mapping[str, Tensor | float]) -> Tensor | float:
        """A player's learning rate, a float or (K, 1)."""
        return columns["lr"]

    def betas(self, columns: Mapping[str, Tensor | float]) -> tuple[Tensor | float, float]:
        """Adam's β₁, a float or (K, 1), and β₂."""
        return 0.9, 0.999

    # The mathematics of one model -------------------------------------------------------------------------------------------------------

    def loss(self, player: str, net: Net, batch: Tensor, draws: Draws, knobs: Mapping[str, Tensor]) -> Terms:
        """The data term of `player` on a batch (B, D), averaged over it, and what penalties may use."""
        raise NotImplementedError

    def evaluate(self, net: Net, images: ImageSet) -> dict[str, Tensor | float]:
        """Cheap, λ-free metrics for a report; the one named `self.cheap` (else `self.score`) is what schedulers compare."""
        raise NotImplementedError

    def evaluated_images(self, images: ImageSet, options: base.Config) -> int:
        """How many images `evaluate` shows a network at once, at most; `options` are the structural knobs."""
        return min(CHEAP_IMAGES, len(images.val))

    def finish(self, net: Net, images: ImageSet, rungs: Sequence[float]) -> dict[str, float]:
        """All metrics of scored weights, the costly ones too. `rungs` holds the cheap score of every epoch."""
        raise NotImplementedError

    def test(self, net: Net, images: ImageSet) -> dict[str, float]:
        """Metrics on the test split under the names `test_…`."""
        raise NotImplementedError

    def samples(self, net: Net, images: ImageSet, n: int, name: str) -> Tensor:
        """`n` generated images (n, C, H, W), from noise that depends on `name` only; for families that offer samples."""
        return torch.cat([*self.samples_in_parts(net, images, n, name)])

    def samples_in_parts(self, net: Net, images: ImageSet, n: int, name: str) -> Iterator[Tensor]:
        """The same images, some at a time."""
        raise NotImplementedError

    def codes(self, net: Net, x: Tensor) -> Tensor:
        """What the encoder makes of images (n, D): (n, z); for families that offer codes."""
        raise NotImplementedError

    def posterior(self, net: Net, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), (n, z) each, of images (n, C, H, W), noise as `name` says; where a posterior is offered."""
        raise NotImplementedError

    def neg_log_likelihood(self, net: Net, images: ImageSet, x: Tensor | Iterable[Tensor], name: str) -> Tensor:
        """A bound on −log p(x) in nats (n,), of images x (n, C, H, W), or of parts of them, noise as `name` says; where it is offered."""
        raise NotImplementedError

    def anomaly(self, net: Net, images: ImageSet, x: Tensor) -> Tensor:
        """How strange images x (n, C, H, W) are, (n,): higher is stranger. For families that offer it."""
        raise NotImplementedError

    def sampler(self, net: Net, images: ImageSet) -> latents.Sample:
        """Draws codes from the density that the settings name (a Gaussian if none), fitted to the codes of training images."""
        return latents.fit(self.settings.latents or "gaussian", Subject(self, net, images, "val").codes("train"))

    def pictures(self, net: Net, images: ImageSet) -> Mapping[str, Tensor]:
        """Images (n, C, H, W) in [0, 1] by name, the same inputs and codes at every call; `output` are reconstructions of `input`."""
        return {}
