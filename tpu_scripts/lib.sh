# All that is asked of Google: the only caller of gcloud. Sourced by tpu.
# shellcheck shell=bash disable=SC2034,SC2154  # set or read by other files

# Exit statuses besides those of a run.
NO_CAPACITY=69 FAILED=70 TIMED_OUT=124

say() {
  printf '%s\n' "$*" >&2
}

# Words as a line that a shell reads as these words again.
quoted() {
  local word line=''
  for word; do
    [[ $word =~ ^[-A-Za-z0-9_./:=,@%+]+$ ]] || word="'${word//\'/\'\\\'\'}'"
    line+="${line:+ }$word"
  done
  printf '%s' "$line"
}

google() {
  if [[ $DRY_RUN == yes ]]; then
    # Not to standard output, which the caller may take for an answer.
    printf 'gcloud %s\n' "$(quoted "$@")" >&3
  else
    # What it asked would not be seen, and be waited for without end.
    gcloud "$@" </dev/null
  fi
}

# In a dry run, says when the next line would be run.
only_if() {
  [[ $DRY_RUN == no ]] || printf '# only if %s:\n' "$*" >&3
}

# As `google`, with what it says of its doings kept in $SAID.
google_quietly() {
  if [[ $DRY_RUN == yes ]]; then
    google "$@"
  else
    google "$@" 2>"$SAID"
  fi
}

show_error() {
  say "error: $1:"
  sed 's/^/  /' "$SAID" >&2
}

# Where the slice lies, and how its hosts are reached.
set_google() {
  PLACE=(--quiet "--project=$PROJECT" "--zone=$ZONE")
  REACHED=()
  if [[ $IAP == yes ]]; then
    REACHED+=(--tunnel-through-iap)
  elif [[ $INTERNAL_IPS == yes ]]; then
    REACHED+=(--internal-ip)
  fi
  # A host that is gone must not be waited for without end, nor a password.
  COPIED=("${PLACE[@]}" --batch-size=64 "${REACHED[@]}"
          --scp-flag=-oBatchMode=yes --scp-flag=-oConnectTimeout=20
          --scp-flag=-oServerAliveInterval=15)
  OUT=$STATE_DIR/hosts SAID=$STATE_DIR/gcloud.txt
  if [[ $DRY_RUN != yes ]]; then
    # Of this process alone: a second one may ask while this one waits.
    OUT=$STATE_DIR/hosts.$$ SAID=$STATE_DIR/gcloud.$$.txt
    mkdir -p "$OUT" || refuse "$OUT cannot be made."
    ln -sfn . "$OUT/None"  # See on_hosts.
    trap 'rm -rf "$OUT" "$SAID"' EXIT
  fi
}

# Sets STATE to that of the queued resource, or ABSENT.
resource_state() {
  STATE=UNKNOWN
  local answer
  if answer=$(google_quietly compute tpus queued-resources describe "$NAME" \
      "${PLACE[@]}" --format='value(state.state)'); then
    [[ -z $answer ]] || STATE=$answer
  elif grep -q NOT_FOUND "$SAID"; then
    STATE=ABSENT
  else
    show_error "the state of $NAME cannot be read"
    return "$FAILED"
  fi
}

# Why the queued resource was not granted.
resource_error() {
  google_quietly compute tpus queued-resources describe "$NAME" \
    "${PLACE[@]}" --format='value(state.failedData.error.message)' || true
}

# Sets NODE to the state of the node, or ABSENT, HEALTH, and HOSTS to how many
# hosts it has, which its type's name does not tell.
node_state() {
  local answer format='state,health,networkEndpoints.len()'
  NODE=ABSENT HEALTH='' HOSTS=0
  [[ $DRY_RUN == yes ]] && HOSTS=HOSTS
  if answer=$(google_quietly compute tpus tpu-vm describe "$NAME" \
      "${PLACE[@]}" "--format=value[separator=\"|\"]($format)"); then
    [[ -z $answer ]] || IFS='|' read -r NODE HEALTH HOSTS <<<"$answer"
  elif ! grep -q NOT_FOUND "$SAID"; then
    show_error "the node $NAME cannot be read"
    return "$FAILED"
  fi
}

request() {
  local disk flags=("--accelerator-type=$TYPE" "--runtime-version=$RUNTIME"
                    "--valid-until-duration=$VALID_UNTIL")
  [[ $SPOT == yes ]] && flags+=(--spot)
  if [[ -n $NETWORK ]]; then
    flags+=("--network=${NETWORK%%/*}")
    [[ $NETWORK == */* ]] && flags+=("--subnetwork=${NETWORK#*/}")
  fi
  [[ $INTERNAL_IPS == yes ]] && flags+=(--internal-ips)
  [[ -n $SERVICE_ACCOUNT ]] && flags+=(
    "--service-account=$SERVICE_ACCOUNT" --scopes=cloud-platform)
  disk=projects/$PROJECT/zones/$ZONE/disks/${STORAGE#disk:}
  [[ $STORAGE == disk:* ]] && flags+=(
    "--data-disk=source=$disk,mode=read-write")
  if google_quietly compute tpus queued-resources create "$NAME" \
      "--node-id=$NAME" "${PLACE[@]}" "${flags[@]}" --async; then
    [[ $DRY_RUN == yes ]] || say "Requested $NAME: $TYPE in $ZONE."
  elif grep -q ALREADY_EXISTS "$SAID"; then
    say "$NAME has been requested meanwhile."
  elif grep -qiE 'quota|RESOURCE_EXHAUSTED|capacity|stockout' "$SAID"; then
    show_error "there is no room for $TYPE in $ZONE"
    return "$NO_CAPACITY"
  else
    show_error "$NAME cannot be requested"
    return "$FAILED"
  fi
}

# Ends what costs; what is absent needs no end.
release() {
  if google_quietly compute tpus queued-resources delete "$NAME" \
      "${PLACE[@]}" --force; then
    [[ $DRY_RUN == yes ]] || say "Deleted $NAME."
  elif grep -q NOT_FOUND "$SAID"; then
    say "$NAME is absent."
  else
    show_error "$NAME cannot be deleted, and may go on costing"
    return "$FAILED"
  fi
}

# Runs a line on hosts (all, or a number); what host I prints is in $OUT/I.log.
# Nothing may depend on its being run once: gcloud runs it again where the
# connection was lost.
on_hosts() {
  local which=$1 line=$2
  # gcloud 528 looks for --output-directory, and then writes to the folder
  # `None` of the current one, for which it takes that here.
  if [[ $DRY_RUN == yes ]]; then
    printf 'mkdir -p %s && ln -sfn . %s && cd %s\n' "$(quoted "$OUT")" \
      "$(quoted "$OUT/None")" "$(quoted "$OUT")" >&3
  else
    rm -f "$OUT"/*.log
  fi
  (
    [[ $DRY_RUN == yes ]] || cd "$OUT" || exit
    google_quietly compute tpus queued-resources ssh "$NAME" "${PLACE[@]}" \
      --node=all "--worker=$which" --batch-size=64 "${REACHED[@]}" \
      --ssh-flag=-oBatchMode=yes --ssh-flag=-oConnectTimeout=20 \
      --ssh-flag=-oServerAliveInterval=15 "--output-directory=$OUT" \
      "--command=$line"
  )
}

copy_to_hosts() {
  google_quietly compute tpus queued-resources scp "$@" "$NAME:mmal_tpu/" \
    --node=all --worker=all "${COPIED[@]}"
}

copy_from_host() {
  local worker=$1 file=$2 to=$3
  google_quietly compute tpus queued-resources scp \
    "$NAME:mmal_tpu/$file" "$to" --node=0 "--worker=$worker" "${COPIED[@]}"
}

# What hosts print between @WORD and a full stop, into ANSWERS by the host's
# number.
read_answers() {
  local word=$1 file line
  ANSWERS=()
  for file in "$OUT"/*.log; do
    [[ -e $file ]] || continue
    # Of a line that was run again, the last answer holds; a part of one, which
    # a lost connection has left, is none.
    line=$(grep -aE "^@$word (.* )?\.$" "$file" | tail -n 1) || continue
    file=${file##*/} line=${line#"@$word "} line=${line%.}
    ANSWERS[${file%.log}]=${line% }
  done
}

# What else hosts said, to find out why one did not answer.
show_hosts() {
  local file name
  say "error: $1:"
  [[ ! -s $SAID ]] || tail -n 20 "$SAID" | sed 's/^/  /' >&2
  for file in "$OUT"/*.log; do
    [[ -s $file ]] || continue
    name=${file##*/}
    tail -n 20 "$file" | sed "s/^/  host ${name%.log}: /" >&2
  done
}

# Who is logged in to gcloud.
account() {
  google_quietly auth list --quiet --filter=status:ACTIVE \
    --format='value(account)'
}
