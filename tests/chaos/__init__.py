"""A sweep on a cluster whose parts are killed, frozen and cut, one after another. `parts.py` are the parts, `__main__.py` is the trial."""
