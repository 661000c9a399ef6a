"""A user's own training as an objective: a function (`function.py`), or a program in any language (`families/command.py`).

Each member is a process of its own (`process.py`), started by a small server (`host.py`). So whatever a training does to its process, no
other member is hurt. `trial.py` is what a function sees of a search.
"""
