"""What a run begins with: a family's model, its first weights, and the options that its members share. Also reads saved weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from objectives import base, metrics, models, regularizers
from objectives.base import Member, ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.draws import Live, initialized
from objectives.metrics._subject import Subject
from objectives.models import _verified
from objectives.state import Held
from objectives.terms import Clock, Net
from objectives.training import checkpoint
from objectives.training.mathematics import Mathematics
from objectives.training.members import Crew, Living
from objectives.training.optimizers import KINDS
from objectives.training.precision import products
from objectives.training.regularization import Memories, Regularization, evaluation_net


def built(family: Mathematics, shape: base.Shape, options: base.Config) -> dict[str, nn.Module]:
    """The freshly initialized parts of a family's model. A part is built for what it takes after its player's regularizer (packing)."""
    latent_dim = int(options["latent_dim"])

    def build(shape: base.Shape) -> Mapping[str, nn.Module]:
        expected = family.parts(shape, latent_dim)
        return models.build(family.model, family.name, shape, latent_dim, expected, family.meanings, family.settings.output)

    parts = dict(build(shape))
    for name, found in regularizers.acting_on(family.name, tuple(family.players)).items():
        if found.has("takes") and not found.idle(options[name]):
            taken = found.module.takes(shape, options[name])
            wider = build(taken)
            parts.update({part: wider[part] for part in family.players[found.player]})
    return parts


def begun(
    family: Mathematics, members: Sequence[Member], images: ImageSet, options: base.Config, dtype: torch.dtype
) -> tuple[Crew, Regularization]:
    """Members at their first step, each with weights of its own seed; and their regularizers, bound to the model."""
    device = family.settings.device
    living = [Living(member, Live(member.seed, device, dtype)) for member in members]
    build = partial(built, family, images.shape, options)
    freshly = [initialized(member.seed, build) for member in members]
    freshly = [{name: part.to(device, dtype) for name, part in parts.items()} for parts in freshly]
    regularization = Regularization(family, freshly[0], images.shape, int(options["latent_dim"]), options)
    regularization.switch([member.config_after(0) for member in members])
    rows = [
        {player: regularization.flatten(player, parts, Live(member.seed)).to(device, dtype) for player in family.players}
        for member, parts in zip(members, freshly, strict=True)
    ]
    thetas = {player: torch.stack([row[player] for row in rows]) for player in family.players}
    on = {name: found for name, found in regularization.on.items() if found.has("step_memory")}
    crew = Crew(
        living=living,
        thetas=thetas,
        averages={player: thetas[player].clone() for player in family.averaged},
        memories=_stacked([regularization.memories(row, parts) for row, parts in zip(rows, freshly, strict=True)]),
        step_memories={name: found.module.step_memory(thetas[found.player]) for name, found in on.items()},
        optimizers={player: KINDS[str(options.get("optimizer", "adam"))](theta) for player, theta in thetas.items()},
        clock=Clock(torch.zeros((), dtype=dtype, device=device), family.settings.epochs),
    )
    return crew, regularization


def _stacked(memories: Sequence[Memories]) -> Memories:
    """One memory of (K, …) tensors out of K memories."""
    return (
        {name: {key: torch.stack([memory[name][key] for memory in memories]) for key in first} for name, first in memories[0].items()}
        if memories
        else {}
    )


def options_of(family: Mathematics, config: base.Config) -> dict[str, base.Value]:
    """The structural knobs of a config."""
    return {name: config.get(name, knob.default) for name, knob in family.knobs.items() if knob.structural}


def shared_options(family: Mathematics, members: Sequence[Member]) -> dict[str, base.Value]:
    """The members' common structural knobs. Members must agree in every one, because one tensor holds all of them."""
    for name, knob in family.knobs.items():
        values = {member.config.get(name, knob.default) for member in members} if knob.structural else set()
        if len(values) > 1:
            raise ObjectiveError(f"members of one run must agree in the structural knob {name!r}; got {sorted(values, key=str)}.")
    return options_of(family, members[0].config if members else {})


def converted(images: ImageSet, dtype: torch.dtype) -> ImageSet:
    """The image set with its images in another precision (tests of equality use float64)."""
    if images.train.dtype == dtype:
        return images
    names = ("train", "val", "test", "train_target", "val_target", "test_target", "val_novel", "test_novel")
    converted: dict[str, Any] = {name: value.to(dtype) for name in names if (value := getattr(images, name)) is not None}
    return replace(images, **converted)


def parameter_counts(family: Mathematics, shape: base.Shape) -> dict[str, int]:
    """Trainable numbers per part of the family's model, at the default structure."""
    parts = initialized(0, lambda: built(family, shape, options_of(family, {})))
    if len({id(getattr(part, "module", part)) for part in parts.values()}) < len(parts):  # one module is several parts
        return {"model": sum(p.numel() for p in next(iter(parts.values())).parameters())}
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}


def remarks(family: Mathematics, shape: base.Shape) -> list[str]:
    """What a user should know of how their modules are used, in words."""
    return _verified.remarks(initialized(0, lambda: built(family, shape, options_of(family, {}))))


def read_test(family: Mathematics, config: base.Config, weights: Path) -> dict[str, float]:
    """Score saved weights on the test split."""
    torch.set_num_threads(family.settings.threads)
    images = family.load_data()
    net = filled(family, config, images.shape, weights)
    with torch.no_grad(), products("float32", family.settings.device):
        asked = metrics.measured(Subject(family, net, images, "test"), family.measured[base.Phase.CONFIRM])
        found = {**asked, **family.test(net, images)}
    return {**found, "score": found[family.deciding.replace("val_", "test_", 1)]}


def filled(family: Mathematics, config: base.Config, shape: base.Shape, weights: Path) -> Net:
    """The network of saved weights as it is evaluated, for images of this shape.

    Raises:
        ObjectiveError: the weights are of another model, size or config.
    """
    from safetensors.torch import load_file

    options = options_of(family, config)
    parts = initialized(0, lambda: built(family, shape, options))
    tensors = load_file(weights, device=family.settings.device)
    parameters: dict[str, dict[str, Tensor]] = {}
    for part, module in parts.items():
        module.to(family.settings.device)
        own = dict(module.named_parameters())
        parameters[part] = {name: tensors.get(checkpoint.key(module, part, name), p.new_empty(0)) for name, p in own.items()}
        wrong = [name for name, p in own.items() if parameters[part][name].shape != p.shape]
        if wrong:
            raise ObjectiveError(f"{weights} must hold weights of model {family.model!r} with this config; {part}.{wrong[0]} does not fit.")
    held = Held(parts).first(parts)
    for part, module in parts.items():
        held |= {
            f"{part}.{name}": tensors[key]
            for name, _ in module.named_buffers()
            if f"{part}.{name}" in held and (key := checkpoint.key(module, part, name)) in tensors
        }
    return evaluation_net(family, parts, parameters, shape, int(options["latent_dim"]), options, held)
