# The daemon, the sidecar and `ttscache site` in one image; deploy/image/build.sh builds it.
# BASE_IMAGE is any with Python 3.13 and its venv module. Name it with a digest where builds must be the same for ever.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim

FROM ${BASE_IMAGE} AS builder
# a mirror of PyPI, if there is one
ARG PIP_INDEX_URL
# the date of all that is made here (the commit's), for builds that are the same to the byte
ARG SOURCE_DATE_EPOCH
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
WORKDIR /build
COPY deploy/image/build.txt deploy/image/requirements.txt ./
# pip and what builds wheels stay in an environment of their own
RUN python3 -m venv tools \
 && tools/bin/pip install --require-hashes --no-deps --only-binary :all: -r build.txt \
 && python3 -m venv --without-pip /opt/ttscache \
 && tools/bin/pip --python /opt/ttscache/bin/python install --require-hashes --no-deps --only-binary :all: --no-compile \
      -r requirements.txt
COPY LICENSE README.md pyproject.toml ./
COPY proxy_gen proxy_gen
COPY ttscache ttscache
COPY k8s_manifests k8s_manifests
# - a third of the image would be `kubernetes.aio`, a second copy of the client, which nothing imports
# - bytecode that is never compared with its source: files' times do not count, and the file system may be read-only
RUN tools/bin/pip wheel --no-build-isolation --no-deps --no-index --wheel-dir dist . \
 && tools/bin/pip --python /opt/ttscache/bin/python install --no-deps --no-index --no-compile dist/*.whl \
 && tools/bin/pip --python /opt/ttscache/bin/python check \
 && rm -r /opt/ttscache/lib/python3*/site-packages/kubernetes/aio \
 && /opt/ttscache/bin/python -W ignore -m compileall -q --invalidation-mode unchecked-hash /opt/ttscache/lib

FROM ${BASE_IMAGE}
# - nothing that installs software, nothing that runs as another user
# - bytecode of the standard library, which python's own images leave out: the sidecar starts a process for each turn
RUN rm -rf /usr/local/lib/python3*/site-packages /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
      /usr/lib/python3*/ensurepip /usr/share/python-wheels \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && python3 -W ignore -m compileall -q --invalidation-mode unchecked-hash \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY deploy/image/healthcheck.py /usr/share/ttscache/healthcheck.py
COPY charts /usr/share/ttscache/charts
COPY --from=builder /opt/ttscache /opt/ttscache
ENV PATH=/opt/ttscache/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TTSCACHE_CHARTS=/usr/share/ttscache/charts \
    TTSCACHE_HEALTH_URL=https://127.0.0.1:8443/healthz
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="ttscache" \
      org.opencontainers.image.description="Turns IAM tokens into the credentials that grid services take" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# pods run it as the user of the consumer beside it: nothing here belongs to a user, or asks for its name
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "/usr/share/ttscache/healthcheck.py"]
ENTRYPOINT ["ttscache"]
CMD ["--help"]
