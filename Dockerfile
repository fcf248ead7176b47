# Everything:                      docker build -t granula .
# PostgreSQL and S3, no analysis:  docker build -t granula:slim --build-arg REQUIREMENTS=requirements-slim.txt --build-arg MODEL=no-model .
ARG PYTHON=3.11.14-slim-bookworm
ARG REQUIREMENTS=requirements.txt
ARG MODEL=model

FROM python:${PYTHON} AS build
ARG REQUIREMENTS
WORKDIR /build
COPY requirements.txt requirements-slim.txt ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r ${REQUIREMENTS}

FROM python:${PYTHON} AS wheel
WORKDIR /build
COPY pyproject.toml mkdocs.yml requirements.in requirements-dev.in README.md LICENSE NOTICE alembic.ini ./
COPY scripts/package_hooks.py scripts/build_guide.py scripts/
COPY alembic alembic
COPY docs docs
COPY app app
COPY granula granula
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM build AS model
COPY app/__init__.py app/
COPY app/errors app/errors
COPY app/embeddings app/embeddings
COPY scripts/install_model.py scripts/
RUN /venv/bin/python scripts/install_model.py --to /model

FROM python:${PYTHON} AS no-model
RUN mkdir /model

FROM ${MODEL} AS chosen-model

FROM python:${PYTHON}
RUN useradd --uid 10001 --create-home granula && mkdir -p /srv/storage /srv/logs /srv/samples && chown granula /srv/storage /srv/logs /srv/samples
COPY --from=build /venv /venv
COPY --from=chosen-model /model /srv/model
COPY --from=wheel /wheels /wheels
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl && rm -r /wheels
WORKDIR /srv
COPY alembic.ini ./
COPY alembic alembic
USER granula
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 STORAGE_DIR=/srv/storage EMBEDDING_MODEL_DIR=/srv/model
VOLUME /srv/storage
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=2)"]
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--timeout-keep-alive", "75"]
