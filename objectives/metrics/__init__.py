"""Metrics: one file each, with `METRIC` (facts, readable without torch) and `estimate`, a pure function of tensors in float64.

`estimate` returns a value with its standard error over images, where one exists. That error says how well the *validation images* pin the
number down for one trained model; seeds, not images, are the unit that a sweep's answer counts.
"""
