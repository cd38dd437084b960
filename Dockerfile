# syntax=docker/dockerfile:1
# The operator, and the example's application (`greenlight demo-app`), in one static binary.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --tag YOUR/greenlight:0.1.0 --push .
#
# The steps are those of deploy/image/rootfs.sh, which also runs without a container engine: `cargo xtask image`. Each platform is
# built natively or under emulation; musl comes with Alpine.
FROM rust:1.95-alpine AS build
# Platforms are built at the same time. The cache of what is built has programs that run: each platform has its own. They share what cargo
# downloads, one after the other: cargo's own lock of it is in another folder, which no two builds share.
ARG TARGETARCH
RUN apk add --no-cache build-base ca-certificates-bundle
WORKDIR /src
COPY . .
RUN --mount=type=cache,sharing=locked,target=/usr/local/cargo/registry \
    --mount=type=cache,id=greenlight-target-$TARGETARCH,target=/src/target \
    deploy/image/rootfs.sh /rootfs

# The dashboard, on its own: `--target dashboard`. The operator's image, below, is what is built without a target.
FROM build AS build-dashboard
ARG TARGETARCH
RUN --mount=type=cache,sharing=locked,target=/usr/local/cargo/registry \
    --mount=type=cache,id=greenlight-target-$TARGETARCH,target=/src/target \
    deploy/image/rootfs.sh /rootfs-dashboard greenlight-dashboard

FROM scratch AS dashboard
COPY --from=build-dashboard /rootfs-dashboard/ /
USER 65532:65532
ENTRYPOINT ["/greenlight-dashboard"]
LABEL org.opencontainers.image.title="greenlight-dashboard" \
      org.opencontainers.image.description="Greenlight's dashboard" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/greenlight-dev/greenlight"

FROM scratch
COPY --from=build /rootfs/ /
USER 65532:65532
ENTRYPOINT ["/greenlight"]
LABEL org.opencontainers.image.title="greenlight" \
      org.opencontainers.image.description="Blue-green releases for Kubernetes" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/greenlight-dev/greenlight"
