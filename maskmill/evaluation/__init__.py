"""Operating point, metrics of cases, summaries and comparisons of experiments."""
