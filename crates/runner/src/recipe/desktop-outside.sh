# Runs as root on the host in mount and pid namespaces of its own, before the common part.
# $1: folder of layers. $2: the layer below. $3: the new layer, empty. $4, $5: empty folders beside
# it. $6: the host's CA bundle, or empty. Names are relative to $1: overlay's options have no way
# to quote a path.
set -eu
cd "$1"
mount -t overlay -o "lowerdir=$2,upperdir=$3,workdir=$4,redirect_dir=off,metacopy=off,index=off" \
    overlay "$5"
set -- "$1/$5" "$6"
