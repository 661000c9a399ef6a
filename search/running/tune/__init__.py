"""A plan carried out with Ray Tune. Read `carrier` first: each of Tune's trials is a worker for the whole sweep.

`crew` says who works now and who gets the next job, `grounds` are the nodes under it, `sharing` is for sweeps that share them, and
`trainable` is Tune's side of a worker. `crew` and `sharing` are plain data and do not know Ray.
"""
