"""What Lagrange costs, as ratios within one run: `python -m tests.benchmarks`, or one script alone: `python -m tests.benchmarks.overhead`.

Nothing here is a test: no number fails a build. Each script measures one promise and prints its results as JSON.
"""
