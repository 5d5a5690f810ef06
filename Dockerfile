# The image of unhang: one static binary on distroless, for SQLite and one container per volume. Needs BuildKit (Docker 23 or
# newer).
#
#   docker build -t unhang .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --stop-timeout 45 \
#     -p 127.0.0.1:8080:8080 -v unhang-data:/data \
#     -v ./unhang.toml:/etc/unhang/unhang.toml:ro -v ./secrets:/etc/unhang/secrets:ro unhang
#
# A second container on the same volume refuses to start. The volume must be a local disk, not NFS. Secrets must be readable by
# uid 65532 and by nobody else. A bind mount instead of the named volume must belong to it: install -d -o 65532 -m 0700 DIR.
#
# Without a shell inside, the commands are the binary's own: docker exec CONTAINER unhang hold set --reason "stop everything".
#
# The same again, byte for byte: the compiler is pinned here, the crates by Cargo.lock (--locked), the paths are not kept, and
#   docker buildx build --build-arg SOURCE_DATE_EPOCH="$(git log -1 --pretty=%ct)" \
#     --output type=oci,dest=unhang.tar,rewrite-timestamp=true .
# sets every time. Pin the two images by digest as well where you need it for years:
#   --build-arg BUILD_IMAGE=rust:…@sha256:… --build-arg RUN_IMAGE=gcr.io/distroless/static-debian13:nonroot@sha256:…
#
# What is in it: the binary carries the list of its crates (cargo auditable), which `syft`, `trivy` and `cargo audit bin` read.
#   docker buildx build --sbom=true --provenance=mode=max --push -t REGISTRY/unhang .      SBOM and provenance beside the image
#   syft scan docker:unhang -o cyclonedx-json                                              an SBOM as a file

ARG BUILD_IMAGE=docker.io/library/rust:1.95.0-slim-trixie
ARG RUN_IMAGE=gcr.io/distroless/static-debian13:nonroot

FROM ${BUILD_IMAGE} AS build
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo install --locked --root /opt/tools cargo-auditable@0.7.7
ENV PATH=/opt/tools/bin:${PATH} CARGO_INCREMENTAL=0
WORKDIR /build
COPY . .
# SOURCE_DATE_EPOCH is for compilers of C that would write the time of the build into what they make.
ARG SOURCE_DATE_EPOCH=0
# Static with glibc: the same allocator and the same speed, and names are still resolved (glibc has files and dns built in).
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    target="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/build=. --remap-path-prefix=/usr/local/cargo=/cargo" \
    cargo auditable build --release --locked --package unhang --bin unhang --target "${target}" \
 && install -D -m 0755 "target/${target}/release/unhang" /image/bin/unhang \
 && /image/bin/unhang version \
 && install -d -m 0700 /image/data

# ca-certificates, time zones, the users root and nonroot (65532), and nothing that runs.
FROM ${RUN_IMAGE}
LABEL org.opencontainers.image.title="unhang" \
      org.opencontainers.image.description="Turns a hung-server alert into one NAVER Cloud diagnostic interrupt, at most once, with proof." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.documentation="/usr/share/doc/unhang/README.md"
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/bin/unhang /usr/local/bin/unhang
COPY README.md LICENSE-MIT LICENSE-APACHE /usr/share/doc/unhang/
COPY --from=build --chown=65532:65532 /image/data /data

# Inside a container the loopback address reaches nobody; put TLS in front of the published port.
ENV UNHANG__SERVER__LISTEN=0.0.0.0:8080 \
    UNHANG__STORE__URL=sqlite:///data/unhang.db
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# Whether it lives. Being ready is for who sends traffic: a restart mends no full disk.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/unhang", "health", "--live", "--within", "3"]
ENTRYPOINT ["/usr/local/bin/unhang"]
CMD ["serve", "--config", "/etc/unhang/unhang.toml"]
