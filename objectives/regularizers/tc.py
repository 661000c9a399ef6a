"""β-TC-VAE: an extra weight on the total correlation of the codes, beside β·KL.

    KL = MI + TC + dimension-wise KL,        TC = KL(q(z) ‖ Π_j q(z_j)),        loss = … + β·KL + λ·TC

so λ = β_TC − 1 where β = 1: the published β = 6 is λ = 5. q(z) is the mixture of the batch's posteriors (minibatch weighted sampling),

    TC ≈ mean_i [ log Σ_k q(z_i|x_k) − Σ_j log Σ_k q(z_ij|x_k) ] + (d − 1)·log B

Weighted sampling with N training images, and disentanglement_lib, add other constants: (d − 1)·log(N·B) and 0 in place of (d − 1)·log B.
No constant has a gradient, so all train the same; with log B the value is the total correlation of the batch's own mixture, never negative
in expectation and 0 where all posteriors are one. It underestimates where the posteriors of a batch hardly overlap.

Source: Chen et al. 2018, equation 4 and its appendix; disentanglement_lib, `beta_tc_vae`. Latent space of a VAE; 5 % (B² · d numbers).
Conversion: α·MI + w·TC + γ·dimKL is γ·KL + (w − γ)·TC where α = γ. Pitfall: the estimate depends on the batch size.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, Trained, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="tc",
    summary="extra weight of the total correlation of the codes, by sampling",
    formula="λ·TC, TC = KL(q(z) ‖ Π_j q(z_j)); λ = β_TC − 1",
    unit="1",
    default=0.0,
    low=1e-1,
    high=1e1,
    log=True,
    off=0.0,
    more="high",
    where="latent",
    cost="5 %",
    source="Chen et al. 2018 (β-TC-VAE), β = 6",
)
ON = ("vae",)


def penalty(terms: Terms) -> Tensor:
    """The total correlation of the batch's mixture of posteriors, in nats."""
    return total_correlation(terms.values["latent"], terms.values["mean"], terms.values["log_variance"])


def total_correlation(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """The estimate from one sample z of each posterior, (B, d) each. The normal's constants cancel between the two sums."""
    import math

    # log q(z_ij|x_k) = 1·(−½μ²p − ½log σ²) + z·μp + z²·(−½p) with the precision p: one product of (d, B, 3) and (d, 3, B).
    precision = (-log_variance).exp()
    posteriors = torch.stack([-0.5 * (mean.square() * precision + log_variance), mean * precision, -0.5 * precision])
    codes = torch.stack([torch.ones_like(z), z, z.square()])
    log_q = codes.permute(2, 1, 0) @ posteriors.permute(2, 0, 1)  # (d, B, B): code i under posterior k
    # No code is unlikely under its own posterior, so a sum over posteriors neither vanishes nor overflows.
    joint, single = log_q.sum(0).logsumexp(1), log_q.exp().sum(2).log().sum(0)
    return (joint - single).mean() + (z.shape[-1] - 1) * math.log(len(z))


def examples() -> list[Example]:
    """Closed forms, and every mixture by torch's own distributions."""
    import math

    def found(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        return penalty(Terms(zero(), {"latent": z, "mean": mean, "log_variance": log_variance}))

    def naive(z: Tensor, mean: Tensor, log_variance: Tensor) -> float:
        """Mixture by mixture; then the constants of weighted sampling are taken away again."""
        total, images, (batch, latents) = 0.0, 1000, z.shape
        for i in range(batch):
            normals = [torch.distributions.Normal(mean[k], (0.5 * log_variance[k]).exp()) for k in range(batch)]
            logs = torch.stack([normal.log_prob(z[i]) for normal in normals])  # type: ignore[no-untyped-call]
            joint = math.log(sum(math.exp(float(row.sum())) for row in logs) / (images * batch))
            single = [math.log(sum(math.exp(float(one)) for one in logs[:, j]) / (images * batch)) for j in range(latents)]
            total += (joint - sum(single)) / batch
        return total - (latents - 1) * math.log(images)

    z, mean, log_variance = numbers(5, 3), numbers(5, 3, seed=1), 0.3 * numbers(5, 3, seed=2)
    grid = torch.cartesian_prod(torch.tensor([-1.0, 0.5, 2.0]).double(), torch.tensor([0.0, 3.0]).double())
    two = torch.tensor([[-3.0, -3.0], [3.0, 3.0]]).double()
    return [
        Example("mixtures one by one", found, (z, mean, log_variance), naive(z, mean, log_variance)),
        Example("all posteriors alike: 0", found, (z, mean[:1].expand(5, 3), log_variance[:1].expand(5, 3)), 0.0),
        Example("a product of two mixtures: 0", found, (numbers(6, 2), grid, torch.zeros(6, 2).double()), 0.0),
        Example("two far points on a diagonal: ln 2", found, (two, two, torch.full((2, 2), -4.0).double()), math.log(2)),
    ]


def effect() -> Effect:
    """Codes of new images that depend less on one another."""
    return Effect("vae", {"tc": 3.0}, of_validation, False, least=0.3, epochs=12, always={"beta": 0.1, "latent_dim": 4})


def of_validation(trained: Trained) -> float:
    """The estimate on validation images, one fixed sample each."""
    x = trained.images.val.flatten(1)
    with torch.no_grad():
        mean, log_variance = trained.net("encoder", x).chunk(2, -1)
        z = mean + (0.5 * log_variance).exp() * numbers(*mean.shape).to(mean)
        return float(total_correlation(z, mean, log_variance))
