"""What others have published, measured again with this code: `make published`, or one script alone.

Each script says what was published and where, trains the same with the objectives of this repository, and returns gates
(`tests/published/results.py`). None is a test: they take minutes to hours and need MNIST.
"""
