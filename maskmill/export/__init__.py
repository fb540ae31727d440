"""Exports of a trained model, each proven equal to it before it is shipped."""
