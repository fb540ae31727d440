"""What became of the annotations: every object's losses on the way to the network, and pictures that show them."""
