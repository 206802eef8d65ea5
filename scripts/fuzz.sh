#!/usr/bin/env bash
# Fuzzes what reads files, with the stable compiler and a C++ compiler (libFuzzer is C++), without cargo-fuzz:
#
#     scripts/fuzz.sh [SECONDS [TARGET ...]]
#
# 60 seconds and all targets if not said otherwise. Inputs start from files of the repository and stay in fuzz/corpus; what makes a
# target fail is left in fuzz/artifacts. Ends with 1 if any did.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-60}
shift || true
if (($#)); then targets=("$@"); else mapfile -t targets < <(cd fuzz_targets && ls -- *.rs | sed 's/\.rs$//'); fi

# Edges and compared values are told to libFuzzer, arithmetic is checked. A target of its own leaves build scripts alone.
host=$(rustc -vV | sed -n 's/^host: //p')
build=${CARGO_TARGET_DIR:-target}/$host/release
flags="--cfg fuzzing -Cpasses=sancov-module"
for arg in level=4 inline-8bit-counters pc-table trace-compares; do flags+=" -Cllvm-args=-sanitizer-coverage-$arg"; done
flags+=" -Cdebug-assertions"
CARGO_PROFILE_RELEASE_OPT_LEVEL=1 RUSTFLAGS=$flags cargo build --release --target "$host" --bins

seed() {
    case $1 in
        net_text | upgrade) find ../models ../tests -name '*.prototxt' -size -16k ;;
        solver_text) find ../models ../solvers ../tests -name '*solver*.prototxt' ;;
        net_binary | snapshot) find ../models ../tests -name '*.caffemodel*' -size -32k -o -name '*.solverstate*' -size -32k ;;
        idx) find ../data ../tests -name '*ubyte*' -size -64k ;;
        lmdb) find ../data ../tests -name data.mdb -size -128k ;;
    esac
}

failed=0
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target" "artifacts/$target"
    while read -r file; do
        cp -- "$file" "corpus/$target/$(cksum <"$file" | tr ' ' -)"
    done < <(seed "$target")
    printf '\n== %s\n' "$target"
    "$build/$target" "corpus/$target" -artifact_prefix="artifacts/$target/" -max_total_time="$seconds" \
        -max_len=16384 -timeout=20 -rss_limit_mb=2500 -verbosity=0 -print_final_stats=1 || failed=1
done
exit $failed
