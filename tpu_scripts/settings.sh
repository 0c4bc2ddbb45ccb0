# The env file of a slice and its run. Sourced by tpu.
# shellcheck shell=bash disable=SC2034  # settings are read by other files

KEYS=(NAME PROJECT ZONE TYPE RUNTIME SPOT NETWORK INTERNAL_IPS IAP
      SERVICE_ACCOUNT VALID_UNTIL STORAGE WORKDIR MIRROR CACHE_DIR PYTHON
      RUN_ARGS ENV)

# Ends with the status of a mistake in what was given.
refuse() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# The words of a value, quoted as in a shell, into the array SPLIT; nothing is
# expanded.
split_words() {
  local key=$1 value=$2
  SPLIT=()
  [[ $value =~ [^[:space:]] ]] || return 0
  # xargs knows quotes, and expands nothing.
  printf '%s' "$value" | xargs printf '%s\n' >/dev/null 2>&1 ||
    refuse "$key has a quote that is not closed: $value"
  mapfile -d '' -t SPLIT < <(printf '%s' "$value" | xargs printf '%s\0')
}

read_settings() {
  local file=$1 line key number=0
  local -A given=()
  [[ -r $file ]] || refuse "no env file $file: copy" \
    'tpu_scripts/tpu.env.example there, or name another with --env=FILE.'
  for key in "${KEYS[@]}"; do
    printf -v "$key" '%s' ''
  done
  SPOT=no INTERNAL_IPS=no IAP=no VALID_UNTIL=6h STORAGE=local PYTHON=3.11
  while IFS= read -r line || [[ -n $line ]]; do
    number=$((number + 1))
    line=${line%"${line##*[![:space:]]}"}
    [[ $line =~ ^[[:space:]]*(#|$) ]] && continue
    [[ $line =~ ^([A-Z_]+)=(.*)$ ]] ||
      refuse "$file:$number: not a line KEY=VALUE: $line"
    key=${BASH_REMATCH[1]}
    [[ " ${KEYS[*]} " == *" $key "* ]] ||
      refuse "$file:$number: unknown key $key; known are: ${KEYS[*]}."
    [[ -z ${given[$key]-} ]] || refuse "$file:$number: $key is given twice."
    given[$key]=1
    printf -v "$key" '%s' "${BASH_REMATCH[2]}"
  done <"$file"
  check_settings
}

# Refuses a value of a key that does not match a pattern.
must_match() {
  local key=$1 pattern=$2 what=$3
  [[ ${!key} =~ ^($pattern)$ ]] || refuse "$key=${!key}: must be $what."
}

check_settings() {
  local key word name
  must_match NAME '[a-z]([-a-z0-9]{0,58}[a-z0-9])?' \
    'lower-case letters, digits and hyphens, beginning with a letter'
  for key in PROJECT ZONE TYPE RUNTIME; do
    must_match "$key" '[-a-z0-9.:]+' 'given: letters, digits and hyphens'
  done
  for key in SPOT INTERNAL_IPS IAP; do
    must_match "$key" 'yes|no' 'yes or no'
  done
  must_match NETWORK '([-a-z0-9]+(/[-a-z0-9]+)?)?' \
    'NETWORK or NETWORK/SUBNETWORK'
  must_match SERVICE_ACCOUNT '([^[:space:]]+@[^[:space:]]+)?' 'an email address'
  must_match VALID_UNTIL '[0-9]+[smhd]' 'a duration such as 6h'
  must_match STORAGE 'local|shared|disk:[a-z][-a-z0-9]*' \
    'local, shared or disk:DISK'
  must_match PYTHON '3\.1[123]' '3.11, 3.12 or 3.13'
  for key in WORKDIR MIRROR CACHE_DIR SERVICE_ACCOUNT; do
    # Meant for a shell, which never reads it.
    [[ ! ${!key} =~ [\'\"\$\`\\~#] ]] ||
      refuse "$key=${!key}: ${BASH_REMATCH[0]} would be a part of the name:" \
        'nothing is expanded. Folders are absolute, or within the home.'
  done
  must_match MIRROR '([a-z]+://|/)[^[:space:]]+|' \
    'empty, gs://BUCKET/RUN or an absolute path'
  must_match WORKDIR '[^:]+' 'a folder of the hosts, not a URL'
  must_match CACHE_DIR '[^:]*' 'a folder of the hosts, not a URL: a cache of'\
' compiled programs on gs:// fails under load'
  local secrets='TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|_KEY|APIKEY|KEY_ID'
  local own='(workdir|cache_dir|mirror|(no)?resume|(no)?multihost)'
  if [[ $STORAGE == disk:* &&
        $WORKDIR != /mnt/disks/"${STORAGE#disk:}"/* ]]; then
    refuse "WORKDIR=$WORKDIR: must lie within /mnt/disks/${STORAGE#disk:}, as" \
      "STORAGE=$STORAGE."
  fi
  if [[ $STORAGE == shared && $WORKDIR != /* ]]; then
    refuse "WORKDIR=$WORKDIR: must be absolute, as STORAGE=shared."
  fi
  if [[ $STORAGE == local && $SPOT == yes && -z $MIRROR ]]; then
    refuse 'STORAGE=local with SPOT=yes: the run would be lost with the VM.' \
      'Give MIRROR, or STORAGE=disk:DISK (one host), or STORAGE=shared.'
  fi
  split_words RUN_ARGS "$RUN_ARGS"
  RUN_WORDS=("${SPLIT[@]}")
  for word in "${RUN_WORDS[@]}"; do
    [[ ! $word =~ ^--?$own(=.*)?$ ]] ||
      refuse "RUN_ARGS has $word: that is given always, or by WORKDIR," \
        'CACHE_DIR or MIRROR.'
  done
  split_words ENV "$ENV"
  ENV_WORDS=("${SPLIT[@]}")
  for word in "${ENV_WORDS[@]}"; do
    [[ $word =~ ^[A-Za-z_][A-Za-z0-9_]*= ]] ||
      refuse "ENV has $word: must be KEY=VALUE words."
    name=${word%%=*}
    [[ ! ${name^^} =~ ($secrets)S?$ ]] ||
      refuse "ENV has $name, which looks like a secret: the env file is" \
        'no place for one. Put it on the hosts, or use SERVICE_ACCOUNT.'
  done
}
