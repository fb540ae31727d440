"""From the fingerprint of a data set to the plan of a training."""
