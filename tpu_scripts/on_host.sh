#!/usr/bin/env bash
# What runs on each host of a slice; copied there by `tpu install`, and called
# by the other commands of tpu. It answers with lines that begin with @.
#
# All is in ~/mmal_tpu: source, venv, stamp (of what is installed), lock (held
# by a run while any of its processes lives), status, pid, session, id (of the
# start), workdir, and log. All is in functions, so that a file which was cut
# off does nothing.
set -euo pipefail

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# On a line of its own, whatever a lost connection has left before; the full
# stop tells that the line is whole.
answer() {
  printf '\n@%s .\n' "$*"
}

# A reader never finds half a file.
write_file() {
  printf '%s\n' "$2" >"$1.new.$$"
  mv "$1.new.$$" "$1"
}

read_file() {
  if [[ -f $1 ]]; then cat "$1"; else printf '%s' "${2-}"; fi
}

# Whether a process of a run lives: they all have the lock's file open. Shared,
# so that of two who look at once none takes the other for a run.
is_running() {
  ! (flock --shared --nonblock 9) 9>>lock
}

do_install() {
  local stamp=$1 python=$2
  exec 8>>install_lock
  flock 8  # A second one, after a lost connection, waits, and finds all done.
  if [[ $(read_file stamp) == "$stamp" ]]; then
    answer "installed $stamp"
    return
  fi
  ! is_running || fail 'a run is going on: tpu stop first.'
  rm -rf stamp source source.new
  mkdir source.new
  tar -xzf source.tar.gz -C source.new
  mv source.new source
  if [[ $(read_file venv/made_for) != "$python" ]]; then
    rm -rf venv
    make_environment "$python"
    write_file venv/made_for "$python"
  fi
  add_packages
  write_file stamp "$stamp"
  answer "installed $stamp"
}

# Finds uv, or gets it, into UV; empty where there is none.
find_uv() {
  UV=$(command -v uv || true)
  [[ -z $UV && -x $HOME/.local/bin/uv ]] && UV=$HOME/.local/bin/uv
  if [[ -z $UV ]]; then
    # No part of the system is changed so, whatever Python the image has.
    [[ -x uv/bin/uv ]] || python3 -m pip install --quiet --target=uv \
      --constraint=source/tpu_scripts/constraints.txt uv >&2 || true
    [[ -x uv/bin/uv ]] && UV=$PWD/uv/bin/uv
  fi
  return 0
}

make_environment() {
  local python=$1
  find_uv
  if [[ -n $UV ]]; then
    "$UV" venv --quiet --python "$python" venv
  elif command -v "python$python" >/dev/null; then
    "python$python" -m venv venv
  else
    fail "neither uv nor python$python is here, and pip gets no uv."
  fi
}

add_packages() {
  local wanted=(--constraint source/tpu_scripts/constraints.txt
                --editable './source[experiments,pretrained,tpu]')
  find_uv
  if [[ -n $UV ]]; then
    "$UV" pip install --quiet --python venv/bin/python "${wanted[@]}" >&2
  else
    venv/bin/python -m pip install --quiet "${wanted[@]}" >&2
  fi
}

# Mounts the one disk that holds nothing of the system.
mount_disk() {
  local folder=/mnt/disks/$1 disk free=()
  mountpoint -q "$folder" && return
  while read -r disk; do
    # Without partitions, and not in use.
    if [[ $(lsblk -nro NAME "$disk" | wc -l) == 1 &&
          -z $(lsblk -nro MOUNTPOINT "$disk") ]]; then
      free+=("$disk")
    fi
  done < <(lsblk -dnpro NAME,TYPE | awk '$2 == "disk" { print $1 }')
  [[ ${#free[@]} == 1 ]] || fail "of the disks of this host, ${#free[@]} are" \
    "free (${free[*]-}), not one: mount $1 at $folder by hand."
  # 2: nothing on it is known to blkid, or it cannot be read.
  local status=0
  sudo -n blkid --probe "${free[0]}" >/dev/null || status=$?
  if [[ $status == 2 ]]; then
    # Google's new disks are all zeros.
    sudo -n cmp --quiet --bytes=$((64 << 20)) "${free[0]}" /dev/zero ||
      fail "${free[0]} holds what is no file system, or cannot be read. If it" \
        "may be lost: sudo mkfs.ext4 ${free[0]}"
    sudo -n mkfs.ext4 -q -m 0 "${free[0]}"
  fi
  sudo -n mkdir -p "$folder"
  sudo -n mount -o discard,defaults "${free[0]}" "$folder"
  # Who I am may have another number on another host.
  [[ -O $folder ]] || sudo -n chown -R "$(id -u):$(id -g)" "$folder"
}

# The processes of ours that have a TPU open.
holders() {
  find /proc/[0-9]*/fd \( -lname '/dev/accel*' -o -lname '/dev/vfio/[0-9]*' \) \
    -print 2>/dev/null | cut -d / -f 3 | sort -u || true
}

# Removes the lock of libtpu where a process that has gone left it: only if it
# is ours, and none of us has a TPU open.
remove_stale_lock() {
  if [[ -e $1 && -O $1 && -z $(holders) ]]; then
    rm -f "$1"
  fi
}

do_start() {
  local id='' hosts=1 disk='' workdir='' cache_dir='' flags=() given=()
  local variables=(JAX_COORDINATOR_PORT=8476 TPU_LOG_DIR=disabled)
  while [[ $1 != -- ]]; do
    case $1 in
      --id=*) id=${1#*=} ;;
      --hosts=*) hosts=${1#*=} ;;
      --disk=*) disk=${1#*=} ;;
      --workdir=*) workdir=${1#*=} ;;
      --cache_dir=*) cache_dir=${1#*=} ;;
      --env=*) given+=("${1#*=}") ;;
      *) fail "start: unknown $1" ;;
    esac
    shift
  done
  shift
  [[ -f stamp ]] || fail 'nothing is installed here: tpu install.'
  exec 9>>lock
  # Whoever asks for the status holds it for a moment.
  if ! flock --timeout 2 9; then
    answer 'start running'
    return
  fi
  # The same command once more, after a lost connection: it has ended already.
  if [[ $(read_file id) == "$id" ]]; then
    answer 'start ended'
    return
  fi
  [[ -z $disk ]] || mount_disk "$disk"
  remove_stale_lock /tmp/libtpu_lockfile
  [[ ! -O /tmp/tpu_logs ]] || rm -rf /tmp/tpu_logs
  [[ $workdir == /* ]] || workdir=$HOME/$workdir
  flags+=("--workdir=$workdir")
  if [[ -n $cache_dir ]]; then
    [[ $cache_dir == /* ]] || cache_dir=$HOME/$cache_dir
    flags+=("--cache_dir=$cache_dir")
    # What ENV or RUN_ARGS, which come later, say of it goes before.
    [[ " ${given[*]-}" == *' JAX_COMPILATION_CACHE_DIR='* ]] ||
      flags+=("--compilation_cache=$cache_dir/compiled")
  fi
  flags+=(--resume)
  [[ $hosts -le 1 ]] || flags+=(--multihost)
  rm -f pid session
  write_file workdir "$workdir"
  write_file status running
  write_file id "$id"
  # What is started keeps the lock's file open, and so the lock.
  setsid --fork bash "$PWD/on_host.sh" supervise \
    env "${variables[@]}" "${given[@]}" "$PWD/venv/bin/python" \
    -m experiments.run "${flags[@]}" "$@" </dev/null >>log 2>&1
  answer 'start started'
}

do_supervise() {
  write_file session "$$"
  trap : TERM  # The run ends in order; it is waited for.
  printf '== %s: %s\n' "$(date -u +%FT%TZ)" "$*"
  local status=0
  (
    cd source
    # shellcheck disable=SC2016  # read by the shell that becomes the run
    exec bash -c 'echo "$$" >../pid.new; mv ../pid.new ../pid; exec "$@"' \
      run "$@"
  ) || status=$?
  printf '== %s: exit status %s\n' "$(date -u +%FT%TZ)" "$status"
  write_file status "exited $status"
}

# @status STATE STATUS PID LINES STAMP: STATE is idle, running, exited, or lost,
# where no status was left; LINES are those of metrics.jsonl.
do_status() {
  local state=idle status=- pid=- lines=0 said workdir
  is_running && state=running
  said=$(read_file status)  # Not before: it may end between the two.
  if [[ $state == running ]]; then
    pid=$(read_file pid -)
  elif [[ $said == exited* ]]; then
    state=exited status=${said#exited }
  elif [[ -n $said ]]; then
    state=lost
  fi
  workdir=$(read_file workdir)
  if [[ -n $workdir && -f $workdir/metrics.jsonl ]]; then
    lines=$(wc -l <"$workdir/metrics.jsonl")
  fi
  answer "status $state $status ${pid:--} $((lines)) $(read_file stamp -)"
}

# Ends the run in order, within so many seconds, or else at once.
do_stop() {
  local until=$((SECONDS + $1)) sent=no
  while is_running && ((SECONDS < until)); do
    # It may have begun just now, and have no number yet. A number of this
    # session is no other program's.
    if [[ $sent == no && -f pid && -f session ]] &&
        pkill -TERM -s "$(cat session)" --pidfile pid; then
      sent=yes
    fi
    sleep 0.2
  done
  if is_running && [[ -f session ]]; then
    pkill -KILL -s "$(cat session)" || true
    until=$((SECONDS + 30))
    while is_running && ((SECONDS < until)); do sleep 0.1; done
    [[ $(read_file status) == exited* ]] || write_file status 'exited 137'
  fi
  ! is_running || fail 'the run cannot be stopped.'
  answer 'stop stopped'
}

# @log SIZE FROM BYTES: at most $2 bytes of the log from FROM on, as base64.
# FROM < 0 counts from the end.
do_log() {
  local from=$1 most=$2 size=0 bytes
  [[ ! -f log ]] || size=$(($(wc -c <log)))
  ((from >= 0)) || from=$((size + from > 0 ? size + from : 0))
  ((from <= size)) || from=0  # Another log than the caller has read.
  bytes=$(tail -c "+$((from + 1))" log 2>/dev/null | head -c "$most" |
    base64 -w 0) || true  # tail has more to say than is asked for.
  answer "log $size $from $bytes"
}

# @pack SUM: of results.tar.gz, which holds the run's folder without states.
do_pack() {
  local workdir status=0
  workdir=$(read_file workdir)
  [[ -n $workdir && -d $workdir ]] || fail 'there are no results on this host.'
  # 1: a file has changed meanwhile, as a run does.
  tar -czf results.tar.gz --exclude=./states -C "$workdir" . || status=$?
  [[ $status -le 1 ]] || fail 'the results cannot be packed.'
  answer "pack $(sha256sum results.tar.gz | cut -d ' ' -f 1)"
}

# What a person may want to know before a run.
do_doctor() {
  local held
  held=$(holders | tr '\n' ' ')
  answer "doctor home has $(df -hP . | awk 'NR == 2 { print $4 }') free;" \
    "python3 is $(python3 --version 2>&1);" \
    "the TPU is held by ${held:-no process of ours};" \
    "/tmp/libtpu_lockfile is $([[ -e /tmp/libtpu_lockfile ]] && echo there ||
      echo absent); installed is $(read_file stamp nothing)"
}

main() {
  cd "$HOME/mmal_tpu"
  local command=$1
  shift
  "do_$command" "$@"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then main "$@"; fi
