"""Is a backward pass right? The checks, and what they find."""
