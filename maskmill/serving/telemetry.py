"""What Prometheus reads of a service."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from maskmill.serving.batching import BatchingRuntime


class Telemetry:
    """Requests by endpoint and status, their time, and how many tiles a batch has had lately."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, runtime: BatchingRuntime) -> None:
        self._registry = CollectorRegistry()
        labels = ("endpoint", "status")
        self._requests = Counter("maskmill_requests", "Requests answered", labels, registry=self._registry)
        self._seconds = Histogram(
            "maskmill_request_seconds", "Seconds from the request to its answer", ("endpoint",), registry=self._registry
        )
        batch = Gauge("maskmill_batch_tiles", "Mean number of tiles in the last batches", registry=self._registry)
        batch.set_function(lambda: sum(sizes) / len(sizes) if (sizes := list(runtime.sizes)) else 0)

    def count(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(endpoint, status).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def text(self) -> bytes:
        """All figures in the text format."""
        return generate_latest(self._registry)
