"""What the DAG layer uses while planning: configuration, sources, digests of code. Light imports only."""
