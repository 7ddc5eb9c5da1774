# Sourced by the scripts beside this folder: where things are, and how they speak.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
log_dir=${TROUPE_LOG_DIR:-$root/build/log}
mkdir -p "$log_dir"
script=$(basename "$0")

say() { printf '%s: %s\n' "$script" "$*"; }
die() { printf '%s: %s\n' "$script" "$*" >&2; exit 1; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else die "needs root or sudo to run: $*"; fi; }
jobs() { nproc; }

# build_preset PRESET [TARGET…]: configures when needed, builds, and shows only what went wrong.
build_preset() {
  local preset=$1; shift
  local log=$log_dir/build-$preset.log
  if [ ! -f "$root/build/$preset/build.ninja" ]; then
    (cd "$root" && cmake --preset "$preset") > "$log" 2>&1 || { cat "$log" >&2; die "cmake --preset $preset failed"; }
  fi
  (cd "$root" && cmake --build "build/$preset" ${*:+--target "$@"}) > "$log" 2>&1 || { grep -E -A12 'error|FAILED|Error' "$log" | head -n 80 >&2; die "the build failed; all of it is in $log"; }
}
