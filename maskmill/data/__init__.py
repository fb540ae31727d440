"""From label images to the patches that a network is trained on."""
