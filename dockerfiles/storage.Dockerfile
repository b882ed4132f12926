# A storage node: `dsm-storage-node`.
# Names with digests (`name@sha256:…`) pin them for good.
ARG RUST_IMAGE=rust:1.95-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

# One build for all images: these lines are the same in each Dockerfile here, and a test keeps them so.
FROM ${RUST_IMAGE} AS toolchain
RUN mkdir -p /usr/local/cargo/registry /src/target
FROM toolchain AS build
WORKDIR /src
COPY . .
# The secret `cargo` is a configuration of cargo, for those who reach the registry through a mirror or a proxy. Both
# caches begin with what the image of the toolchain has.
RUN --mount=type=secret,id=cargo,target=/usr/local/cargo/config.toml \
    --mount=type=cache,id=dsm-cargo-registry,sharing=locked,from=toolchain,source=/usr/local/cargo/registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=dsm-target,sharing=locked,from=toolchain,source=/src/target,target=/src/target \
    cargo build --release --locked -p dsm-host -p dsm-storage-node -p dsm-bridge \
    && install -D -t /out target/release/dsm target/release/dsm-storage-node target/release/dsm-bridge

# A directory that belongs to the group can be written under whatever user number compose.yaml gives a service.
FROM ${BASE_IMAGE} AS base
RUN groupadd --gid 10000 dsm && useradd --uid 10000 --gid 10000 --no-create-home --home-dir /var/lib/dsm dsm \
    && install -d -o root -g dsm -m 2770 /var/lib/dsm /etc/dsm \
    && install -d -o root -g root -m 1777 /keys
COPY --from=build /src/dockerfiles/entrypoint.sh /usr/local/bin/entrypoint.sh
ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]
USER 10000:10000

FROM base
COPY --from=build /out/dsm-storage-node /usr/local/bin/dsm-storage-node
ENV DSM_STORAGE_DATA=/var/lib/dsm DSM_STORAGE_CONFIG=/etc/dsm/storage.toml DSM_STORAGE_LISTEN=0.0.0.0:8765 \
    DSM_STORAGE_NODE=http://127.0.0.1:8765 DSM_STORAGE_CORE_KEY=/keys/dsm-core.pub
VOLUME ["/var/lib/dsm", "/etc/dsm", "/keys"]
EXPOSE 8765/tcp 8765/udp
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=3 CMD ["dsm-storage-node", "status"]
CMD ["storage"]
