#!/bin/sh
# Lays out the image's root file system from built binaries.
#   deploy/rootfs.sh FOLDER     FOLDER/root: root's files
#                               FOLDER/data: folders of the image's user
# BUILD names the build folder; COFRE and COFRECTL may name other binaries.
set -eu

out=${1:?usage: deploy/rootfs.sh FOLDER}
here=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${BUILD:-$here/build}
COFRE=${COFRE:-$BUILD/cofre}
COFRECTL=${COFRECTL:-$BUILD/cofrectl}

for file in "$COFRE" "$COFRECTL" /bin/busybox; do
    [ -f "$file" ] || {
        echo "rootfs: $file is missing: run make first" >&2
        exit 1
    }
done

rm -rf "$out/root" "$out/data"
mkdir -p "$out/root" "$out/data/cofre" "$out/data/etcd"
cd "$out/root"
mkdir -p bin etc/ssl/certs tmp usr/bin usr/lib/ssl usr/local/bin var/lib
chmod 1777 tmp
chmod 700 "$out/data/cofre" "$out/data/etcd"

cp "$COFRE" usr/local/bin/cofre
cp "$COFRECTL" usr/local/bin/cofrectl
if [ -n "${COFREUTL:-}" ]; then
    cp "$COFREUTL" usr/local/bin/etcdutl
else
    ln -s cofrectl usr/local/bin/etcdutl
fi
ln -s cofre usr/local/bin/etcd
ln -s cofrectl usr/local/bin/etcdctl
chmod 755 usr/local/bin/cofre usr/local/bin/cofrectl

# A shell for init scripts. It runs its own tools without these links, which
# are for `docker exec`.
cp /bin/busybox bin/busybox
chmod 755 bin/busybox
for tool in sh cat cp date df du env grep head hostname id ip ls mkdir mv \
    nc nslookup ps rm sed sleep sort stat tail tar tee test touch tr true \
    false uname vi wc wget xargs; do
    ln -s busybox "bin/$tool"
done

cat >etc/passwd <<'PASSWD'
root:x:0:0:root:/:/bin/sh
cofre:x:10001:10001:cofre:/var/lib/cofre:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
PASSWD
cat >etc/group <<'GROUP'
root:x:0:
cofre:x:10001:
nogroup:x:65534:
GROUP
# A static binary resolves names by files and DNS only.
echo 'hosts: files dns' >etc/nsswitch.conf

# Debian's CA certificates, not what this host trusts beside them; a bind
# mount on /etc/ssl/certs takes their place.
cat /usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt
ln -s ../../../etc/ssl/certs usr/lib/ssl/certs
ln -s ../../../etc/ssl/certs/ca-certificates.crt usr/lib/ssl/cert.pem
