"""Densities of codes, fitted after training: they make a generator of an autoencoder. One file each, and the file name is the name in a
spec (`latents: NAME`).

A file holds `SUMMARY`, `SOURCE`, `fit(codes) -> fitted` and `sampler(fitted) -> sample`. `codes` are the codes of training images, (n, z),
finite and at least `LEAST` of them (2 where the file does not say). `fitted` is the density as plain tensors by name, so that it can be
kept beside saved weights. `sample(m, draws)` returns m new codes (m, z) from the draws that it is handed, and from nothing else. A dead
latent, the same for every image, keeps its value. Imports torch inside functions only.
Source: Ghosh et al., From variational to deterministic autoencoders, arXiv 1903.12436, section 4 (ex-post density estimation).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType

from objectives.base import ObjectiveError
from objectives.draws import Draws
from objectives.lazy import Tensor
from objectives.registry import names, unknown

Sample = Callable[[int, "Draws"], "Tensor"]


def module(name: str) -> ModuleType:
    """The file called `name`. Imports no torch.

    Raises:
        ObjectiveError: there is no such file.
    """
    known = names("latents")
    if name not in known:
        raise ObjectiveError(unknown("latents", name, known))
    return importlib.import_module(f"{__name__}.{name}")


def fit(name: str, codes: Tensor) -> Sample:
    """A sampler of codes like these (n, z), in their precision.

    Raises:
        ObjectiveError: the name does not exist, there are too few codes, or some are not finite.
    """
    sample = sampler(name, fitted(name, codes))
    return lambda n, draws: sample(n, draws).to(codes.dtype)


def fitted(name: str, codes: Tensor) -> dict[str, Tensor]:
    """The density of codes like these (n, z), as plain tensors. Raises what `fit` raises."""
    found = module(name)
    least = getattr(found, "LEAST", 2)
    if codes.ndim != 2 or len(codes) < least:
        rule = f"latents {name!r} must be fitted to codes of shape (n, z) with n at least {least}"
        raise ObjectiveError(f"{rule}; got shape {tuple(codes.shape)}. Train on more images, or choose latents: standard_normal.")
    if not bool(codes.isfinite().all()):
        raise ObjectiveError(f"latents {name!r} must be fitted to finite codes; {int((~codes.isfinite()).sum())} numbers are not.")
    tensors: dict[str, Tensor] = found.fit(codes.detach())
    return tensors


def sampler(name: str, fitted: Mapping[str, Tensor]) -> Sample:
    """Draws from what `fitted` returned; in float64 where the file says nothing else."""
    sample: Sample = module(name).sampler(fitted)
    return sample
