"""What is written of a sweep while it runs. Read `ledger` first: every member before its dispatch, every report, every end.

`tally` counts the members, `told` is what a scheduler hears of them, and `leftovers` are the files that they leave for a while.
"""
