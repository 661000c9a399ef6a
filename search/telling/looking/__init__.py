"""Sweeps that are kept, asked for by their names; `search` hands these functions on. Read `notebook` first: frames, answers, the report.

`compare` holds two sweeps against each other, and `queried` makes rows of what MLflow finds.
"""
