"""Which pictures show the same, the gate that keeps them in one part of the split, and the check that it held."""
