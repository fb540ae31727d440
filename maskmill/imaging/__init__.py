"""Pictures, stacks and volumes of every kind: reading, writing, geometry, overlays."""
