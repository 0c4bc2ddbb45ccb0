# The run on the hosts of a slice. Sourced by tpu.
# shellcheck shell=bash disable=SC2154  # flags and settings

ON_HOST='bash mmal_tpu/on_host.sh'

# Sets HOSTS, if there are hosts to reach.
need_hosts() {
  node_state || return
  if [[ $DRY_RUN == no && $NODE != READY ]]; then
    say "error: the node of $NAME is $NODE: tpu create, tpu wait."
    return "$FAILED"
  fi
}

# Asks hosts for a line; all must answer with @WORD.
ask() {
  local which=$1 word=$2 line=$3 wanted=1
  on_hosts "$which" "$line" || true  # Whoever does not answer has failed.
  [[ $DRY_RUN == no ]] || return 0
  read_answers "$word"
  [[ $which != all ]] || wanted=$HOSTS
  if ((${#ANSWERS[@]} != wanted)); then
    show_hosts "$word: ${#ANSWERS[@]} of $wanted host(s) answered as expected"
    return "$FAILED"
  fi
}

sum_of() {
  if command -v sha256sum >/dev/null; then
    sha256sum "$1"
  else
    shasum -a 256 "$1"
  fi | cut -d ' ' -f 1
}

# Whether all hosts answered with that.
all_said() {
  local answer
  for answer in "${ANSWERS[@]}"; do
    [[ $answer == "$1" ]] || return 1
  done
}

# Sets COMMIT, which hosts get, to the one checked out, unless it is set.
find_commit() {
  [[ -z ${COMMIT-} ]] || return 0
  COMMIT=$(git -C "$ROOT" rev-parse HEAD) || refuse "$ROOT is no git checkout."
  if [[ -n $(git -C "$ROOT" status --porcelain) ]]; then
    refuse "$ROOT has changes that are not committed: hosts get a commit, so" \
      'that results tell what made them.'
  fi
}

tpu_install() {
  local stamp try source=$STATE_DIR/source.tar.gz sum=SUM line archive said
  find_commit
  stamp=$COMMIT-python$PYTHON
  need_hosts || return
  # shellcheck disable=SC2016  # read by hosts
  ask all has 'mkdir -p mmal_tpu; echo;'\
' echo "@has $(cat mmal_tpu/stamp 2>/dev/null) ."' || return
  if [[ $DRY_RUN == no ]] && all_said "$stamp"; then
    say "Installed already: $stamp."
    return
  fi
  archive=(git -C "$ROOT" archive --format=tar.gz "--output=$source" "$COMMIT")
  if [[ $DRY_RUN == yes ]]; then
    printf '%s\n' "$(quoted "${archive[@]}")" >&3
  else
    "${archive[@]}" || return "$FAILED"
    sum=$(sum_of "$source")
  fi
  # What arrived in part is found out by the hosts. $$: two of this, after a
  # lost connection, do not write to one file.
  line="cd mmal_tpu && if echo '$sum  source.tar.gz' | sha256sum --check"
  line+=' --quiet; then tar -xzOf source.tar.gz tpu_scripts/on_host.sh'
  line+=' >on_host.new.$$ && mv on_host.new.$$ on_host.sh &&'
  line+=" bash on_host.sh install $stamp $PYTHON; else echo; echo @cut .; fi"
  said=$OUT/copy.txt
  for try in 1 2 3; do
    SAID=$said copy_to_hosts "$source" || true  # Hosts tell what they got.
    if ask all installed "$line"; then
      [[ $DRY_RUN == yes ]] || say "Installed on $HOSTS host(s): $stamp."
      return 0
    fi
    read_answers cut
    ((${#ANSWERS[@]} > 0)) || return "$FAILED"
    SAID=$said show_error "a copy to the hosts failed (try $try of 3)"
  done
  return "$FAILED"
}

tpu_start() {
  local flags=() line word id=ID
  need_hosts || return
  if [[ $DRY_RUN == no ]]; then
    id=$(date -u +%Y%m%dT%H%M%S).$$.$RANDOM
    if ((HOSTS > 1)); then
      if [[ $STORAGE == disk:* ]]; then
        say "error: STORAGE=$STORAGE: a disk is of one host; $TYPE has $HOSTS."
        return 2
      elif [[ $STORAGE == local && -z $MIRROR ]]; then
        say "error: STORAGE=local without MIRROR: $HOSTS hosts share no folder."
        return 2
      fi
    fi
  fi
  flags=("--id=$id" "--hosts=$HOSTS" "--workdir=$WORKDIR")
  [[ $STORAGE != disk:* ]] || flags+=("--disk=${STORAGE#disk:}")
  [[ -z $CACHE_DIR ]] || flags+=("--cache_dir=$CACHE_DIR")
  for word in "${ENV_WORDS[@]}"; do
    flags+=("--env=$word")
  done
  flags+=(--)
  [[ -z $MIRROR ]] || flags+=("--mirror=$MIRROR")
  line="$ON_HOST start $(quoted "${flags[@]}" "${RUN_WORDS[@]}")"
  ask all start "$line" || return
  [[ $DRY_RUN == yes ]] || say "On the hosts: ${ANSWERS[*]}."
}

tpu_stop() {
  need_hosts || return
  ask all stop "$ON_HOST stop $TIMEOUT" || return
  [[ $DRY_RUN == yes ]] || say "Stopped on $HOSTS host(s)."
}

# Sets ANSWERS to what hosts tell of the run; those that do not are absent.
host_states() {
  ask all status "if [ -f mmal_tpu/on_host.sh ]; then $ON_HOST status; else"\
' echo; echo "@status idle - - 0 - ."; fi'
}

tpu_status() {
  local worker said=() joined='' status=0
  resource_state || return
  node_state || return
  ANSWERS=()
  if [[ $NODE == READY || $DRY_RUN == yes ]]; then
    host_states || status=$?
  fi
  [[ $DRY_RUN == no ]] || return 0
  [[ $JSON == yes ]] ||
    echo "$NAME: $STATE, node $NODE ${HEALTH:-}, $HOSTS host(s)"
  for ((worker = 0; worker < HOSTS; worker++)); do
    # STATE STATUS PID LINES STAMP
    read -r -a said <<<"${ANSWERS[$worker]-unreachable - - 0 -}"
    if [[ $JSON == yes ]]; then
      joined+="${joined:+, }{\"worker\": $worker, \"state\": \"${said[0]}\","
      joined+=" \"status\": ${said[1]/#-/null}, \"pid\": ${said[2]/#-/null},"
      joined+=" \"metrics\": ${said[3]}, \"installed\": \"${said[4]/#-/}\"}"
    else
      echo "  host $worker: ${said[0]}, exit status ${said[1]}," \
        "pid ${said[2]}, ${said[3]} line(s) of metrics, installed ${said[4]}"
    fi
  done
  [[ $JSON == no ]] || printf \
    '{"name": "%s", "state": "%s", "node": "%s", "health": "%s", '\
'"hosts": [%s]}\n' \
    "$NAME" "$STATE" "$NODE" "$HEALTH" "$joined"
  return "$status"
}

# Prints what a host's log has from NEXT[worker] on, and moves that; sets MORE
# if there was more than fits an answer.
log_of() {
  local worker=$1 most=200000 size from bytes show=(cat)
  [[ $WORKER != all ]] || show=(sed "s/^/$worker: /")
  # What the log of a connection lost had not brought is asked for again.
  ask "$worker" log "$ON_HOST log ${NEXT[$worker]} $most" || return
  read -r size from bytes <<<"${ANSWERS[$worker]}"
  # Who reads no further, as head does, wants no more.
  printf '%s' "$bytes" | base64 -d | "${show[@]}" || exit "$FAILED"
  NEXT[$worker]=$((from + $(printf '%s' "$bytes" | base64 -d | wc -c)))
  ((NEXT[worker] >= size)) || MORE=yes
}

refuse_worker() {
  refuse "--worker=$WORKER: there are $HOSTS host(s), from 0 on."
}

tpu_logs() {
  local worker
  need_hosts || return
  NEXT=()
  if [[ $DRY_RUN == yes ]]; then
    on_hosts "$WORKER" "$ON_HOST log -20000 200000"
    return
  fi
  for ((worker = 0; worker < HOSTS; worker++)); do
    [[ $WORKER != all && $WORKER != "$worker" ]] || NEXT[worker]=-20000
  done
  ((${#NEXT[@]})) || refuse_worker
  while true; do
    MORE=no
    for worker in "${!NEXT[@]}"; do
      if ! log_of "$worker"; then
        [[ $FOLLOW == yes ]] || return "$FAILED"
        sleep "$POLL"
        patiently need_hosts || return
      fi
    done
    [[ $FOLLOW == yes || $MORE == yes ]] || return 0
    [[ $MORE == yes ]] || sleep "$POLL"
  done
}

tpu_fetch() {
  local try file=$STATE_DIR/results.tar.gz
  need_hosts || return
  [[ $DRY_RUN == yes ]] || ((WORKER < HOSTS)) || refuse_worker
  for try in 1 2 3; do
    ask "$WORKER" pack "$ON_HOST pack" || return
    copy_from_host "$WORKER" results.tar.gz "$file" ||
      say "A copy from host $WORKER failed (try $try of 3)."
    [[ $DRY_RUN == no ]] || return 0
    if [[ -f $file && $(sum_of "$file") == "${ANSWERS[$WORKER]}" ]]; then
      if ! { mkdir -p "$FOLDER" && tar -xzf "$file" -C "$FOLDER"; }; then
        say "error: $FOLDER cannot be written; all is in $file."
        return "$FAILED"
      fi
      rm "$file"
      say "Results are in $FOLDER."
      return 0
    fi
  done
  say 'error: no copy arrived whole.'
  return "$FAILED"
}

# What is amiss on this machine.
look_here() {
  if ! command -v git >/dev/null; then
    say 'amiss: git is not here.'
  elif [[ -n $(git -C "$ROOT" status --porcelain 2>&1) ]]; then
    say "amiss: $ROOT has changes that are not committed; install refuses them."
  fi
  ssh-add -l >/dev/null 2>&1 ||
    say 'amiss: the ssh-agent has no key, which several hosts need:' \
      'ssh-add ~/.ssh/google_compute_engine'
}

tpu_doctor() {
  local answer worker
  [[ $DRY_RUN == yes ]] || look_here
  answer=$(account) || true
  [[ $DRY_RUN == yes || -n $answer ]] ||
    say 'amiss: no account of Google is active: gcloud auth login'
  resource_state || return
  node_state || return
  [[ $DRY_RUN == yes ]] || echo "$NAME: $STATE, node $NODE ${HEALTH:-}"
  [[ $NODE == READY || $DRY_RUN == yes ]] || return 0
  ask all doctor "if [ -f mmal_tpu/on_host.sh ]; then $ON_HOST doctor; else"\
' echo; echo "@doctor nothing is installed ."; fi' || return
  for worker in "${!ANSWERS[@]}"; do
    echo "  host $worker: ${ANSWERS[$worker]}"
  done
}
