"""The search for options of a training: suggested by Optuna, tried on validation, chosen. The test plays no part."""
