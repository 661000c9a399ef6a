"""What the numbers say: which configs to confirm, and what the confirmation shows."""
