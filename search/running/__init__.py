"""Who trains which member, and when."""
