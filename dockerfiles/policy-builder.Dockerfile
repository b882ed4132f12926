# The standard policies, built with the toolchain that their lock names, and compared with policies/dist byte for byte:
#   docker build -f dockerfiles/policy-builder.Dockerfile --output type=local,dest=dist .
# Names with digests (`name@sha256:…`) pin images for good. Versions of packages that the archive has replaced are in its
# snapshots: APT_SOURCE is a line of sources.list that names one.
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS toolchain
ARG RUST_VERSION=1.96.0+dfsg1-1~deb12u2
ARG LLD_VERSION=1:14.0.6-12
ARG APT_SOURCE=
RUN if [ -n "${APT_SOURCE}" ]; then echo "${APT_SOURCE}" >/etc/apt/sources.list.d/policy-builder.list; fi \
    && apt-get -o Acquire::Check-Valid-Until=false update \
    && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev lld lld-14=${LLD_VERSION} \
        rustc-web=${RUST_VERSION} cargo-web=${RUST_VERSION} rust-web-src=${RUST_VERSION} \
    && rm -rf /var/lib/apt/lists/*

FROM toolchain AS build
WORKDIR /src
COPY . .
# The secret `cargo` is a configuration of cargo, for those who reach the registry through a mirror or a proxy.
RUN --mount=type=secret,id=cargo,target=/cargo/config.toml \
    CARGO_HOME=/cargo policies/build.sh --into /out \
    && for module in policies/dist/*.wasm; do cmp "$module" "/out/${module##*/}" || exit 1; done \
    && [ "$(ls /out | wc -l)" = "$(ls policies/dist/*.wasm | wc -l)" ]

FROM scratch
COPY --from=build /out /
