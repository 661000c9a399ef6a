"""The nuisance knobs of how weights move: the optimizer, and how the learning rate changes in training. Readable without torch."""

from __future__ import annotations

from objectives.base import Knob

OPTIMIZER = Knob(
    name="optimizer",
    summary="how a gradient becomes a step; adamw is adam beside the λ decoupled_wd, which is its weight decay",
    formula="adam: η·m̂/(√v̂ + ε); sgd: η·b, b ← μb + g; rmsprop: η·g/(√v + ε), v ← 0.99v + 0.01g²",
    unit="-",
    default="adam",
    choices=("adam", "adamw", "sgd", "rmsprop"),
    structural=True,
    source="Kingma & Ba 2015; Loshchilov & Hutter 2019; Sutskever et al. 2013; Tieleman & Hinton 2012; defaults of torch.optim",
)
MOMENTUM = Knob(
    name="momentum",
    summary="momentum of sgd; the other optimizers do not use it",
    formula="b ← μb + g",
    unit="1",
    default=0.9,
    low=0.0,
    high=0.99,
    source="Sutskever et al. 2013",
)
LR_SCHEDULE = Knob(
    name="lr_schedule",
    summary="how the learning rate falls, step by step, in t = the share of the training that is done",
    formula="constant: 1; cosine: ½(1 + cos πt); step: γ^⌊t/s⌋",
    unit="-",
    default="constant",
    choices=("constant", "cosine", "step"),
    structural=True,
    source="Loshchilov & Hutter 2017 (cosine, without restarts); torch.optim.lr_scheduler",
)
WARMUP = Knob(
    name="warmup",
    summary="the share of the training in which the learning rate rises linearly to its full value; 0 is none",
    formula="min(1, t/w)",
    unit="share of the training",
    default=0.0,
    low=0.01,
    high=0.3,
    log=True,
    source="Goyal et al. 2017",
)
LR_STEP = Knob(
    name="lr_step",
    summary="the share of the training after which the schedule `step` lowers the learning rate, again and again",
    formula="s",
    unit="share of the training",
    default=1 / 3,
    low=0.1,
    high=0.9,
)
LR_GAMMA = Knob(
    name="lr_gamma",
    summary="the factor by which the schedule `step` lowers the learning rate each time",
    formula="γ",
    unit="1",
    default=0.1,
    low=0.05,
    high=0.9,
    log=True,
)
MOVING = (OPTIMIZER, MOMENTUM, LR_SCHEDULE, WARMUP, LR_STEP, LR_GAMMA)
