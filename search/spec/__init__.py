"""What was asked: YAML on one side and Python on the other.

`keys` holds the spec. `reading` makes a spec from a file or a mapping, and reports all its faults at once (`faults`). A spec that was read
is *resolved*: what the objective decides (model, data set, what is searched and over which range, epochs, likelihood) is written out
(`defaults`). So a stored spec means the same tomorrow.
"""
