#!/usr/bin/env bash
# Installs the servers that tests start on 127.0.0.1 and free ports: Debian's Mosquitto. Nothing is started or enabled.
# Where it may not, tests that need them are skipped and say so.
set -euo pipefail
export PATH=$PATH:/usr/sbin
if command -v mosquitto >/dev/null && command -v mosquitto_pub >/dev/null; then
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "servers: Mosquitto is not here, and this is not root on a machine with apt: its tests will be skipped"
  exit 0
fi
echo "servers: installing mosquitto with apt; it is neither started nor enabled"
policy=/usr/sbin/policy-rc.d
made=""
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  made=1
fi
trap '[ -z "$made" ] || rm -f "$policy"' EXIT
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients >/dev/null ||
  echo "servers: mosquitto could not be installed: its tests will be skipped"
