# The core node: `dsm`, its other name `cli`, and ping.
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
USER 0:0
# A copy of ping has no file capabilities: it opens an ICMP socket of its own, which ping_group_range allows.
RUN apt-get update && apt-get install --yes --no-install-recommends iputils-ping && rm -rf /var/lib/apt/lists/* \
    && ping=$(command -v ping) && cp "$ping" /ping && mv /ping "$ping" && chmod 0755 "$ping" \
    && install -d -o root -g dsm -m 2770 /var/lib/dsm/policies \
    # The core node of compose.yaml writes keys here, and each neighbour's group reads its own.
    && install -d -o 10001 -g dsm -m 2750 /access/bridge \
    && install -d -o 10001 -g 65534 -m 2750 /access/prometheus
COPY --from=build /out/dsm /usr/local/bin/dsm
RUN ln -s dsm /usr/local/bin/cli
USER 10000:10000
ENV DSM_DATA=/var/lib/dsm DSM_CONFIG=/etc/dsm/node.toml DSM_LISTEN=0.0.0.0:7545 DSM_P2P=0.0.0.0:8765 \
    DSM_PEER_KEYS=/keys DSM_JWT_SECRET_FILE=/etc/dsm/jwt-secret
VOLUME ["/var/lib/dsm", "/var/lib/dsm/policies", "/etc/dsm", "/keys"]
EXPOSE 7545/tcp 8765/udp
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=3 CMD ["dsm", "health"]
CMD ["core"]
