"""Training: recipes, samples, the loop that goes on where it stopped, the two networks it trains."""
