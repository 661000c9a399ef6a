"""How much a VAE's code says about the image from which it came, and how far the codes of all images are from the prior.

    E_x KL(q(z|x) ‖ p(z))  =  I(x; z)  +  KL(q(z) ‖ p(z)),        q(z) = mean of q(z|x) over images

The mean over images is taken over the measured images, each with one sample of z. An image is always among them, so the estimate never
exceeds log n (7.6 nats for 2,000 images). Above some nats it shows n and not the model, and KL(q(z) ‖ p(z)) takes the rest. Compare at
equal n, and use it where the KL is small: near collapse. In expectation it lies below the truth.
"""

from __future__ import annotations

import math

from objectives.base import Metric
from objectives.draws import Fixed
from objectives.lazy import Tensor, double, torch
from objectives.metrics import kl
from objectives.metrics._estimate import Estimate, mean, per_image
from objectives.metrics._subject import Subject

ROWS = 500  # images whose codes are compared with all posteriors at once
SOURCE = "Hoffman and Johnson, ELBO surgery, NeurIPS 2016 workshop, section 2"
METRIC = Metric(
    name="val_mutual_information_nats",
    summary="Mutual information of image and code, with q(z) from the measured images: at most log n, and biased downward",
    formula="E_x E_q(z|x) [log q(z|x) − log mean_x' q(z|x')]",
    unit="nats per image",
    costly=True,
    source=SOURCE,
    label="I(x;z)[n={n}]",
)
ALSO = (
    Metric(
        "val_marginal_kl_nats",
        "KL divergence of the codes of all images from the prior: what is left of the KL, so biased upward",
        "E_x KL(q(z|x) ‖ p(z)) − I(x; z)",
        "nats",
        costly=True,
        source=SOURCE,
        label="KL(q(z)‖p)[n={n}]",
    ),
)
NEEDS = ("posterior",)


def measure(subject: Subject) -> dict[str, Estimate]:
    """Both terms, with one code per image from fixed noise."""
    mu, log_var = subject.posterior
    nats = per_code(mu, log_var, Fixed(f"mutual_information/{subject.split}", mu).normal(mu.shape))
    rate = per_image(kl.gaussian(mu, log_var))
    return {"mutual_information_nats": mean(nats), "marginal_kl_nats": mean(rate - nats)}


def estimate(mu: Tensor, log_var: Tensor, noise: Tensor) -> Estimate:
    """The mutual information from posteriors and standard normal noise, (n, z) each. The error is that of a mean of independent terms."""
    return mean(per_code(mu, log_var, noise))


def per_code(mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """log q(z_i|x_i) − log mean_j q(z_i|x_j) for z_i = μ_i + σ_i ε_i, in float64: (n, z) each -> (n,).

    Σ_d (z_id − μ_jd)²/σ_jd² is three matrix products; (n, n, z) numbers would not fit into memory.
    """
    mu, log_var, noise = double(mu.detach()), double(log_var.detach()), double(noise)
    z, precision = mu + (0.5 * log_var).exp() * noise, (-log_var).exp()
    constant = (mu.square() * precision + log_var).sum(1)  # (n,), of each posterior
    found = []
    for rows, eps, spread in zip(*(torch.split(one, ROWS) for one in (z, noise, log_var)), strict=True):
        squares = rows.square() @ precision.T - 2 * rows @ (mu * precision).T + constant  # (rows, n)
        own = -0.5 * (eps.square() + spread).sum(1)
        found.append(own - (-0.5 * squares).logsumexp(1) + math.log(len(mu)))
    return torch.cat(found)
