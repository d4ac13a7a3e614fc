# syntax=docker/dockerfile:1
# CPU only, no torch: what `make serve` installs, and the model that ships.

FROM python:3.11-slim AS build
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE cli.py terminal.py ./
COPY classifier classifier
COPY service service
COPY annotations annotations
COPY models models
RUN python -m venv /opt/motives && /opt/motives/bin/pip install --no-cache-dir --constraint constraints.txt '.[serve]'

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 motives
COPY --from=build /opt/motives /opt/motives
COPY --chown=root:root models /srv/models
ENV PATH=/opt/motives/bin:$PATH MOTIVES_HOST=0.0.0.0 MOTIVES_PORT=8000 MOTIVES_MODELS=/srv/models PYTHONUNBUFFERED=1
USER motives
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['MOTIVES_PORT'] + '/readyz', timeout=2)"]
CMD ["motives", "serve"]
