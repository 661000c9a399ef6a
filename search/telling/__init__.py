"""Who is told about a sweep, and what a sweep leaves behind."""
