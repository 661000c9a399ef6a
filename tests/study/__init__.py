"""Simulated sweeps with a known truth: how good the recommended λ is, and how often what is said of it is true. See docs/certainty.md."""
