#!/usr/bin/env bash
# run_embed.sh - asd-embed as a user drives it: the same bytes whatever the batch, the threads, the shards, the streams
# beside it and the moments it was killed; what is there is kept, what is wrong is said with the right exit code.
set -euo pipefail
bin=${ASD_BIN:-build}
work=$(mktemp -d "${TMPDIR:-/tmp}/asd-embed-XXXXXX")
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=2
export LC_ALL=C

source "$(dirname "$0")/checks.sh"
embed() { # embed STATUS ARGS...
    local want=$1 got=0
    shift
    "$bin/asd-embed" "$@" >"$work/out" 2>"$work/err" || got=$?
    if [ "$got" = "$want" ]; then ok; else
        bad "asd-embed $*: exit $got, want $want"
        sed 's/^/    /' "$work/err"
    fi
    if [ "$want" != 0 ] && [ -s "$work/out" ]; then bad "asd-embed $*: failed, but wrote to standard output"; fi
}
[ -x "$bin/asd-embed" ] || { echo "no $bin/asd-embed" >&2 && exit 1; }
python=
for candidate in /usr/bin/python3 python3; do
    if $candidate -c 'import h5py, numpy' 2>/dev/null; then python=$candidate; fi
done

# --- data: two machines, clips of two lengths ---
"$bin/asd-data" synth "$work/data" --machines fan,valve --train-source 14 --train-target 3 --test 4 --seconds 1 >/dev/null 2>&1
"$bin/asd-data" synth "$work/long" --machines fan --train-source 0 --train-target 0 --test 1 --seconds 2 --seed 3 >/dev/null 2>&1
i=100
for clip in "$work"/long/dev_data/raw/fan/test/*.wav; do
    cp "$clip" "$work/data/dev_data/raw/fan/test/section_00_source_test_normal_0$((i++))_x.wav"
done
clips=$(find "$work/data" -name '*.wav' | wc -l)
one=(--encoder tiny_beats --seed 5 "$work/data")

# --- the same bytes ---
embed 0 "${one[@]}" -o "$work/e.h5"
check "stdout names the file" test "$(cat "$work/out")" = "$work/e.h5"
for how in "--batch 1 -j 1" "--batch 3 -j 3" "--batch 64" "--part-clips 7"; do
    # shellcheck disable=SC2086 # two words
    embed 0 "${one[@]}" -o "$work/again.h5" $how
    check "$how" cmp "$work/again.h5" "$work/e.h5"
    rm -f "$work/again.h5"
done
embed 0 "${one[@]}" -o "$work/bf16.h5" --device cpu --precision bf16
embed 0 "${one[@]}" -o "$work/again.h5" --device cpu --precision bf16 --batch 3 -j 1
check "bf16, --batch 3 -j 1" cmp "$work/again.h5" "$work/bf16.h5"
embed 3 "${one[@]}" -o "$work/bf16.h5" --device cpu --precision fp32
says err 'precision: was bf16, now fp32'
rm -f "$work/again.h5"
check "nothing else is left" test "$(find "$work" -maxdepth 1 -name '*e.h5*' | wc -l)" = 1
embed 0 "${one[@]}" -o "$work/e.h5" --json
says out '"state": "up to date"'
says out '"computed_clips": 0'
embed 0 "${one[@]}" -o "$work/none.h5" -n
check "dry run" test "$(cat "$work/out")" = "$work/none.h5: would be made, $clips clips"
check "dry run makes nothing" test ! -e "$work/none.h5"
mapfile -t files < <(find "$work/data" -path '*fan/test*' -name '*.wav' | sort -r | head -5)
embed 0 --encoder tiny_beats -o "$work/files.h5" "${files[@]}" --pool none --length whole --channel both
if [ -n "$python" ]; then
    cat >"$work/read.py" <<'END'
import sys, json, h5py, numpy
f, e = h5py.File(sys.argv[1]), h5py.File(sys.argv[2])
x = f['embedding'][:]
assert x.ndim == 3 and x.shape[0] == 5 and x.shape[2] == 128, x.shape
for rows, clip in zip(f['n_rows'][:], x):
    assert rows > 0 and numpy.isfinite(clip[:rows]).all() and numpy.isnan(clip[rows:]).all()
assert e['embedding'].shape == (int(sys.argv[3]), 64) and e['embedding'].dtype == numpy.float32
assert len(set(map(tuple, e['embedding'][:].tolist()))) == int(sys.argv[3])
names = [s.decode() for s in e['clip'][:]]
assert names == sorted(names) and names[0].startswith('fan/test/')
m = json.loads(e.attrs['key_material'])
assert m['encoder']['kind'] == 'beats' and m['pool'] == 'mean' and m['audio']['clips'] == len(names)
assert m['device'] == 'cpu' and m['precision'] == 'fp32' and m['products'] in ('fma', 'plain')
m = json.loads(h5py.File(sys.argv[4]).attrs['key_material'])
assert m['precision'] == 'bf16' and m['products'] in ('avx512-bf16', 'fma', 'plain')
assert not {'label', 'domain', 'condition'} & set(e)
END
    check "h5py reads it" $python "$work/read.py" "$work/files.h5" "$work/e.h5" "$clips" "$work/bf16.h5"
fi

# --- options that would change nothing are refused ---
for option in "--set seed=3" "--data $work/data" "--run $work/run" --smoke --print-config "--alpha 0.7" "--gain median" "--weights $work/e.h5"; do
    # shellcheck disable=SC2086 # an option and its value
    embed 2 "${one[@]}" -o "$work/refused.h5" $option
done
says err "want --encoder beats for this file"
embed 2 --encoder level -o "$work/refused.h5" --channel far "${files[@]}"
says err "--channel: level takes no parameters"
embed 2 "${one[@]}" -f -o "$work"
says err "is there and is no file"
embed 2 --encoder none_such -o "$work/refused.h5" "${files[@]}"
says err "; --list-encoders"

# --- killed at any moment, and started again ---
start=$(date +%s%N)
embed 0 "${one[@]}" -o "$work/timed.h5" --batch 2
whole_ms=$((($(date +%s%N) - start) / 1000000 + 20))
kills=0
for round in 1 2 3; do
    for try in $(seq 40); do
        "$bin/asd-embed" "${one[@]}" -o "$work/killed.h5" --batch $((1 + round)) --part-clips 3 >/dev/null 2>"$work/err" &
        pid=$!
        delay=$((RANDOM % (whole_ms * (20 + try) / 20)))
        sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
        signal=KILL
        [ $((RANDOM % 3)) != 0 ] || signal=TERM
        kill -$signal $pid 2>/dev/null || true
        got=0
        wait $pid 2>/dev/null || got=$?
        [ $got != 0 ] || break
        kills=$((kills + 1))
        if [ $got != 75 ] && [ $got != 137 ] && [ $got != 143 ]; then
            bad "killed: exit $got"
            cat "$work/err"
        fi
        if [ -e "$work/killed.h5" ]; then check "killed, yet complete" cmp "$work/killed.h5" "$work/e.h5"; fi
    done 2>/dev/null
    embed 0 "${one[@]}" -o "$work/killed.h5"
    check "killed, round $round" cmp "$work/killed.h5" "$work/e.h5"
    check "its parts are gone" test ! -e "$work/.killed.h5.part"
    rm -f "$work/killed.h5"
done
touch "$work/.killed.h5.tmp-1" "$work/.killed.h5.h5.tmp-1" # of this file, killed while it was written; of another
embed 0 "${one[@]}" -o "$work/killed.h5"
check "nothing half written is left" test "$(cd "$work" && ls -d .killed.h5*)" = .killed.h5.h5.tmp-1
rm "$work/.killed.h5.h5.tmp-1"
check "it was killed at least three times ($kills)" test $kills -ge 3

# --- shards ---
pids=()
for i in 1 2 3; do
    "$bin/asd-embed" "${one[@]}" -o "$work/shards.h5" --shard $i/3 >"$work/out$i" 2>&1 &
    pids+=($!)
done
for pid in "${pids[@]}"; do check "a shard" wait "$pid"; done
embed 0 "${one[@]}" -o "$work/shards.h5" --json
says out '"state": "up to date"'
if [ -n "$python" ]; then
    cat >"$work/same.py" <<'END'
import sys, h5py
a, b = h5py.File(sys.argv[1]), h5py.File(sys.argv[2])
assert a['embedding'].is_virtual and not b['embedding'].is_virtual
for name in ('embedding', 'clip', 'n_samples', 'audio'):
    assert a[name][:].tobytes() == b[name][:].tobytes(), name
assert a.attrs['key'] == b.attrs['key'] and a.attrs['key_material'] == b.attrs['key_material']
END
    check "the joined file has the same rows" $python "$work/same.py" "$work/shards.h5" "$work/e.h5"
fi
rm "$work/shards.h5"
embed 0 --encoder tiny_beats -o "$work/shards.h5" --shard 1/3 --join
embed 0 "${one[@]}" -o "$work/shards.h5" --json
says out '"state": "up to date"'
rm "$work/shards.2-of-3.h5"
embed 3 "${one[@]}" -o "$work/shards.h5"
says err "shards.2-of-3.h5: there is no such file"
embed 3 --encoder tiny_beats -o "$work/shards.h5" --shard 1/3 --join
embed 0 "${one[@]}" -o "$work/shards.h5" --shard 2/3 -f
embed 0 "${one[@]}" -o "$work/shards.h5" --json
says out '"state": "up to date"'
embed 0 --encoder tiny_beats -o "$work/shards.h5" --shard 1/3 --join -n
check "dry run of a join" test "$(cat "$work/out")" = "$work/shards.h5: would be joined, $clips clips"
# all anew: only the last one joins, none takes the shards of before for its own
for i in 3 1 2; do
    embed 0 "${one[@]}" --layer 1 -o "$work/shards.h5" --shard $i/3 -f
    name=shards.$i-of-3.h5
    if [ $i = 2 ]; then name=shards.h5; else says err "not joined before it is made anew: layer: was 2, now 1"; fi
    check "the path of shard $i" test "$(cat "$work/out")" = "$work/$name"
done
mkdir "$work/taken"
mv "${files[@]:0:2}" "$work/taken"
for i in 1 2 3; do embed 0 "${one[@]}" --layer 1 -o "$work/shards.h5" --shard $i/3 -f --json; done
says out '"joined": true'
says out "\"clips\": $((clips - 2))"
mv "$work/taken"/* "$(dirname "${files[0]}")"
embed 2 "${one[@]}" -o "$work/shards.h5" --shard 4/3
says err "I from 1 to N"
embed 2 --encoder tiny_beats -o "$work/shards.h5" --join

# --- a recipe: every stream as if it were alone ---
cat >"$work/r.yaml" <<END
name: r
seed: 5
embed:
  length: whole
  streams:
    - near = tiny_beats
    - "far = tiny_beats(channel=far, length=first)"
    - low = tiny_beats(layer=1)
    - "time = tiny_beats(pool=time, layer=1)"
    - all = tiny_beats(layer=all)
    - other = tiny_dasheng(channel=difference)
    - "ds = tiny_beats(channel=subtracted, alpha=0.4, layer=1)"
    - level = level()
END
embed 0 "$work/r.yaml" --data "$work/data" --run "$work/run"
check "eight files" test "$(cat "$work/out")" = \
    "$(for s in near far low time all other ds level; do echo "$work/run/embed/$s.h5"; done)"
embed 0 "$work/r.yaml" --data "$work/data" --run "$work/run2" --json
says out "\"computed_clips\": $((5 * clips))," # near, low, time and all are one pass
check "the same again" diff -r "$work/run" "$work/run2"
alone() { # alone STREAM ARGS...
    local stream=$1
    shift
    embed 0 --encoder "$@" --seed 5 "$work/data" -o "$work/alone.h5" --batch 5
    check "$stream alone" cmp "$work/alone.h5" "$work/run/embed/$stream.h5"
    rm -f "$work/alone.h5"
}
alone near tiny_beats --length whole
alone far tiny_beats --channel far
alone low tiny_beats --length whole --layer 1
alone time tiny_beats --length whole --layer 1 --pool time
alone all tiny_beats --length whole --layer all
alone other tiny_dasheng --length whole --channel difference
alone ds tiny_beats --length whole --channel subtracted --alpha 0.4 --layer 1
embed 0 "$work/r.yaml" --data "$work/data" --run "$work/run" --json
says out '"computed_clips": 0'
cp "$work/run/embed/low.h5" "$work/low.h5"
rm "$work/run/embed/low.h5"
embed 0 "$work/r.yaml" --data "$work/data" --run "$work/run" --json
says out '"state": "made"'
says out "\"computed_clips\": $clips"
check "made alone, without the last layer" cmp "$work/low.h5" "$work/run/embed/low.h5"
embed 3 "$work/r.yaml" --data "$work/data" --run "$work/run" --seed 6
says err "near.h5: is there, but not what is wanted: encoder"

# --- a full disk ---
got=0
{ (ulimit -f 12 && exec "$bin/asd-embed" "${one[@]}" -o "$work/full.h5" --part-clips 8 >"$work/out" 2>"$work/err") || got=$?; } 2>/dev/null
check "a full disk is an error, not $got" test "$got" = 1 -o "$got" = 153
check "nothing looks complete" test ! -e "$work/full.h5"
embed 0 "${one[@]}" -o "$work/full.h5"
check "after a full disk" cmp "$work/full.h5" "$work/e.h5"
if mkdir "$work/disk" && mount -t tmpfs -o size=64k none "$work/disk" 2>/dev/null; then
    embed 1 "${one[@]}" -o "$work/disk/e.h5" --layer all --part-clips 8
    says err "No space left on device"
    check "nothing looks complete on it" test ! -e "$work/disk/e.h5"
    check "nothing unfinished is left" test -z "$(find "$work/disk" -name '*tmp*')"
    mount -o remount,size=8m "$work/disk"
    embed 0 "${one[@]}" -o "$work/disk/e.h5"
    check "when there is space again" cmp "$work/disk/e.h5" "$work/e.h5"
    umount "$work/disk"
fi

# --- what is wrong ---
embed 2
says err "want one RECIPE, or --encoder NAME"
embed 2 --encoder tiny_beats "$work/data"
says err "-o FILE is missing"
embed 2 --encoder tiny_beats -o "$work/x.h5"
says err "INPUT is missing"
embed 2 --encoder tiny_beat -o "$work/x.h5" "$work/data"
says err 'did you mean "tiny_beats"?'
embed 2 --encoder beats -o "$work/x.h5" "$work/data"
says err "--weights is missing"
embed 3 --encoder beats --weights "$work/nowhere.pt" -o "$work/x.h5" "$work/data"
says err "$work/nowhere.pt"
embed 3 --encoder beats --weights "$work/e.h5" -o "$work/x.h5" "$work/data"
says err "$work/e.h5"
embed 3 --encoder beats --weights "$work/run" -o "$work/x.h5" "$work/data"
says err "there is no beats.pt"
embed 2 --encoder beats --weights "eat=$work/e.h5" -o "$work/x.h5" "$work/data"
says err "no weights of beats"
embed 2 --encoder tiny_beats --layer 0 -o "$work/x.h5" "$work/data"
says err "from 1, last or all"
embed 2 --encoder tiny_beats --layer 3 -o "$work/x.h5" "$work/data"
says err "layer 3"
embed 2 --encoder tiny_beats --pool meen -o "$work/x.h5" "$work/data"
says err "mean"
embed 3 "${one[@]}" --adapter "$work/nowhere" -o "$work/x.h5"
says err "adapter_config.json: cannot read"
embed 2 "$work/r.yaml" --data "$work/data" --run "$work/run" --adapter "$work/nowhere"
says err "several encoders"
embed 2 --encoder tiny_beats --seed x -o "$work/x.h5" "$work/data"
says err "--seed"
embed 2 "$work/r.yaml" --data "$work/data" --pool mean
says err "--pool goes with --encoder"
embed 2 "$work/r.yaml"
says err "--data DIR is missing"
embed 2 dcase-baseline --data "$work/data"
says err "embed.streams is empty"
embed 2 "$work/r.yaml" --data "$work/data" --run "$work/run" --set 'embed.streams=["near = tiny_beats(chanel=far)"]'
says err 'did you mean "channel"?'
embed 3 --encoder tiny_beats -o "$work/x.h5" "$work/nowhere"
says err "$work/nowhere"
embed 2 --encoder tiny_beats -o "$work/x.h5" "${files[0]}" "${files[0]}"
says err "given twice"
embed 2 --encoder tiny_beats -o "$work/x.h5" "${files[0]}" "$work/data"
says err "is a folder"
printf 'mine' >"$work/mine.h5"
embed 3 "${one[@]}" -o "$work/mine.h5"
says err "-f makes it anew"
check "it is not touched" test "$(cat "$work/mine.h5")" = mine
embed 3 "${one[@]}" -o "$work/e.h5" --pool gem
says err "pool: was mean, now gem; -f makes it anew"
clip=$(find "$work/data" -path '*valve/test*' -name '*normal_0001*.wav' | sort | head -1)
cp "$clip" "$work/keep.wav"
cp "${files[0]}" "$clip"
embed 3 "${one[@]}" -o "$work/e.h5"
says err "0 clips are new, 0 gone, 1 sound otherwise"
embed 0 "${one[@]}" -o "$work/e.h5" -f
if cmp -s "$work/e.h5" "$work/full.h5"; then bad "-f: made anew, and yet the same"; else ok; fi
cp "$work/keep.wav" "$clip"
embed 0 "${one[@]}" -o "$work/e.h5" -f
check "and back" cmp "$work/e.h5" "$work/full.h5"
head -c 3000 "$work/keep.wav" >"$clip"
embed 3 "${one[@]}" -o "$work/x.h5"
says err "$clip"
check "no file of what failed" test ! -e "$work/x.h5"
cp "$work/keep.wav" "$clip"

printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
