# The HTTP service of a bundle (docs/deploy.md). For NVIDIA GPUs one line differs:
#   docker build --build-arg ONNXRUNTIME="onnxruntime-gpu[cuda,cudnn]" -t maskmill .
# and for `--runtime openvino`:
#   docker build --build-arg EXTRAS=serve,openvino -t maskmill .
FROM python:3.11-slim-bookworm AS build
ARG ONNXRUNTIME=onnxruntime
ARG EXTRAS=serve
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY requirements/run.txt requirements/
COPY maskmill maskmill
RUN python -m venv /opt/maskmill \
    && /opt/maskmill/bin/pip install --no-cache-dir --constraint requirements/run.txt ".[$EXTRAS]" \
    && if [ "$ONNXRUNTIME" != onnxruntime ]; then \
        /opt/maskmill/bin/pip uninstall --yes onnxruntime \
        && /opt/maskmill/bin/pip install --no-cache-dir --constraint requirements/run.txt "$ONNXRUNTIME"; \
    fi

FROM python:3.11-slim-bookworm
# what rasterio's wheel takes from the system
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home maskmill
COPY --from=build /opt/maskmill /opt/maskmill
ENV PATH=/opt/maskmill/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/maskmill
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["maskmill", "serve", "/bundle", "--host", "0.0.0.0"]
