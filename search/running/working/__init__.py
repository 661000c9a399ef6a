"""What a worker does. Read `work` first: it is all that goes to a worker and comes back. `worker` does it, step by step.

`pack` is the members that it trains at once, `checkpoints` their files, `copies` the worker's own where they are kept behind a URL, and
`showing` draws what they make. Nothing here knows Ray, the plan or the catalogue.
"""
