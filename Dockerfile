# The command and its service.
#
#   docker build -t centroids .
#   docker run --rm -v "$PWD/shop:/data" centroids index create shop.gallery --model model.safetensors
#   docker run -p 127.0.0.1:8080:8080 -v "$PWD/shop:/data" -v "$PWD/tokens:/run/secrets/tokens:ro" centroids
#
# /data holds the gallery (shop.gallery), its model and the pictures that are added; it must be
# writable for user 10001.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release --workspace \
    && strip target/release/centroids

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin centroids \
    && install -d -o centroids -g centroids /data
COPY --from=build /src/target/release/centroids /usr/local/bin/centroids
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# The shell has no HTTP client; its own files have.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /readyz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["centroids"]
CMD ["serve", "--store", "shop.gallery", "--listen", "0.0.0.0:8080", "--token-file", "/run/secrets/tokens"]
