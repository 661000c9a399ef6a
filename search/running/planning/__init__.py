"""Which job is next. Read `plan` first: all phases of a sweep as one question. `dispatch` makes work of the job that is the answer.

- Members: `new_members` (config and seed), `generations` (some replaced by others), `rounds` (of the race), `prior` (from other sweeps),
  `ranges` (what a pilot found of λ), `division` (into packs).
- When it ends: `until` (λ is known well enough), `spending` and `wall` (what may still be spent), `faults` (workers that are lost).
"""
