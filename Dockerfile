# docker build -t unhang .
# docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --stop-timeout 45 \
#   -p 8080:8080 -v unhang-data:/data -v ./unhang.toml:/etc/unhang/unhang.toml:ro -v ./secrets:/etc/unhang/secrets:ro unhang
#
# One container per volume: a second one on the same /data refuses to start. The volume must be a local disk, not NFS.

FROM rust:1.95-slim-trixie AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked --package unhang --bin unhang

FROM debian:trixie-slim
# The trust store: without it no TLS client can be built.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 65532 -g 65532 -m 0700 /data
COPY --from=build /build/target/release/unhang /usr/local/bin/unhang
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/unhang/

# Inside a container the loopback address reaches nobody; put TLS in front of the published port.
ENV UNHANG__SERVER__LISTEN=0.0.0.0:8080 \
    UNHANG__STORE__URL=sqlite:///data/unhang.db
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# No HEALTHCHECK: the image has no HTTP client. Ask GET /livez (restart) and GET /readyz (traffic) from outside.
ENTRYPOINT ["unhang"]
CMD ["serve", "--config", "/etc/unhang/unhang.toml"]
