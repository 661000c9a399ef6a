"""How members are trained: `loop` first."""
