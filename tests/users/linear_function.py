"""The noisy linear autoencoder as a function: the loop is the script's."""

from linear import scores

from objectives import knob, objective


@objective(score="val_half_sse", better="lower", epochs=40, l2=knob(0.02, 20, log=True, off=0.0), lr=knob(1e-3, 1e-1, log=True))
def train(trial):
    """One training."""
    for score in scores(trial.l2, trial.lr, trial.seed, trial.max_epochs):
        trial.report(val_half_sse=score)
