"""`python -m search.cli` is `lagrange`."""

from search.cli import main

main()
