"""From annotations to checked label images."""
