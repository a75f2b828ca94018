#!/usr/bin/env bash
# Brings this machine to the state of setup.yml, and back. Run by make; needs nothing but bash and apt.
#
#   host.sh setup     install Ansible if it is missing, then play setup.yml
#   host.sh ensure    the same, but only if something is missing (well under a second if nothing is)
#   host.sh plan      print what setup would change, change nothing
#   host.sh restore   undo what setup did; with PACKAGES=remove, its packages too
#
# With EXTRA=yes also the packages of extra.yml, which only some experiments and tests use.
#
# What is wanted stands in the roles alone; this script only reads their lists. It exits 0 when it lacks
# the rights or the system to set anything up, having said what to do: arms that miss something are
# then marked unavailable in the results.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${METRONOME_ROOT:-} # tests put a made-up file system here
changes=$root$(sed -n 's/^metronome_changes_file: *//p' "$here/group_vars/all.yml")
declare -a as_root missing_packages low_settings

say() { printf 'setup: %s\n' "$*"; }
run() { printf '+ %s\n' "$*"; "$@"; }

wanted_packages() {
  local -a lists=("$here/roles/packages/vars/main.yml")
  [[ ${EXTRA:-} != yes ]] || lists+=("$here/extra.yml")
  awk '$1 == "-" { print $2 }' "${lists[@]}"
}
wanted_settings() { awk '/^  [a-z]/ { sub(":", "", $1); print $1, $2 }' "$here/roles/tune/vars/main.yml"; }

find_missing_packages() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
    awk '$1 == "installed" { print $2 }') || installed=
  mapfile -t missing_packages < <(comm -23 <(wanted_packages | sort) <(sort <<<"$installed"))
}

find_low_settings() {
  local name value now
  low_settings=()
  while read -r name value; do
    now=$(cat "$root/proc/sys/${name//.//}" 2>/dev/null || echo unknown)
    [[ $now == unknown ]] || (( now >= value )) || low_settings+=("$name=$value")
  done < <(wanted_settings)
}

nothing_missing() { (( ${#missing_packages[@]} + ${#low_settings[@]} == 0 )); }

print_missing() {
  (( ${#missing_packages[@]} == 0 )) || say "missing packages: ${missing_packages[*]}"
  (( ${#low_settings[@]} == 0 )) || say "kernel settings too low, wanted: ${low_settings[*]}"
}

is_debian() { grep -qx 'ID=debian' "$root/etc/os-release"; }

print_package_list() {
  say "WARNING: this is not Debian, so nothing was installed. Install the equivalents of"
  wanted_packages | sed 's/^/setup:   /'
  say "then run make with SETUP=no. What is missing at run time is marked unavailable, not skipped."
}

# Sets as_root to the words that turn a command into root's; fails if there are none.
find_root() {
  as_root=()
  [[ $(id -u) != 0 ]] || return 0
  command -v sudo >/dev/null || return 1
  as_root=(sudo)
  sudo -n true 2>/dev/null || { [[ -t 0 ]] && run sudo -v; }
}

check_go() {
  command -v go >/dev/null && return
  say "ERROR: Go is not on PATH. Next: install Go 1.26, https://go.dev/doc/install"
  exit 1
}

# Ansible cannot install itself, so its packages are written down and installed here.
install_ansible() {
  local -a packages=(ansible-core python3-apt)
  run "${as_root[@]}" apt-get update || say "WARNING: some package lists could not be fetched"
  local new
  new=$(apt-get install --simulate --no-install-recommends "${packages[@]}" |
    awk '/^Inst/ && $3 ~ /^\(/ { print $2 }' | paste -sd ' ')
  "${as_root[@]}" mkdir -p "$(dirname "$changes")"
  printf '{"kind": "packages", "old": "absent", "new": "%s"}\n' "$new" |
    "${as_root[@]}" tee -a "$changes" >/dev/null
  run "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${packages[@]}"
}

play() {
  local -a more=()
  [[ ${EXTRA:-} != yes ]] || more=(-e "@$here/extra.yml")
  run "${as_root[@]}" env LC_ALL=C.UTF-8 ANSIBLE_CONFIG="$here/ansible.cfg" \
    ansible-playbook -i "$here/inventory/localhost.yml" "${more[@]}" "$here/$1"
}

setup() {
  if ! is_debian; then print_package_list; return; fi
  if ! find_root; then
    say "WARNING: neither root nor sudo, so nothing was set up. Going on with what is possible. Next: as root, run"
    say "  cd $(printf '%q' "$(dirname "$here")") && make setup${EXTRA:+ EXTRA=$EXTRA}"
    return
  fi
  command -v ansible-playbook >/dev/null || install_ansible
  play setup.yml && return
  say "ERROR: see above. Next: mend it and run make setup, or go on without it by adding SETUP=no"
  exit 1
}

restore() {
  if [[ ! -e $changes ]]; then say "nothing to undo: $changes does not exist"; return; fi
  find_root || { say "ERROR: undoing needs root. Next: sudo make restore-host"; exit 1; }
  if command -v ansible-playbook >/dev/null; then play restore.yml; fi
  [[ -e $changes ]] || return 0
  local -a installed
  read -ra installed < <(sed -n 's/.*"kind": "packages".*"new": "\([^"]*\)".*/\1/p' "$changes" | paste -sd ' ')
  if [[ ${PACKAGES:-} != remove ]]; then
    say "left in place: ${#installed[@]} packages. Next, to remove them: make restore-host PACKAGES=remove"
    return
  fi
  run "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get purge -y "${installed[@]}"
  run "${as_root[@]}" rm "$changes"
}

main() {
  case ${1:-} in
    setup) check_go; setup ;;
    ensure)
      check_go
      find_missing_packages; find_low_settings
      if nothing_missing; then return; fi
      print_missing; setup ;;
    plan)
      find_missing_packages; find_low_settings
      if nothing_missing; then say "would change nothing"; return; fi
      print_missing; say "would play ansible/setup.yml" ;;
    restore) restore ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
  esac
}
main "$@"
