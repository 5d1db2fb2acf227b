"""What the model says to a prompt, and whether that is right; nothing is asked twice."""
