# The service without the embedded servers; which part of it runs is the command (see compose).
FROM python:3.11-slim AS build
WORKDIR /source
COPY requirements-prod.lock .
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements-prod.lock
COPY pyproject.toml README.md LICENSE ./
COPY ledger ledger
COPY billing billing
COPY integrations integrations
COPY workers workers
COPY migrations migrations
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin bonus
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    BONUS_HOST=0.0.0.0 \
    BONUS_PORT=8080 \
    BONUS_DATA_DIR=/tmp/bonus
USER bonus
EXPOSE 8080
CMD ["bonus", "serve"]
