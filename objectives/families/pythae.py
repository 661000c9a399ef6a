"""pythae's models as objectives: `objective: pythae:BetaVAE`. This file says what they are, readable without torch and without pythae.

The loss is pythae's own, with its parameters under its own names. (A knob's summary says which knob of ours it is, by
`conventions/pythae.py`.) The network is one of ours, or the user's `package.module:function`. Data, scores and metrics are ours too: a
likelihood at β = 1 with fixed binarization, or ½SSE. They can be compared with what `vae` and `autoencoder` reach. `_pythae_run.py` trains.

Here are the models that one Adam trains and whose posterior is a point, or Gaussian with a standard normal prior. Not here: adversaries
(Adversarial_AE, FactorVAE, VAEGAN), flows and Hamiltonian steps (HVAE, RHVAE, VAE_IAF, VAE_LinNF), learned priors (VAMP), spheres and
hyperbolic spaces (SVAE, PoincareVAE), codebooks (VQVAE), PIWAE, which trains encoder and decoder on two losses, and MSSSIM_VAE, which needs
large images.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from objectives import base, registry
from objectives.conventions.pythae import PYTHAE
from objectives.families._family import LR
from objectives.families.autoencoder import Autoencoder
from objectives.families.vae import VAE

if TYPE_CHECKING:
    from objectives.families._pythae_run import PythaeProbe, PythaeRun

PREFIX = "pythae:"
SOURCE = "pythae 0.1.2 (clementchadebec/benchmark_VAE)"


def _knob(name: str, summary: str, formula: str, default: float, low: float, high: float, **facts: Any) -> base.Knob:
    """A parameter of pythae, on a log scale and a nuisance knob unless `facts` say otherwise. The default is pythae's own."""
    return base.Knob(name, summary, formula, "1", default, low, high, **{"log": True, "source": SOURCE, **facts})


def _lambda(name: str, summary: str, formula: str, default: float, low: float, high: float, off: float = 0.0) -> base.Knob:
    return _knob(name, summary, formula, default, low, high, off=off, more="high")


WEIGHT_DECAY = _lambda(
    "weight_decay", "L2 penalty by Adam's weight decay; here l2: λ = w (w/2 beside SSE), kernels only", "w·½‖θ‖²", 0.0, 1e-7, 1e-1
)
_EMBEDDING = _lambda("embedding_weight", "squared length of the codes", "w·½‖z‖²", 1e-4, 1e-4, 1e1)
_BANDWIDTH = _knob("kernel_bandwidth", "width of the MMD's kernel", "h", 1.0, 0.1, 10)
_SAMPLES = _knob("number_samples", "importance samples of the bound that is trained", "K", 10, 1, 50, integer=True)
_GRADIENTS = _knob("number_gradient_estimates", "bounds that are averaged", "M", 5, 1, 20, integer=True)
_C = _knob("C", "capacity that the KL is held at", "C", 50.0, 5, 100)
_WARMUP = _knob("warmup_epoch", "epochs over which C is reached", "T", 25, 1, 200, integer=True)
# Each model's own parameters. All have `latent_dim`, `lr` and `weight_decay`. The reconstruction's loss is the spec's likelihood.
AUTOENCODERS: Mapping[str, tuple[base.Knob, ...]] = {
    "AE": (),
    "RAE_L2": (_lambda("reg_weight", "weight decay of the decoder's Adam", "w·½‖θ_dec‖²", 1e-7, 1e-7, 1e-1), _EMBEDDING),
    "RAE_GP": (_lambda("reg_weight", "squared gradient of the outputs' sum by the image", "w·‖∇ₓ Σx̂‖²", 1e-7, 1e-8, 1e-1), _EMBEDDING),
    "WAE_MMD": (_lambda("reg_weight", "MMD of codes and prior", "w·MMD²", 3e-2, 1e-2, 1e3), _BANDWIDTH),
}
VARIATIONAL: Mapping[str, tuple[base.Knob, ...]] = {
    "VAE": (),
    "BetaVAE": (_lambda("beta", "weight of the KL", "w·KL", 1.0, 1e-2, 1e1, off=1.0),),
    # The loss has no other term for the KL, so the off value is the value that pythae ships.
    "DisentangledBetaVAE": (_lambda("beta", "weight that holds the KL at C", "w·|KL − C|", 10.0, 1, 1e3, off=10.0), _C, _WARMUP),
    "BetaTCVAE": (
        _lambda("beta", "weight of the total correlation", "w·TC", 1.0, 1, 1e1, off=1.0),
        _lambda("alpha", "weight of the mutual information", "w·MI", 1.0, 1e-2, 1e1, off=1.0),
        _lambda("gamma", "weight of the dimension-wise KL", "w·dimKL", 1.0, 1e-2, 1e1, off=1.0),
    ),
    # pythae ships lbd = 0.001. Beside alpha = 0 that weighs the MMD with −0.999. So the default here is 1, where there is no MMD.
    "INFOVAE_MMD": (
        _lambda("lbd", "weight of the MMD, less 1 − α", "(α + w − 1)·MMD²", 1.0, 1, 1e3, off=1.0),
        _knob("alpha", "share by which the KL is lowered", "(1 − w)·KL", 0.0, 0, 0.95, log=False),
        _BANDWIDTH,
    ),
    "IWAE": (_SAMPLES,),
    "CIWAE": (_SAMPLES, _knob("beta", "share of the ELBO beside the importance-weighted bound", "w", 0.5, 0, 1, log=False)),
    "MIWAE": (_SAMPLES, _GRADIENTS),
}


class PythaeModel:
    """What all of them have in common. It is mixed into the family whose scores and metrics a model has."""

    pythae: ClassVar[str]  # the class in pythae.models
    evaluates_together: ClassVar[bool] = False
    precisions: ClassVar[tuple[str, ...]] = ("float32",)

    def start(self, members: Sequence[base.Member]) -> PythaeRun:
        """Begin training: one member after the other, in this process."""
        from objectives.families._pythae_run import PythaeRun

        return PythaeRun(self, members)  # type: ignore[arg-type]  # a Family by the class that it is mixed into

    def probes(self, config: base.Config) -> Mapping[str, PythaeProbe]:
        """One fixed batch of pythae's loss."""
        from objectives.families._pythae_run import PythaeProbe

        return {"model": PythaeProbe(self, config)}

    @classmethod
    def bundle(cls, config: base.Config) -> None:
        """Its losses draw random numbers for themselves, and no mapping over members can do that. So each member has a run of its own."""
        return None

    def calibrate(self, searched: Sequence[str], widest: int, members: int) -> dict[str, Any]:
        """One at a time, for the same reason."""
        return {"members": 1, "why": "pythae's losses train one member at a time"}

    @classmethod
    def conflicts(cls, intent: base.Intent) -> list[base.Conflict]:
        """None are known: the rules of ours are about our knobs."""
        return []


@lru_cache
def objective(model: str) -> type[base.Objective]:
    """The objective class of one of pythae's models, `pythae:MODEL` in a spec.

    Raises:
        base.ObjectiveError: pythae is not installed, or the model is none of those above.
    """
    known = {**AUTOENCODERS, **VARIATIONAL}
    if model not in known:
        why = "Models with an adversary, a flow, a learned prior or a posterior that is not Gaussian cannot be trained here."
        raise base.ObjectiveError(f"{registry.unknown('model of pythae', model, list(known))} {why}")
    if importlib.util.find_spec("pythae") is None:
        rule = f"objective {PREFIX + model!r} needs the library pythae, which is not installed"
        raise base.ObjectiveError(f"{rule}. Install the extra: pip install 'lagrange-search[pythae]'.")
    family: Any = VAE if model in VARIATIONAL else Autoencoder
    own = tuple(replace(knob, summary=_summary(model, knob)) for knob in known[model])
    knobs = {knob.name: knob for knob in (LR, family.knobs["latent_dim"], WEIGHT_DECAY, *own)}
    searched = next((knob.name for knob in own if knob.is_lambda), WEIGHT_DECAY.name)
    facts = {"pythae": model, "knobs": knobs, "default_search": (searched,), "__doc__": f"pythae's {model}."}
    found: type[base.Objective] = type(model, (PythaeModel, family), facts)
    return found


def _summary(model: str, knob: base.Knob) -> str:
    """What a parameter is. By the table of conventions, also which knob of ours it is, and how much of it."""
    for one in PYTHAE.parameters:
        mine = one.name == knob.name and model in one.when.get("model", (model,))
        if mine and "old_mse" not in one.when.get("reconstruction_loss", ()):
            return f"{knob.summary}; here {one.knob}: {one.equation}"
    return knob.summary
