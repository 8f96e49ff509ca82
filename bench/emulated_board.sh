#!/usr/bin/env bash
# An arm64 board on this computer: qemu user mode below Debian's own arm64 packages and PyPI's aarch64 wheels, behind a
# real sshd. Kernels, file formats, protocol and answers are those of a board. Time is not.
set -euo pipefail

usage() {
  cat <<'TEXT'
emulated_board.sh DIR PORT [OPTION...]   build it in DIR if it is not there, and start it on 127.0.0.1:PORT
emulated_board.sh DIR stop               end it; DIR stays, `rm -r DIR` removes all there is

  --suite NAME         Debian release: bookworm (Python 3.11, glibc 2.36), bullseye (Python 3.9, glibc 2.31)
  --cpu pi5 | pi4      Cortex-A76 with dotprod and fp16 (default), or Cortex-A72 without
  --without-runtimes   no onnxruntime, no ai-edge-litert, no numpy
  --without-venv       no module venv for Python, as Debian and Ubuntu install it
  --without-python     no Python
  --governor NAME      what the CPUs say of their frequency (default ondemand)
  --celsius N          what the thermal zone says (default 48)
  --disk SIZE          space for the user's files, for example 64M (default: all there is)

Needs root, Debian or a relative, and the packages qemu-user-static, openssh-client and python3 with pip.
DIR/bin first on the PATH makes `ssh board-PORT` reach it without a change of your ~/.ssh/config.
TEXT
}

fail() { echo "emulated_board.sh: $*" >&2; exit 1; }

# Debian packages that make a small board with ssh. Their install scripts are not run: they need no configuration.
packages=(base-files bash coreutils dash findutils gawk grep gzip libc-bin libstdc++6 login openssh-server passwd procps sed tar util-linux)
runtimes=(numpy onnxruntime ai-edge-litert)

read_options() {
  suite=bookworm cpu=pi5 governor=ondemand celsius=48 disk='' python=yes venv=yes installed=yes
  while [ $# -gt 0 ]; do
    case $1 in
      --without-runtimes) installed=no ;;
      --without-venv) venv=no ;;
      --without-python) python=no installed=no ;;
      --suite | --cpu | --governor | --celsius | --disk) [ $# -ge 2 ] || fail "$1 needs a value"; declare -g "${1#--}=$2"; shift ;;
      *) usage >&2; fail "unknown option $1" ;;
    esac
    shift
  done
  case $cpu in
    pi5) model='Raspberry Pi 5 Model B Rev 1.0' core=cortex-a76 part=0xd0b variant=0x4 revision=1 khz=2400000
      features='fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp' ;;
    pi4) model='Raspberry Pi 4 Model B Rev 1.2' core=cortex-a72 part=0xd08 variant=0x0 revision=3 khz=1500000
      features='fp asimd evtstrm crc32 cpuid' ;;
    *) fail "--cpu is pi5 or pi4, not $cpu" ;;
  esac
}

# The kernel hands arm64 programs to qemu, also inside a chroot: Debian's own rule, with the flag F.
register_qemu() {
  local rules=/proc/sys/fs/binfmt_misc rule=/usr/lib/binfmt.d/qemu-aarch64.conf
  [ -e "$rule" ] || fail "qemu is missing: apt-get install qemu-user-static"
  [ -e "$rules/register" ] || mount -t binfmt_misc binfmt_misc "$rules"
  [ -e "$rules/qemu-aarch64" ] || tr -d '\n' <"$rule" >"$rules/register"
}

# Unpacks arm64 packages of the suite through an apt state of the board's own.
unpack_debian() {
  local apt=$dir/apt mirror wanted=("${packages[@]}") options archive
  [ "$python" = no ] || wanted+=(python3 ca-certificates)
  [ "$venv" = no ] || [ "$python" = no ] || wanted+=(python3-venv)
  [ -e "$root/.unpacked" ] && [ "$(cat "$root/.unpacked")" = "$suite ${wanted[*]}" ] && return
  [ ! -e "$root/.unpacked" ] || fail "$dir holds a board of other packages: remove it first (rm -r $dir)"
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' | head -n1)
  [ -n "$mirror" ] || fail "this computer's apt knows no Debian mirror (apt-get update, or not a Debian)"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  : >"$apt/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
  options=(-qq -oAPT::Architecture=arm64 -oAPT::Architectures=arm64 -oDir::State="$apt" -oDir::State::Lists="$apt/lists"
    -oDir::State::status="$apt/status" -oDir::Cache="$apt/cache" -oDir::Etc::SourceList="$apt/sources.list"
    -oDir::Etc::SourceParts=- -oAPT::Sandbox::User=root -oAPT::Get::AllowUnauthenticated=false)
  apt-get "${options[@]}" update
  apt-get "${options[@]}" install -y --download-only --no-install-recommends "${wanted[@]}" >/dev/null
  for archive in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$archive" "$root"; done
  [ -e "$root/bin/sh" ] || ln -s dash "$root/bin/sh" # made by dash's install script
  rm -r "$apt"
  echo "$suite ${wanted[*]}" >"$root/.unpacked"
}

install_runtimes() {
  local version
  [ "$installed" = yes ] || return 0
  version=$(basename "$(readlink "$root/usr/bin/python3")") # python3.11
  local site=$root/usr/local/lib/$version/dist-packages platform=()
  [ ! -e "$site/onnxruntime" ] || return 0
  for tag in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014; do platform+=(--platform "${tag}_aarch64"); done
  python3 -m pip install --quiet --root-user-action=ignore --target "$site" --only-binary=:all: --python-version "${version#python}" \
    --implementation cp "${platform[@]}" "${runtimes[@]}"
}

# Accounts, keys, sshd, and what the "hardware" says of itself.
configure() {
  local home=$root/home/board i
  mkdir -p "$root"/{proc,sys,dev,tmp,run/sshd,etc/ssh,root} "$home/.ssh"
  chmod 1777 "$root/tmp"
  printf '%s\n' root:x:0:0::/root:/bin/bash sshd:x:101:65534::/run/sshd:/usr/sbin/nologin board:x:1000:1000::/home/board:/bin/bash \
    nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin >"$root/etc/passwd"
  printf '%s\n' root:x:0: board:x:1000: nogroup:x:65534: >"$root/etc/group"
  printf '%s:*:19000:0:99999:7:::\n' root sshd board nobody >"$root/etc/shadow"
  echo 'board' >"$root/etc/hostname"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  for i in /etc/ssl/certs/ca-certificates.crt /etc/xdg/pip/pip.conf /etc/pip.conf; do # as this computer reaches PyPI
    [ ! -e "$i" ] || { mkdir -p "$root${i%/*}" && cp "$i" "$root$i"; }
  done
  [ -e "$dir/key" ] || ssh-keygen -q -t ed25519 -N '' -C board -f "$dir/key"
  [ -e "$root/etc/ssh/host" ] || ssh-keygen -q -t ed25519 -N '' -C board -f "$root/etc/ssh/host"
  install -m 600 "$dir/key.pub" "$home/.ssh/authorized_keys"
  chmod 700 "$home/.ssh"
  chown -R 1000:1000 "$home"
  printf '%s\n' "Port $port" 'ListenAddress 127.0.0.1' 'HostKey /etc/ssh/host' 'UsePAM no' 'PasswordAuthentication no' \
    'KbdInteractiveAuthentication no' 'Subsystem sftp internal-sftp' "SetEnv QEMU_CPU=$core" >"$root/etc/ssh/sshd_config"

  : >"$dir/cpuinfo"
  for i in 0 1; do
    printf 'processor\t: %s\nBogoMIPS\t: 108.00\nFeatures\t: %s\nCPU implementer\t: 0x41\nCPU architecture: 8\n' "$i" "$features"
    printf 'CPU variant\t: %s\nCPU part\t: %s\nCPU revision\t: %s\n\n' "$variant" "$part" "$revision"
  done >>"$dir/cpuinfo"
  printf 'Model\t\t: %s\n' "$model" >>"$dir/cpuinfo"
  # The runtimes' library for CPUs ends with a segmentation fault where /sys tells of this computer's processors.
  local cpus=$root/sys/devices/system/cpu zone=$root/sys/class/thermal/thermal_zone0
  mkdir -p "$cpus"/cpu{0,1}/cpufreq "$zone" "$root/sys/firmware/devicetree/base"
  printf '%s\0' "$model" >"$root/sys/firmware/devicetree/base/model"
  for i in possible present online; do echo 0-1 >"$cpus/$i"; done
  for i in "$cpus"/cpu[01]/cpufreq; do
    echo "$governor" >"$i/scaling_governor"
    echo "$khz" | tee "$i/scaling_cur_freq" "$i/scaling_max_freq" >"$i/cpuinfo_max_freq"
    echo 600000 | tee "$i/scaling_min_freq" >"$i/cpuinfo_min_freq"
  done
  echo cpu-thermal >"$zone/type"
  echo "${celsius}000" >"$zone/temp"
  echo critical >"$zone/trip_point_0_type"
  echo 110000 >"$zone/trip_point_0_temp"
}

# How the user's own client gets there: a block for ~/.ssh/config, and wrappers that use it without.
write_client_files() {
  local program
  printf '[127.0.0.1]:%s %s\n' "$port" "$(cut -d' ' -f1,2 "$root/etc/ssh/host.pub")" >"$dir/known_hosts"
  printf '%s\n' "Host board-$port" '  HostName 127.0.0.1' "  Port $port" '  User board' "  IdentityFile \"$dir/key\"" \
    '  IdentitiesOnly yes' "  UserKnownHostsFile \"$dir/known_hosts\"" >"$dir/ssh_config"
  mkdir -p "$dir/bin"
  for program in ssh scp sftp; do
    printf '#!/bin/sh\nexec %s -F "%s" "$@"\n' "$(PATH=/usr/bin:/bin command -v $program)" "$dir/ssh_config" >"$dir/bin/$program"
    chmod +x "$dir/bin/$program"
  done
}

# Runs in mount, process and host name namespaces of its own, so that nothing is left when it ends.
boot() {
  mount --make-rprivate /
  mount --bind /dev "$root/dev"
  mount -t devpts devpts "$root/dev/pts" -o newinstance,ptmxmode=0666,mode=620
  mount -t proc proc "$root/proc"
  mount --bind "$dir/cpuinfo" "$root/proc/cpuinfo"
  if [ -n "$disk" ]; then
    cp -a "$root/home/board" "$dir/home"
    mount -t tmpfs -o "size=$disk" tmpfs "$root/home"
    mv "$dir/home" "$root/home/board"
  fi
  hostname board
  QEMU_CPU=$core exec chroot "$root" /usr/sbin/sshd -D -e
}

is_up() { [ -e "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; }

# unshare takes no SIGTERM; with it goes the first process of its namespace, and with that all others.
stop() {
  local pid
  is_up || { echo "no board runs in $dir"; return; }
  pid=$(cat "$dir/pid")
  kill -KILL "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  rm "$dir/pid"
}

start() {
  local tries
  setsid unshare --mount --pid --uts --fork --kill-child=KILL "$0" "$dir" boot "$port" "${options[@]}" >"$dir/sshd.log" 2>&1 </dev/null &
  echo $! >"$dir/pid"
  for tries in {1..30}; do
    is_up || { cat "$dir/sshd.log" >&2; rm "$dir/pid"; fail "sshd ended"; }
    "$dir/bin/ssh" -o BatchMode=yes -o ConnectTimeout=20 "board-$port" true 2>/dev/null && break
    [ "$tries" -lt 30 ] || { cat "$dir/sshd.log" >&2; stop; fail "no answer on port $port"; }
    sleep 0.5
  done
  echo "# the board is up: for ~/.ssh/config, or PATH=$dir/bin:\$PATH ssh board-$port"
  cat "$dir/ssh_config"
}

[ $# -ge 2 ] || { usage >&2; exit 2; }
[ "$(id -u)" = 0 ] || fail "needs root (mounts and chroot)"
dir=$(realpath -m -- "$1") root=$(realpath -m -- "$1")/root
case $2 in
  stop) stop ;;
  boot) port=$3; shift 3; read_options "$@"; boot ;;
  *)
    [[ $2 =~ ^[0-9]{1,5}$ ]] || fail "a port is a number, not $2"
    port=$2; shift 2; options=("$@"); read_options "$@"
    ! is_up || fail "a board runs in $dir already (emulated_board.sh $dir stop)"
    ! (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null || fail "something else answers on port $port"
    mkdir -p "$root"
    register_qemu
    unpack_debian
    install_runtimes
    configure
    write_client_files
    start
    ;;
esac
