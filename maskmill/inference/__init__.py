"""The one way from a picture to a mask, for training, evaluation, export and deployment."""
