#!/bin/sh
# The first program in the virtual machine: guest.sh OUT TREE COMMAND... runs the command inside TREE.
# Its output goes to OUT/output, its exit code to OUT/exit; whatever else it writes is gone with the machine.
set -eu
out=$1 tree=$2
shift 2

# Under emulation, a page of a program that is read anew is translated anew. So the machine's files are mounted once
# more, with a cache (virtme-ng's own mount has none), under a layer in memory that takes what is written.
mkdir -p /run/lane
mount -t tmpfs -o mode=755 lane /run/lane
cd /run/lane
mkdir files written work root
mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=512000,ro machine files
mount -t overlay -o lowerdir=files,upperdir=written,workdir=work lane root
for kernel_made in dev proc sys; do mount --rbind "/$kernel_made" "root/$kernel_made"; done
mount -t tmpfs -o mode=755 run root/run
mkdir root/run/tests
mkdir -p "root/lib/modules" "root$out"
ln -sfn "$(readlink -f "/lib/modules/$(uname -r)")" "root/lib/modules/$(uname -r)"
mount --bind "$out" "root$out"

ip link set lo up
# The kernel loads by itself what a link or a rule needs; not a device node that has to be there to be opened, nor
# what makes bridged packets pass the rules, as they do on every Kubernetes node.
modprobe -a tun br_netfilter

# shellcheck disable=SC2016
unshare --mount sh -euc '
  cd root
  mount --move . /
  exec chroot . sh -uc "$@"
' lane '
  out=$1 tree=$2
  shift 2
  cd "$tree"
  code=0
  TMPDIR=/run/tests "$@" >"$out/output" 2>&1 </dev/null || code=$?
  echo "$code" >"$out/exit"
' lane "$out" "$tree" "$@"
