#!/usr/bin/env bash
# The agent's ioctls through a real kernel: a virtual machine (TCG) with Debian's small kernel, whose CUSE devices are
# the emulated /dev/sev-guest and /dev/sev, and a probe guest asked over vsock loopback. Root is not needed.
# Says what was examined; exits with 1 when something was not as it should be.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/debian-packages.sh

readonly PROGRAMS=$PWD/target/debug
readonly WAIT_S=900
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

modules() { # with what they need, in order
  local version=$1 module
  depmod -b "$work/debian" "$version"
  for module in cuse vsock_loopback; do
    modprobe -d "$work/debian" -S "$version" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
  done
}

programs() {
  local program library
  for program in "$PROGRAMS"/assay-{agent,cuse-sev}; do
    strip -o "$tree/bin/${program##*/}" "$program"
    ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
      install -D -m 755 "$(realpath "$library")" "$tree$library"
    done
  done
}

debian_unpack "$work/debian" "$(debian_kernel cloud-amd64)" busybox-static >/dev/null
version=$(ls "$work/debian/lib/modules")
tree=$work/tree
mkdir -p "$tree"/{bin,dev,proc,sys,tmp,modules}
install -m 755 "$work/debian/bin/busybox" "$tree/bin/busybox"
ln -s busybox "$tree/bin/sh"
programs
number=10
modules "$version" | while read -r module; do
  cp "$module" "$tree/modules/$((number++))-${module##*/}"
done

cat >"$tree/init" <<'INIT'
#!/bin/sh
for tool in mount insmod ifconfig sleep poweroff grep sed; do ln -s busybox "/bin/$tool"; done
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done
ifconfig lo up
echo log >/tmp/log
id=1111111111111111111111111111111111111111111111111111111111111111
examine() { # name, lines of [snp]
  name=$1
  shift
  {
    printf 'network = "%s"\nprovider = "2222222222222222222222222222222222222222"\nroster = ["%s"]\n' $id $id
    printf 'listen = "127.0.0.1:7143"\nstate_dir = "/tmp/state"\n'
    printf '[tpm]\ntcti = "swtpm:host=127.0.0.1,port=1"\nevent_log = "/tmp/log"\n[snp]\n'
    printf '%s\n' "$@"
  } >/tmp/agent.toml
  assay-agent doctor --config /tmp/agent.toml | grep '  snp-' | sed "s/^/SEEN $name: /"
}
probe_guest() {
  assay-agent probe-guest 2>/tmp/guest &
  guest=$!
  until grep -q listening /tmp/guest; do sleep 1; done
}
host='host = "/dev/sev"'
examine nothing 'source = "guest-device"' "$host"
# A guest that was started without SEV-SNP.
probe_guest
examine bare 'source = "probe-guest"' 'cid = 1'
kill $guest
wait $guest
zeros=000000000000000000000000000000000000000000000000
assay-cuse-sev --measurement $zeros$zeros --ark /tmp/ark &
while [ ! -c /dev/sev-guest ] || [ ! -c /dev/sev ]; do sleep 1; done
examine guest 'source = "guest-device"' "$host"
examine silent 'source = "probe-guest"' 'cid = 1' "$host"
probe_guest
examine probe 'source = "probe-guest"' 'cid = 1' "$host"
poweroff -f
INIT
chmod 755 "$tree/init"
(cd "$tree" && find . | cpio --create --format=newc --quiet --owner=0:0) | gzip -1 >"$work/initrd"

timeout "$WAIT_S" qemu-system-x86_64 -accel tcg -m 512 -smp 2 -nographic -no-reboot -nodefaults -serial stdio \
  -kernel "$work/debian/boot/vmlinuz-$version" -initrd "$work/initrd" \
  -append 'console=ttyS0 quiet panic=-1 random.trust_cpu=1' </dev/null >"$work/console" || true
tr -d '\r' <"$work/console" | grep -ao 'SEEN .*' | sed 's/ in [0-9]* ms$//; s/\(first [0-9a-f]\{8\}\).*/\1/' >"$work/seen" || true
cat "$work/seen"

cat >"$work/expected" <<'EXPECTED'
SEEN nothing: FAIL  snp-report     [snp] /dev/sev: No such file or directory (os error 2)
SEEN bare: FAIL  snp-report     probe guest at vsock 1:7144: it runs and has no report: /dev/sev-guest: No such file or directory (os error 2)
SEEN bare: SKIP  snp-chip-ids   no snp.host
SEEN guest: PASS  snp-report     1184 bytes and a certificate table of 8192
SEEN guest: PASS  snp-chip-ids   1 of /dev/sev, the first c1c1c1c1
SEEN silent: FAIL  snp-report     probe guest at vsock 1:7144: no answer: Connection reset by peer (os error 104)
SEEN silent: PASS  snp-chip-ids   1 of /dev/sev, the first c1c1c1c1
SEEN probe: PASS  snp-report     1184 bytes and a certificate table of 8192
SEEN probe: PASS  snp-chip-ids   1 of /dev/sev, the first c1c1c1c1
EXPECTED
if ! diff "$work/expected" "$work/seen"; then
  echo "error: the machine saw something else than expected (< expected, > seen); its console:" >&2
  tail -n 40 "$work/console" >&2
  exit 1
fi
