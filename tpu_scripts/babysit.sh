# Looks after a run until it has ended, whatever becomes of the slice. It keeps
# nothing of its own: ended and started again, it finds out where things are.
# Sourced by tpu.
# shellcheck shell=bash disable=SC2154  # flags and settings

# In so many looks in a row, hosts may run on where others have ended (JAX ends
# them some time after), or give no answer, for which each look waits long.
GRACE=12 SILENT_GRACE=3
# A run that is in a bad way gets so many seconds to end in order.
STOP_SECONDS=60

tpu_babysit() {
  local status=0
  if [[ $DRY_RUN == yes ]]; then
    tpu_create && tpu_wait && host_states
    only_if 'some hosts run, but not all'
    (TIMEOUT=$STOP_SECONDS && tpu_stop)
    tpu_install && tpu_start && host_states
    [[ $DELETE == no ]] || release
    return
  fi
  be_alone
  find_commit  # The one of now, whatever is checked out when a slice is lost.
  look_after || status=$?
  if [[ $DELETE == yes ]]; then
    patiently release || return
  elif [[ $status != "$TIMED_OUT" ]]; then
    say "$NAME is still there, and costs: tpu delete ends that."
  fi
  return "$status"
}

# Of two of one slice, each would stop what the other starts.
be_alone() {
  local file=$STATE_DIR/babysitter pid=''
  [[ ! -f $file ]] || pid=$(<"$file")
  # Without ps, any program of that number counts as one.
  if [[ -n $pid && $pid != "$$" ]] && kill -0 "$pid" 2>/dev/null &&
      [[ $(ps -ww -o args= -p "$pid" || echo "${BASH_SOURCE[0]%/*}/tpu babysit"
          ) == */tpu\ *babysit* ]]; then
    refuse "another babysit looks after $NAME already: process $pid."
  fi
  printf '%s\n' "$$" >"$file"
}

look_after() {
  local failures=0 best=-1 begun=no looks=0 grace status
  KEEP=no
  while true; do
    status=0
    have_slice || status=$?
    if [[ $status == 1 ]]; then  # Another one, with nothing on it.
      continue
    elif [[ $status == 0 && $begun == no ]]; then
      begin || status=$?
      [[ $status != 0 ]] || begun=yes looks=0
    fi
    if [[ $status == 0 ]]; then
      host_states || true  # Who does not answer is counted.
      judge
      if ((LINES_NOW > best)); then
        best=$LINES_NOW failures=0
        ((best == 0)) || say "$(date -u +%T) metrics.jsonl has $best line(s)."
      fi
      case $VERDICT in
        [0-9]*)
          say "The run has ended with $VERDICT."
          return "$VERDICT"
          ;;
        going)
          looks=0
          sleep "$POLL"
          continue
          ;;
        unclear | silent)
          looks=$((looks + 1)) grace=$GRACE
          [[ $VERDICT != silent ]] || grace=$SILENT_GRACE
          if ((looks <= grace)); then
            sleep "$POLL"
            continue
          elif [[ $REFUSED == yes ]]; then
            (TIMEOUT=$STOP_SECONDS && tpu_stop) || true
            return 1
          fi
          ;;
      esac
      say "Of the hosts: $SAID_BY_HOSTS."
    elif [[ $status == 2 || $status == 75 || $status == "$TIMED_OUT" ]]; then
      return "$status"
    fi
    begun=no
    if ! may_try_again; then
      ((status == 0)) || return "$status"
      return 75
    fi
    back_off "$failures"
  done
}

# Counts one more restart in `failures` of look_after.
may_try_again() {
  failures=$((failures + 1))
  ((failures > RESTARTS)) || return 0
  say "error: $RESTARTS restarts in a row, and no new line of metrics."
  return 1
}

# 0 if the slice is there and ready, 1 if a lost one has been renewed, 75 if it
# was lost once too often, or else why that failed.
have_slice() {
  patiently resource_state || return
  case $STATE in
    ACTIVE)
      patiently node_state || return
      [[ $NODE != READY || $HOSTS == 0 ]] || return 0
      case $NODE in
        ABSENT | PREEMPTED | TERMINATED | STOPPED | DELETING)
          say "The node of $NAME is $NODE: the slice is lost."
          patiently release || return
          ;;
      esac
      ;;
    SUSPENDING | SUSPENDED | FAILED | DELETING)
      say "$NAME is $STATE: the slice is lost."
      [[ $STATE != FAILED ]] || say "Google says: $(resource_error)"
      ;;
  esac
  if [[ $begun == yes ]]; then
    begun=no
    may_try_again || return 75
  fi
  patiently tpu_create || return
  tpu_wait || return
  return 1
}

# Starts the run on all hosts, or on none: one that is started alone waits for
# others that do not come.
begin() {
  host_states || return
  judge
  if [[ $VERDICT == going ]]; then
    all_run "$COMMIT-python$PYTHON" ||
      say 'What runs already is of another commit or Python (tpu status). It' \
        'goes on as it is: for this one, tpu stop first.'
    return 0
  fi
  # To be installed on, a host must not run.
  if [[ $SAID_BY_HOSTS == *running* ]]; then
    (TIMEOUT=$STOP_SECONDS && tpu_stop) || return
  fi
  tpu_install || return
  tpu_start
}

# Whether all hosts have that installed.
all_run() {
  local answer
  for answer in "${ANSWERS[@]}"; do
    [[ $answer == *" $1" ]] || return 1
  done
}

# Sets VERDICT by what hosts say: the run's exit status, going, unclear or
# silent (for a while), or again; REFUSED, if one ended with 1; LINES_NOW, of
# metrics, and SAID_BY_HOSTS.
judge() {
  local worker said=() running=0 silent=0 ended=() code
  LINES_NOW=0 SAID_BY_HOSTS='' REFUSED=no
  for ((worker = 0; worker < HOSTS; worker++)); do
    # STATE STATUS PID LINES STAMP
    read -r -a said <<<"${ANSWERS[$worker]-unreachable - - 0 -}"
    SAID_BY_HOSTS+="${SAID_BY_HOSTS:+, }${said[0]}"
    case ${said[0]} in
      running) running=$((running + 1)) ;;
      unreachable) silent=$((silent + 1)) ;;
      exited)
        ended+=("${said[1]}")
        [[ ${said[1]} != 1 ]] || REFUSED=yes
        SAID_BY_HOSTS+=" ${said[1]}"
        ;;
    esac
    ((said[3] <= LINES_NOW)) || LINES_NOW=${said[3]}
  done
  if ((running == HOSTS)); then
    VERDICT=going
  elif ((silent > 0)); then
    VERDICT=silent
  elif ((running > 0 && ${#ended[@]} > 0)); then
    VERDICT=unclear
  elif [[ $REFUSED == yes ]]; then
    VERDICT=1  # It ended the others, with statuses of their own.
  elif ((${#ended[@]} < HOSTS)); then
    VERDICT=again  # Some left no status.
  else
    VERDICT=${ended[0]}
    for code in "${ended[@]}"; do
      [[ $code == "$VERDICT" ]] || VERDICT=again
    done
    [[ $VERDICT =~ ^[03]$ ]] || VERDICT=again
  fi
}

back_off() {
  local seconds
  seconds=$(awk -v poll="$POLL" -v n="$1" 'BEGIN {
    seconds = poll * 2 ^ (n - 1)
    print (seconds > 600 ? 600 : seconds)
  }')
  say "Trying again in $seconds seconds ($1 of $RESTARTS)."
  sleep "$seconds"
}
