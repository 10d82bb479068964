# syntax=docker/dockerfile:1
# One image for the roles gateway, collector and evals, and for the command line. It has no ClickHouse: that is a server of
# your own (clickhouse.url). Whose builds must not change under them pins the base by digest as well:
#   docker build --build-arg NODE_IMAGE=docker.io/library/node:24.21.0-bookworm-slim@sha256:… --tag loopscope:0.1.0 .
ARG NODE_IMAGE=docker.io/library/node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Without what is optional: the embedded ClickHouse, and the Node.js that the base image is. .npmrc lets no package run scripts.
RUN npm ci --omit=dev --omit=optional

FROM ${NODE_IMAGE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="loopscope" \
      org.opencontainers.image.description="Watches fleets of unattended AI agents and catches those that pass their own checker while doing nothing useful" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Package managers are for building. A data folder that belongs to whom we run as is what a new volume takes over.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
           /opt/yarn-* /usr/local/bin/yarn /usr/local/bin/yarnpkg \
    && install -d /etc/loopscope/loops /etc/loopscope/suites \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/loopscope
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY deploy/docker/healthcheck.ts ./deploy/docker/
COPY src ./src
COPY collector ./collector
COPY evals ./evals
# The C library would raise it with every large buffer that is let go, and then keep such buffers where it cannot give them back.
ENV MALLOC_MMAP_THRESHOLD_=131072 \
    NODE_ENV=production \
    LOOPSCOPE_DATA_DIR=/var/lib/loopscope \
    LOOPSCOPE_GATEWAY_HOST=0.0.0.0 \
    LOOPSCOPE_COLLECTOR_HOST=0.0.0.0 \
    LOOPSCOPE_EVALS_HOST=0.0.0.0
USER 10001:10001
VOLUME /var/lib/loopscope
EXPOSE 4000 4317 4318 4320
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["node", "/app/deploy/docker/healthcheck.ts"]
ENTRYPOINT ["node", "/app/src/main.ts"]
CMD ["--help"]
