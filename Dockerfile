# The image from sources: docker build . (needs a registry for the base)
# The image from binaries built on the host, no registry: deploy/image.sh,
# which uses the second stage of this file as well.
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS build
WORKDIR /src
COPY deploy/deps.sh deploy/deps.sh
RUN BUILD=/build deploy/deps.sh
COPY . .
RUN make BUILD=/build && BUILD=/build deploy/rootfs.sh /out

FROM scratch
COPY --from=build /out/root/ /
COPY --from=build --chown=10001:10001 /out/data/ /var/lib/
COPY --from=build --chown=10001:10001 /out/data/etcd/ /etcd-data/
ENV PATH=/usr/local/bin:/usr/bin:/bin
# A node that is given no --data-dir keeps its data below its working folder:
# on the volume, then.
WORKDIR /var/lib/cofre
VOLUME /var/lib/cofre
USER 10001:10001
EXPOSE 2379 2380
# No entry point: a command that begins with /usr/local/bin/etcd works as is.
CMD ["/usr/local/bin/cofre"]
