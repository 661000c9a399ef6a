"""What a person reads in a terminal. Read `answer` first: the printed answer; `beside` and `front` are parts of it.

`live` is the display of a sweep that runs, and has the words (durations, scores, configs) that all of them use.
"""
