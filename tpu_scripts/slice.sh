# The slice itself: create, wait, delete. Sourced by tpu.
# shellcheck shell=bash disable=SC2154  # flags and settings

# Google's own changes (suspending, deleting) may take so many seconds.
PATIENCE=1800

# What is asked of Google may fail now and then: several tries, unless it is
# refused.
patiently() {
  local try status=0
  for try in 1 2 3 4 5; do
    status=0
    "$@" || status=$?
    [[ $status == "$FAILED" && $try -lt 5 ]] || return "$status"
    sleep "$POLL"
  done
}

tpu_create() {
  local until=$((SECONDS + PATIENCE))
  while true; do
    resource_state || return
    if [[ $DRY_RUN == yes ]]; then
      only_if 'it is suspended or has failed'
      release
      only_if 'it is absent then'
      request
      return
    fi
    case $STATE in
      ABSENT)
        request || return
        return 0
        ;;
      SUSPENDED | FAILED)
        say "$NAME is $STATE, and would never come back: deleting it."
        release || return
        ;;
      SUSPENDING | DELETING)
        say "$NAME is $STATE: waiting for the end of that."
        if ((SECONDS >= until)); then
          say "error: $NAME has been $STATE for $PATIENCE seconds."
          return "$FAILED"
        fi
        sleep "$POLL"
        ;;
      *)
        say "$NAME is there already: $STATE."
        return 0
        ;;
    esac
  done
}

tpu_wait() {
  local until=$((SECONDS + TIMEOUT)) before=''
  while true; do
    patiently resource_state || return
    if [[ $STATE == ACTIVE || $DRY_RUN == yes ]]; then
      patiently node_state || return
      if [[ $DRY_RUN == yes ]]; then
        [[ $KEEP == yes ]] || {
          only_if "it is not ready after $TIMEOUT seconds"
          release
        }
        return 0
      elif [[ $NODE == READY && $HOSTS -gt 0 ]]; then
        say "$NAME is ready: $HOSTS host(s)."
        return 0
      fi
    else
      NODE=ABSENT
    fi
    if [[ $STATE/$NODE != "$before" ]]; then
      say "$(date -u +%T) $NAME is $STATE, its node $NODE."
      before=$STATE/$NODE
    fi
    case $STATE in
      FAILED)
        say "error: $NAME was not granted: $(resource_error)"
        return "$NO_CAPACITY"
        ;;
      SUSPENDING | SUSPENDED | DELETING | ABSENT)
        say "error: $NAME is $STATE: tpu create."
        return "$NO_CAPACITY"
        ;;
    esac
    if ((SECONDS >= until)); then
      say "error: after $TIMEOUT seconds $NAME is $STATE, its node $NODE."
      # Granted later, it would cost, and do nothing.
      [[ $KEEP == yes ]] || patiently release || return
      return "$TIMED_OUT"
    fi
    sleep "$POLL"
  done
}

tpu_delete() {
  release
}
