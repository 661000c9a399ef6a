"""Saturation of a GAN's discriminator: it has won, and the generator learns no more.

Three facts about the last quarter of the training show it. In the median, the discriminator's loss is below a tenth of its loss where it
cannot tell real from generated. In the median, it rates a real image above a generated one in 999 of 1,000 pairs. And KID never gains a
tenth on its earlier best, and is on average above half of its value after the first epoch: nothing useful was learnt. A discriminator that
is sure while samples improve is not saturated: many healthy GANs tell well separated distributions apart. D may also be beaten again, so
only a member that is done is reported. A Wasserstein critic has no loss at which it has won. Source: Arjovsky and Bottou, arXiv 1701.04862.
"""

from __future__ import annotations

from statistics import fmean, median

from objectives.detectors import History
from objectives.losses import DEFAULT_GAME, GAMES

SUMMARY = "saturation of a GAN's discriminator: its loss is near 0, it is never wrong, and KID is as bad as at the start"
ON = ("gan",)
READS = ("val_kid", "train_data_d", "train_told_apart_d")
PLANTED = {"lr": 1e-5, "lr_ratio": 1e3}
LOSS, SURE, GAINED, LEARNT = 0.1, 0.999, 0.1, 0.5


def find(history: History) -> str:
    """The evidence, or an empty string."""
    count = history.length(share=0.25, fewest=5)
    even = GAMES[str(history.config.get("loss", DEFAULT_GAME))].even
    seen = history.last(count)
    if not (history.over and seen and even):
        return ""
    share, sure = (median(one[name] for one in seen) for name in ("train_data_d", "train_told_apart_d"))
    kid, before = [one["val_kid"] for one in seen], [one["val_kid"] for one in history.metrics[:-count]]
    if share / even > LOSS or sure < SURE or min(kid) < (1 - GAINED) * min(before) or fmean(kid) < LEARNT * before[0]:
        return ""
    won = f"the discriminator's loss is {share / even:.2g} of an even game's and it tells {100 * sure:.1f} % of pairs apart"
    return f"saturation: {won}, KID {fmean(kid):.3g} after {before[0]:.3g} at first, in {history.span(count)}"
