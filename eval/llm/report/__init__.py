"""What a run's answers say: numbers with their uncertainty, as data and as a page."""
