#!/usr/bin/env python3
"""mutate.py - are the tests of the CUDA kernels any good? Break the kernels, one place at a time, and see.

Every device function of kernels/*.cu (not of the headers beside them), tests/simt/matmul.cu and cuda/*.cuh is read
as text; each mutant changes one place of it:

    barrier   __syncthreads(), __syncwarp(), grid_barrier(), cp_async_wait<>(), cp_async_commit(), bulk_wait(),
              bulk_arrive() or wgmma's begin, commit, wait<> or filled is gone
    check     if (i < n) is always taken; if (i >= n) return; never; if (lane == 0) ... never
    clause    one comparison of a && b is true
    flag      bool inside = i < n; is true
    loop      i < n becomes i <= n
    short     i < n becomes i < n - 1; a halving loop leaves out its last step
    mask      c ? a : b is always a, or always b
    sum       += becomes =, fmaf(a, b, c) forgets c
    add       if (add) becomes if (!add)

A mutant is compiled as C++ for cuda/simt into a shared object, which LD_PRELOAD puts before the kernels that the test
program was linked with, and the cases of the ops in that file are run, cheap ones first; dear ones only when they
launch a kernel of that file (which shows when its kernels are made to trap). It is killed when a case fails, the
program dies or it runs ten times as long as it should. A mutant that does not compile proves nothing and is not counted.

A survivor must be explained in tests/mutants.txt; an unexplained one fails, so does a kernel without a killed mutant,
and an explanation that fits no mutant. See run_mutants.sh for how to call this.
"""
import argparse
import concurrent.futures
import html
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
from mutants import blank, functions_of, mutants_of, sample, within

ON_GPUS = ['mma_ptx.cuh', 'wgmma.cuh', 'bulk.cuh']  # instructions that the shim has twins of
TOGETHER = 0.3  # seconds of cases that one process runs


# --- the tree ------------------------------------------------------------------------------------------------------

class Tree:
    """Sources, their device functions, who calls whom, and what tests them."""

    def __init__(self, root, programs):
        self.root, self.programs = root, programs
        self.text, self.code, self.functions = {}, {}, []
        for folder, ends in (('kernels', '.cu'), ('cuda', '.cuh'), ('tests/simt', '.cu')):
            for name in sorted(os.listdir(os.path.join(root, folder))):
                path = f'{folder}/{name}'
                if not name.endswith(ends) or name in ON_GPUS or (folder == 'tests/simt' and name != 'matmul.cu'):
                    continue
                with open(os.path.join(root, path), encoding='utf-8') as f:
                    self.text[path] = f.read()
                self.code[path] = blank(self.text[path])
                self.functions += functions_of(path, self.code[path])
        self.units = [p for p in self.text if p.endswith('.cu')]
        self.commands = {u: self.commands_of(u) for u in self.units}
        for u in self.units:  # kernels that another file launches are tested by its cases
            self.commands[u] = self.commands[u] or [c for v in self.launchers_of(u) for c in self.commands[v]]

    def includes(self, path, seen=None):
        """The files of the tree that path includes, itself among them."""
        seen = set() if seen is None else seen
        if path in seen or path not in self.text:
            return seen
        seen.add(path)
        for name in re.findall(r'^#include "([^"]+)"', self.text[path], flags=re.M):
            self.includes(name, seen)
        return seen

    def commands_of(self, unit):
        """[(program, patterns)]: the cases that run this file's kernels."""
        code = self.code[unit]
        ops = sorted(set(re.findall(r'\b(\w+)_(?:fwd|bwd)_cuda\(const asd_call', code)))
        found = [('test_ops', [f'ops/{op}/cuda*' for op in ops])] if ops else []
        for program, source in self.programs.items():
            with open(os.path.join(self.root, source), encoding='utf-8') as f:
                test = f.read()
            stem = os.path.basename(unit)[:-3]
            while stem and not re.search(rf'^#include "\w+/{stem}\.h"', test, flags=re.M):
                stem = stem.rpartition('_')[0]  # attention_bwd is tested with attention.h
            if stem:
                found.append((program, [f'{stem}/*'] if f'ASD_CASE("{stem}/' in test else []))
        return found

    def launchers_of(self, unit):
        """The other .cu files that call what this one exports."""
        names = re.findall(r'^extern "C" \w+ (\w+)\(', self.text[unit], flags=re.M)
        return [v for v in self.units if v != unit and any(re.search(rf'\b{n}\(', self.code[v]) for n in names)]

    def reach(self, unit):
        """Names of all device functions that this file's kernels may call, by name."""
        files = self.includes(unit)
        bodies = {}
        for f in self.functions:
            if f.path in files:
                bodies.setdefault(f.name, []).append(self.code[f.path][f.begin:f.end])
        # what the launchers name as well, so that kernels of headers count
        todo = {f.name for f in self.functions if f.path == unit}
        todo |= {n for n in bodies if re.search(rf'\b{re.escape(n)}\b', self.code[unit])}
        for path in files - {unit}:
            if any(f.path == path and f.kernel for f in self.functions):
                todo |= {f.name for f in self.functions if f.path == path and f.kernel}
        done = set()
        while todo:
            name = todo.pop()
            done.add(name)
            words = set(re.findall(r'\w+', ' '.join(bodies.get(name, []))))
            todo |= (words & bodies.keys()) - done
        return done

    def users(self, f):
        """The .cu files to compile for a mutant of f: its own, or three that reach a header, least text first."""
        if f.path.endswith('.cu'):
            return [f.path]
        found = [u for u in self.units if f.path in self.includes(u) and f.name in self.reach(u) and self.commands[u]]
        return sorted(found, key=lambda u: sum(len(self.code[p]) for p in self.includes(u)))[:3]


# --- compiling and running -----------------------------------------------------------------------------------------

class Bench:
    def __init__(self, args, tree, scratch):
        self.args, self.tree, self.scratch = args, tree, scratch
        root = args.source
        self.flags = ['-std=gnu++17', '-O0', '-g0', '-fPIC', '-w', '-ffp-contract=off', '-fsanitize=bounds-strict',
                      '-fsanitize-undefined-trap-on-error', '-DASD_WITH_CUDA=1', '-DASD_SIMT=1', '-D_GNU_SOURCE']
        self.paths = [f'-I{root}', f'-I{root}/host'] + [f'-isystem{d}' for d in args.system_include if d != '/usr/include']
        self.head = []
        self.env = dict(os.environ, CMOCKA_TEST_ABORT='1', OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1',
                        ASD_SOURCE=root)
        self.plain, self.locks, self.known = {}, {}, {}  # each unit's own .so; what is measured once, by whom
        # what every kernel includes, compiled once
        os.mkdir(f'{scratch}/head')
        done = subprocess.run([args.cxx, *self.flags, *self.paths, '-x', 'c++-header', f'{root}/cuda/kernel.cuh', '-o',
                               f'{scratch}/head/kernel.cuh.gch'], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f'mutate: cannot compile cuda/kernel.cuh\n{done.stderr}')
        with open(f'{scratch}/head/kernel.cuh', 'w', encoding='utf-8') as f:
            f.write('#include "cuda/kernel.cuh"\n')
        self.head = ['-include', f'{scratch}/head/kernel.cuh']

    def build(self, unit, path, text, folder):
        """unit as a shared object, with `path` having this text instead of its own. None: does not compile."""
        os.makedirs(f'{folder}/{os.path.dirname(path)}', exist_ok=True)
        with open(f'{folder}/{path}', 'w', encoding='utf-8') as f:
            f.write(text)
        source = f'{folder}/{path}' if path == unit else f'{self.args.source}/{unit}'
        out = f'{folder}/{os.path.basename(unit)}.so'
        head = self.head if path != 'cuda/kernel.cuh' else []
        done = subprocess.run([self.args.cxx, *self.flags, *head, f'-I{folder}', *self.paths, '-x', 'c++', source,
                               '-shared', '-Wl,-Bsymbolic', '-o', out], capture_output=True, text=True)
        return (out, '') if done.returncode == 0 else (None, done.stderr)

    def call(self, so, haste, program, cases, **more):
        """Runs these cases with the kernels of `so` before those that the program is linked with."""
        haste = haste if program == 'test_ops' else ''  # the others would leave out cases
        env = dict(self.env, ASD_TEST_HASTE=haste, LD_PRELOAD=so, **more.pop('env', {}))
        return subprocess.run([f'{self.args.bin}/{program}_mutants', *cases], env=env, capture_output=True,
                              cwd=self.scratch, **more)

    def times(self, program, patterns, haste):
        """[(seconds, case)] of the sources as they are: these must pass, through the same door as the mutants."""
        so = ':'.join(self.plain.values())
        done = self.call(so, haste, program, patterns, env={'CMOCKA_MESSAGE_OUTPUT': 'XML'})
        found = re.findall(r'<testcase name="([^"]*)" time="([\d.]+)"', done.stdout.decode(errors='replace'))
        if done.returncode or not found:
            done = self.call(so, haste, program, patterns)
            raise ValueError(f'mutate: {program} {patterns} fails unchanged:\n'
                             + (done.stdout + done.stderr).decode(errors='replace')[-3000:])
        return [(float(took), re.sub(r'([][*?\\])', r'\\\1', html.unescape(name))) for name, took in found]

    def shared_times(self, *key):
        with self.locks.setdefault(key, threading.Lock()):
            if key not in self.known:
                program, patterns, haste = key
                self.known[key] = self.times(program, patterns, haste)
            return self.known[key]

    def dead(self, unit):
        """The unit with a trap at the begin of every kernel: a case that passes with it launches none of them."""
        folder = f'{self.scratch}/dead-{os.path.basename(unit)}'
        for path in self.tree.includes(unit):
            text = self.tree.text[path]
            for f in sorted((f for f in self.tree.functions if f.path == path and f.kernel), key=lambda f: -f.begin):
                text = text[:f.begin + 1] + ' __builtin_trap(); ' + text[f.begin + 1:]
            os.makedirs(f'{folder}/{os.path.dirname(path)}', exist_ok=True)
            with open(f'{folder}/{path}', 'w', encoding='utf-8') as f:
                f.write(text)
        with open(f'{folder}/{unit}', encoding='utf-8') as f:
            return self.build(unit, unit, f.read(), folder)[0]

    def measure(self, unit, haste):
        """[[seconds, program, cases]]: what a mutant of the unit has to pass. Cheap cases come first, many at a time,
        since most mutants fail most cases; dear ones that launch no kernel of the unit are left out."""
        cases, dead = [], None
        for program, patterns in self.tree.commands[unit]:
            if program != 'test_ops' and haste == '1':
                continue  # test_ops alone has two speeds
            for took, case in self.shared_times(program, tuple(patterns), haste):
                if program != 'test_ops' and took > TOGETHER:
                    dead = dead or self.dead(unit)
                    if not self.call(dead, haste, program, [case]).returncode:
                        continue
                cases.append((took, program, case))
        steps = []
        for took, program, case in sorted(cases):
            last = next((s for s in steps[::-1] if s[1] == program), None)
            if last and last[0] + took < TOGETHER:
                last[0] += took
                last[2].append(case)
            else:
                steps.append([took, program, [case]])
        if self.args.verbose:
            print(f'{unit}: ' + ', '.join(f'{len(s[2])} of {s[1]} {s[0]:.2f} s' for s in steps), flush=True)
        return steps

    def steps(self, unit, haste):
        with self.locks.setdefault((unit, haste), threading.Lock()):
            if (unit, haste) not in self.known:
                self.known[unit, haste] = self.measure(unit, haste)
            return self.known[unit, haste]

    def run(self, unit, so):
        """'' when every case passes, else in a word how it failed."""
        for haste in ('once', '1'):  # first what is quick, and kills most
            for took, program, cases in self.steps(unit, haste):
                try:
                    done = self.call(so, haste, program, cases, timeout=10 + 10 * took)
                except subprocess.TimeoutExpired:
                    return 'timeout'
                if done.returncode:
                    text = (done.stdout + done.stderr).decode(errors='replace')
                    said = re.search(r'kernel \w.*|ERROR: .*|.*exception.*|gradient of .*|root mean .*|y\[.*', text)
                    return said.group()[:160] if said else f'exit {done.returncode}'
        return ''

    def baseline(self, needed):
        """Builds the sources as they are; that they pass is seen when a case is first timed."""
        def build(unit):
            return unit, *self.build(unit, unit, self.tree.text[unit], f'{self.scratch}/plain-{os.path.basename(unit)}')
        with concurrent.futures.ThreadPoolExecutor(self.args.jobs) as pool:
            for unit, so, error in pool.map(build, [u for u in needed if self.tree.commands[u]]):
                if not so:
                    sys.exit(f'mutate: {unit} does not compile\n{error}')
                self.plain[unit] = so

    def judge(self, job):
        """Tries one mutant on its users until one kills it: 'killed', 'survived' or 'invalid'."""
        number, m, units = job
        text = self.tree.text[m.function.path]
        text = text[:m.begin] + m.new + text[m.end:]
        folder = f'{self.scratch}/{number}'
        m.result, m.how, compiled = 'survived', '', False
        for unit in units:
            so, error = self.build(unit, m.function.path, text, folder)
            if not so:
                m.how = m.how or next((l for l in error.splitlines() if 'error:' in l), '?')
                continue
            compiled = True
            m.how = self.run(unit, so)
            if m.how:
                m.result = 'killed'
                break
        if not compiled:
            m.result = 'invalid'
        shutil.rmtree(folder, ignore_errors=True)
        if self.args.verbose:
            print(f'{m.result:9} {m.function.path}:{m.line} {m.function.name} {m.kind}: {m.snippet}   [{m.how}]', flush=True)
        return m


def read_explained(path):
    explained = {}
    with open(path, encoding='utf-8') as f:
        for n, line in enumerate(f, 1):
            line = line.rstrip('\n')
            if not line or line.startswith('#'):
                continue
            if line.startswith('    '):
                explained[key] += line.strip() + ' '
                continue
            key = line
            if key in explained:
                sys.exit(f'{path}:{n}: explained twice: {key}')
            explained[key] = ''
    empty = [k for k, why in explained.items() if not why]
    if empty:
        sys.exit(f'{path}: no reason is given for {empty[0]}')
    return explained


def report(tree, tried, every, explained, unreached, partial):
    failures = []
    names = [(f.path, f.name) for f in tree.functions]
    print(f'{"function":58}{"mutants":>8}{"killed":>8}{"explained":>10}{"survived":>9}')
    for path, name in dict.fromkeys(names):
        mine = [m for m in tried if (m.function.path, m.function.name) == (path, name) and m.result != 'invalid']
        kernel = any(f.kernel for f in tree.functions if (f.path, f.name) == (path, name))
        if not mine and not kernel:
            continue
        killed = sum(m.result == 'killed' for m in mine)
        known = sum(m.result == 'survived' and m.key() in explained for m in mine)
        print(f'{path + " " + name:58}{len(mine):8}{killed:8}{known:10}{len(mine) - killed - known:9}')
    for path, name in dict.fromkeys((f.path, f.name) for f in tree.functions if f.kernel):
        unit = next((u for u in tree.units if path in tree.includes(u) and tree.commands[u]), None)
        if unit is None:
            failures.append(f'{path}: {name} is run by no test')
            continue
        inside = {name}
        while True:  # the functions that this kernel alone stands on count for it
            words = set()
            for f in tree.functions:
                if f.name in inside and f.path in tree.includes(unit):
                    words |= set(re.findall(r'\w+', tree.code[f.path][f.begin:f.end]))
            more = ({f.name for f in tree.functions} & words) - inside
            if not more:
                break
            inside |= more
        if not partial and not any(m.result == 'killed' and m.function.name in inside and
                                   m.function.path in tree.includes(unit) for m in tried):
            failures.append(f'{path}: no mutant of kernel {name} was killed')
    for m in tried:
        if m.result == 'survived' and m.key() not in explained:
            failures.append(f'{m.function.path}:{m.line}: survived, and no reason is in tests/mutants.txt: {m.key()}')
    keys = {m.key() for m in every}
    for key in explained:
        if key not in keys:
            failures.append(f'tests/mutants.txt: there is no such mutant: {key}')
    for m in tried:
        if m.result == 'killed' and m.key() in explained:
            print(f'note: killed, though tests/mutants.txt explains why not: {m.key()}')
        if m.result == 'invalid':
            print(f'note: does not compile, not counted: {m.function.path}:{m.line} {m.kind}: {m.snippet}')
    for f in unreached:
        print(f'note: no kernel calls {f.name} of {f.path}: not tried')
    for text in failures:
        print(f'FAIL {text}')
    count = {r: sum(m.result == r for m in tried) for r in ('killed', 'survived', 'invalid')}
    print(f'{len(every)} places to break, {len(tried)} tried: {count["killed"]} killed, {count["survived"]} survived, '
          f'{count["invalid"]} did not compile; {len(failures)} failures')
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f'{spent.ru_utime + spent.ru_stime:.0f} s of processor time')
    return 1 if failures else 0


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--source', required=True, help='root of the source tree')
    p.add_argument('--bin', required=True, help='folder of the test_*_mutants programs')
    p.add_argument('--cxx', default='c++')
    p.add_argument('--system-include', action='append', default=[])
    p.add_argument('--jobs', type=int, default=os.cpu_count())
    p.add_argument('--others', type=int, default=2, help='mutants of a function besides its barriers; -1: all')
    p.add_argument('--file', type=int, default=8, help='mutants of a file at most, unless --others is -1')
    p.add_argument('--only', default='', help='regular expression: only mutants whose key it is found in')
    p.add_argument('--list', action='store_true', help='print the mutants and stop')
    p.add_argument('--verbose', action='store_true', help='a line for each mutant')
    args = p.parse_args()
    args.source, args.bin = os.path.abspath(args.source), os.path.abspath(args.bin)
    programs = {}
    for source in ('tests/test_ops.c', 'tests/test_adam.c', 'tests/test_logmel.c', 'tests/test_mahalanobis.c',
                   'tests/test_knn.c', 'tests/test_front.c', 'tests/test_attention.c', 'tests/simt/test_matmul.c'):
        name = os.path.basename(source)[:-2]
        if os.path.exists(f'{args.bin}/{name}_mutants') or name == 'test_ops':
            programs[name] = source
    tree = Tree(args.source, programs)
    explained = read_explained(f'{args.source}/tests/mutants.txt')
    every, chosen, unreached = [], [], []
    sampled = {}
    for f in tree.functions:
        mutants = mutants_of(f, tree.code[f.path])
        every += mutants
        if not tree.users(f) and mutants:
            unreached.append(f)
            continue
        if args.others >= 0:  # what is known to survive costs most and says least
            mutants = sample([m for m in mutants if m.key() not in explained], args.others)
        sampled[f.path] = sampled.get(f.path, []) + mutants
    for mutants in sampled.values():
        picked = mutants if args.others < 0 else within(mutants, args.file)
        chosen += [(m, tree.users(m.function)) for m in picked if re.search(args.only, m.key())]
    if args.list:
        for m, units in chosen:
            print(f'{m.function.path}:{m.line}: {m.key()}  ->  {" ".join(m.new.split())}   {units}')
        return 0
    with tempfile.TemporaryDirectory(prefix='asd-mutants-') as scratch:
        bench = Bench(args, tree, scratch)
        bench.baseline(sorted({u for _, units in chosen for u in units}))
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            try:
                tried = list(pool.map(bench.judge, [(i, m, u) for i, (m, u) in enumerate(chosen)]))
            except ValueError as e:
                sys.exit(str(e))
    return report(tree, tried, every, explained, unreached, bool(args.only))


if __name__ == '__main__':
    sys.exit(main())
