"""What was asked: YAML on one side and Python on the other.

`keys` holds the spec; `reading` makes one of a file or a mapping, and reports every fault of it at once (`faults`). A spec that was read is
*resolved*: what the objective decides (model, data set, what is searched and over which range, epochs, likelihood) is written out
(`defaults`), so that a stored spec means the same tomorrow.
"""
