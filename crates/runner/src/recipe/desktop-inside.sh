# Runs as root inside the default root filesystem with a new layer on top; what it changes becomes
# the layer. $PACKAGES comes from the caller. Must stay POSIX sh.
set -eu
export HOME=/root DEBIAN_FRONTEND=noninteractive PIP_ROOT_USER_ACTION=ignore
export UV_NO_CACHE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_BREAK_SYSTEM_PACKAGES=1 UV_NATIVE_TLS=1

say() { echo "sebring-step: $*"; }

# Nothing that is installed may start here.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d

say "fetching the package lists"
apt-get update -q
say "installing the desktop's packages"
apt-get install -q -y --no-install-recommends $PACKAGES

say "installing noVNC"
# Only its web page: the package wants a whole Node.js of its own, which nothing here uses.
cd /tmp
apt-get download -q novnc
dpkg-deb -x novnc_*.deb /
rm novnc_*.deb
echo '<meta http-equiv="refresh" content="0;url=vnc.html?autoconnect=true&resize=scale">' \
    > /usr/share/novnc/index.html
# What it needs besides is in the default snapshot; the rest of its dependencies it never loads.
uv pip install --quiet --system --no-deps websockify

say "setting up the browser"
if [ -d /etc/chromium.d ]; then
    # A sandbox of its own inside this one is neither possible nor needed.
    cat > /etc/chromium.d/in-sandbox <<'FLAGS'
export CHROMIUM_FLAGS="$CHROMIUM_FLAGS --no-sandbox --test-type --no-first-run --no-default-browser-check --password-store=basic --disable-gpu"
FLAGS
    # It keeps a list of roots of its own and must be told of those that the host's operator added.
    install -d /etc/chromium/policies/managed
    python3 - > /etc/chromium/policies/managed/authorities.json <<'PYTHON'
import glob, json, re
roots = []
for path in sorted(glob.glob("/usr/local/share/ca-certificates/*.crt")):
    text = open(path).read()
    for body in re.findall("-----BEGIN CERTIFICATE-----(.*?)-----END", text, re.DOTALL):
        roots.append("".join(body.split()))
print(json.dumps({"CACertificates": roots}))
PYTHON
fi

say "cleaning up"
apt-get clean
rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/* /root/.cache /tmp/* /var/tmp/* /var/log/*.log \
    /var/log/apt /var/cache/debconf/*-old
: > /etc/machine-id
