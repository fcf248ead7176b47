FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir -r requirements.txt

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home granula && mkdir -p /srv/storage && chown granula /srv/storage
COPY --from=build /venv /venv
WORKDIR /srv
COPY alembic.ini ./
COPY alembic alembic
COPY app app
USER granula
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 STORAGE_DIR=/srv/storage
VOLUME /srv/storage
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=2)"]
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--no-server-header"]
