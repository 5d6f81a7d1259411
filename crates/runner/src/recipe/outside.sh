# Runs as root on the host in mount and pid namespaces of its own, so that nothing it mounts
# outlives it. $1: new root filesystem. $2: the host's CA bundle, or empty.
# Standard input is the script to run inside.
set -eu
root=$1
bundle=$2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
: >> "$root/etc/resolv.conf"
mount --bind "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"
if [ -n "$bundle" ]; then
    mount --bind "$bundle" "$root/etc/ssl/certs/ca-certificates.crt"
fi
exec chroot "$root" /bin/sh -s
