"""The facts of a sweep and of its members, by name: what a row of the catalogue holds beside its columns.

Whoever writes a fact and whoever reads it take its name from here, so that neither needs the other. A fact with rules of its own has its
name beside them: `storage` (`infra.storage`), `instead_of` (`choosing.missing`), `ranges` (`running.working.work`), `cut`
(`kept`).
"""

from __future__ import annotations

PRIOR = "prior"  # the fact that holds what a sweep took over from others when it began
PLANNED = "plan"  # the fact that says what was planned before the first member
LOOKS = "race"  # the fact that says which looks of the race were taken before this one
FOLDER = "folder"  # the fact that says in which folder a sweep of something of the user's own began
SOURCES = "sources"  # the fact that holds the user's own files that the spec names, each with its SHA-256
ADDRESS = "address"  # the fact that says where members are trained, as `--address` names it; there is none for a local Ray
TOOK = "took_seconds"  # the fact that says how long the drivers of the sweep took so far
LOSSES = "losses"  # the fact of a member that lists the workers that were lost with it: [[cause, epoch], …]
RETRIED = "retried"  # the fact that counts the workers that were lost, for `faults.py`
WAITING = "waiting"  # the fact that names the open members that wait for others, between two decisions
UNPROVEN = "unproven"  # the fact that says, for a user, what the check of λ could not prove
ASKED = "asked"  # the fact that holds the spec as it was asked for: ranges that a pilot finds and more trials change the other one
CHORES = "chore_seconds"  # the fact that says for how long workers prepared the data and read the test split, by the name of the step
MEMORY = "sampler"  # the fact that names the members from which a sampler learns where they are many
