"""Who hears of a sweep, and what it leaves behind."""
