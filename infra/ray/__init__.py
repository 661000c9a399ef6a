"""A Ray, of one machine or of many. Read `cluster` first: it starts a local one, or connects to one that is up.

- Reached: `addresses` says which Ray an address names, before Ray is asked; `private` keeps others out of a local one.
- Its nodes: `nodes` says what fits on them, as plain data. Before a node trains, `alike` proves that it runs what the driver runs, and
  `shared` that it sees the same storage.
- Sweeps as jobs of it: `jobs` submits them, `shipping` says which of a user's files go along.

`one_thread` is imported by workers before all else. Nothing of Lagrange is imported here, so that it stays so.
"""
