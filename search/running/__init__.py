"""Who trains which member, when, and where. Read `planning.plan` first: it says what is next.

- `working`: what goes to a worker, what it does, and what comes back.
- `writing`: what the driver writes down of it, and what it keeps.
- `planning`: from what is written to the next job, and from a job to work.
- `tune`: the plan carried out by Ray Tune, on one machine or a cluster.

A room imports only rooms above it in this list. Beside them is what begins and ends a driver: `where` it runs, with `in_process` as the way
without Ray; `driver` opens its books; `alone` keeps others out; `halting` says when it must stop although members are left.
"""
