"""What a score would be at configs that nobody trained: one Gaussian process, which asks, chooses and draws. `process` is its equations."""
