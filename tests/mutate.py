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
program was linked with, and the cases of the ops in that file are run. It is killed when a case fails, the program
dies or it runs ten times as long as it should. A mutant that does not compile proves nothing and is not counted.

A survivor must be explained in tests/mutants.txt; an unexplained one fails, so does a kernel without a killed mutant,
and an explanation that fits no mutant. See run_mutants.sh for how to call this.
"""
import argparse
import concurrent.futures
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

BARRIER = re.compile(r'\b(?:__syncthreads|__syncwarp|grid_barrier|wgmma_begin|wgmma_filled|bulk_wait|bulk_arrive|'
                     r'(?:cp_async|wgmma)_(?:commit|wait<\w+>))\([^;{}]*\);')
RELATION = re.compile(r'(?<=[\w\)\]]) (<=|>=|<|>) (?=[\w\(\-!~*&])')
ON_GPUS = ['mma_ptx.cuh', 'wgmma.cuh', 'bulk.cuh']  # instructions that the shim has twins of
KINDS = ['barrier', 'check', 'mask', 'sum', 'clause', 'loop', 'add', 'short', 'flag']


# --- reading C++ as text -------------------------------------------------------------------------------------------

def blank(text):
    """The text with comments, strings and preprocessor lines as spaces: same offsets, only code."""
    def spaces(m):
        return re.sub(r'[^\n]', ' ', m.group())
    text = re.sub(r'\bstatic_assert\([^;]*;', spaces, text)
    text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"', spaces, text, flags=re.S)
    return re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', spaces, text, flags=re.M)


OPEN, CLOSE = '([{', ')]}'


def close_of(code, at):
    """Index of the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] in OPEN) - (code[i] in CLOSE)
        if depth == 0:
            return i
    raise ValueError('unbalanced brackets')


def extent(code, at, step, stops):
    """From `at` in direction step up to where an enclosing bracket, or one of stops, ends the expression."""
    ends, begins = (CLOSE, OPEN) if step > 0 else (OPEN, CLOSE)
    depth, i = 0, at
    while True:
        c = code[i]
        if c in begins:
            depth += 1
        elif c in ends:
            if depth == 0:
                return i
            depth -= 1
        elif depth == 0 and any(code.startswith(s, i) for s in stops):
            return i
        i += step


class Function:
    def __init__(self, path, name, begin, end, kernel):
        self.path, self.name, self.begin, self.end, self.kernel = path, name, begin, end, kernel


def name_of(header):
    """The function's name: before the parameters, __launch_bounds__(...) aside."""
    bounds = re.search(r'__launch_bounds__', header)
    if bounds:
        at = header.index('(', bounds.end())
        header = header[:bounds.start()] + header[close_of(header, at) + 1:]
    m = re.search(r'([~\w]+|operator\S+)\s*\(', header)
    return m.group(1) if m else None


def functions_of(path, code):
    """Device functions: a brace alone on its line, after a header with __global__ or __device__."""
    found = []
    for m in re.finditer(r'^[ ]*\{[ ]*$', code, flags=re.M):
        at = m.end() - 1
        while code[at] != '{':
            at -= 1
        start = max(code.rfind(c, 0, at) for c in ';}{') + 1
        header = code[start:at]
        # a closing brace of a template's default or initialiser hides the start; what matters is still there
        if '__global__' not in header and '__device__' not in header:
            continue
        name = name_of(header)
        if name:
            found.append(Function(path, name, at, close_of(code, at), '__global__' in header))
    return found


# --- mutants -------------------------------------------------------------------------------------------------------

class Mutant:
    def __init__(self, function, kind, begin, end, new, snippet):
        self.function, self.kind, self.begin, self.end, self.new = function, kind, begin, end, new
        self.snippet = ' '.join(snippet.split())
        self.ordinal = 1
        self.line = 0
        self.result = None

    def key(self):
        return f'{self.function.path}:{self.function.name}:{self.kind}:{self.snippet}#{self.ordinal}'


def tighten(condition, how):
    """The condition of a loop, one step further ('loop') or one step short ('short'); None if it has no bound."""
    m = RELATION.search(condition)
    if not m:
        plain = re.fullmatch(r'\s*(\w+)\s*', condition)
        return f'{plain.group(1)} > 1' if plain and how == 'short' else None
    left, op, right = condition[:m.start()], m.group(1), condition[m.end():]
    if how == 'loop':
        new = {'<': '<=', '<=': '- 1 <=', '>': '>=', '>=': '+ 1 >='}[op]
        return f'{left} {new} {right}'
    return {'<': f'{left} + 1 < {right}', '<=': f'{left} + 1 <= {right}', '>': f'{left} - 1 > {right}',
            '>=': f'{left} - 1 >= {right}'}[op]


def mutants_of_if(f, code, out):
    for m in re.finditer(r'\bif \(', code[f.begin:f.end]):
        at = f.begin + m.end() - 1
        end = close_of(code, at)
        condition = code[at + 1:end]
        leaves = re.match(r'\s*\{?\s*(return|continue|break)\b', code[end + 1:])
        if re.search(r'\badd\w*\b|\bacc\w*\b', condition):
            out.append(Mutant(f, 'add', at + 1, end, f'!({condition})', condition))
        elif leaves or not RELATION.search(condition):
            out.append(Mutant(f, 'check', at + 1, end, f'({condition}) && 0', condition))
        else:
            out.append(Mutant(f, 'check', at + 1, end, f'({condition}) || 1', condition))


def mutants_of_for(f, code, out):
    heads = []
    for m in re.finditer(r'\bfor \(', code[f.begin:f.end]):
        at = f.begin + m.end() - 1
        end = close_of(code, at)
        heads.append((at, end))
        first = extent(code, at + 1, 1, ';')
        if code[first] != ';':
            continue
        second = extent(code, first + 1, 1, ';')
        condition = code[first + 1:second]
        for how in ('loop', 'short'):
            new = tighten(condition, how)
            if new:
                out.append(Mutant(f, how, first + 1, second, new, code[at + 1:end]))
    return heads


def mutants_of_ternary(f, code, out):
    for m in re.finditer(r' \? ', code[f.begin:f.end]):
        mark = f.begin + m.start() + 1
        i, depth = mark + 1, 0
        while True:  # the colon of this question mark
            i = extent(code, i, 1, ['?', ' : '])
            if code[i] in CLOSE:
                break
            if code[i] == '?':
                depth += 1
            elif depth == 0:
                break
            else:
                depth -= 1
            i += 2
        if code[i] in CLOSE:
            continue
        colon = i + 1
        end = extent(code, colon + 1, 1, [';', ','])
        begin = extent(code, mark - 1, -1, [';', ',', ' = ', 'return ', '? ', ' : ']) + 1
        first, second = code[mark + 1:colon].strip(), code[colon + 1:end].strip()
        snippet = re.sub(r'^(=|return|\?|:|eturn)\s', '', code[begin:end].strip()).strip()
        out.append(Mutant(f, 'mask', mark, end, f'? ({first}) : ({first})', snippet + ' -> first'))
        out.append(Mutant(f, 'mask', mark, end, f'? ({second}) : ({second})', snippet + ' -> second'))


def mutants_of_sums(f, code, heads, out):
    for m in re.finditer(r' (\+|-)= ', code[f.begin:f.end]):
        at = f.begin + m.start() + 1
        if any(a < at < b for a, b in heads):
            continue
        begin = max(code.rfind(c, 0, at) for c in ';{}') + 1
        end = code.index(';', at)
        out.append(Mutant(f, 'sum', at, at + 2, '=' if m.group(1) == '+' else '= -', code[begin:end]))
    for m in re.finditer(r'\bfmaf\(', code[f.begin:f.end]):
        at = f.begin + m.end() - 1
        end = close_of(code, at)
        comma = extent(code, end - 1, -1, [','])
        if code[comma] == ',':
            out.append(Mutant(f, 'sum', comma + 1, end, ' 0.0f', code[f.begin + m.start():end + 1]))


def mutants_of_clauses(f, code, out):
    stops = ['&&', '||', ',', ';', '?', ' : ', ' = ', 'return ', 'return(']
    seen = set()
    for m in re.finditer(r'&&', code[f.begin:f.end]):
        at = f.begin + m.start()
        left = extent(code, at - 1, -1, stops)
        right = extent(code, at + 2, 1, stops)
        for begin, end in ((left + 1, at), (at + 2, right)):
            text = code[begin:end]
            for s in ('& ', '| ', '= ', '? ', ': ', 'eturn '):  # what is left of a stop that was met from behind
                if text.startswith(s):
                    begin += len(s)
                    text = code[begin:end]
            if (begin, end) in seen or not re.search(r'[<>=]', text):
                continue
            seen.add((begin, end))
            out.append(Mutant(f, 'clause', begin, end, ' true ', f'{text.strip()} in {code[left + 1:right].strip()}'))


def mutants_of(f, code):
    out = []
    for m in BARRIER.finditer(code, f.begin, f.end):
        out.append(Mutant(f, 'barrier', m.start(), m.end(), ';', m.group()))
    mutants_of_if(f, code, out)
    heads = mutants_of_for(f, code, out)
    mutants_of_ternary(f, code, out)
    mutants_of_sums(f, code, heads, out)
    mutants_of_clauses(f, code, out)
    for m in re.finditer(r'\bbool\s+\w+ = ([^;,]*)', code[f.begin:f.end]):
        if RELATION.search(m.group(1)):
            out.append(Mutant(f, 'flag', f.begin + m.start(1), f.begin + m.end(1), 'true', m.group()))
    out.sort(key=lambda x: (x.begin, x.kind))
    counts = {}
    for x in out:
        k = x.key()
        counts[k] = counts.get(k, 0) + 1
        x.ordinal = counts[k]
        x.line = code.count('\n', 0, x.begin) + 1
    return out


def sample(mutants, n):
    """All barriers, and n others: of each kind in turn, from the middle of what is left of it."""
    barriers = [m for m in mutants if m.kind == 'barrier']
    groups = [[m for m in mutants if m.kind == k] for k in KINDS[1:]]
    taken = []
    while len(taken) < n and any(groups):
        for g in groups:
            if g and len(taken) < n:
                taken.append(g.pop(len(g) // 2))
    return sorted(barriers + taken, key=lambda m: m.begin)


def within(mutants, n):
    """At most n of one file's mutants, or one of each function if these are more: of its functions in turn."""
    groups = {}
    for m in mutants:
        groups.setdefault((m.function.name, m.function.begin), []).append(m)
    taken = [g.pop(len(g) // 2) for g in groups.values()]
    while len(taken) < n and any(groups.values()):
        for g in groups.values():
            if g and len(taken) < n:
                taken.append(g.pop(len(g) // 2))
    return sorted(taken, key=lambda m: m.begin)


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
        self.flags = ['-std=gnu++17', '-O1', '-g0', '-fPIC', '-w', '-ffp-contract=off', '-fsanitize=bounds-strict',
                      '-fsanitize-undefined-trap-on-error', '-DASD_WITH_CUDA=1', '-DASD_SIMT=1', '-D_GNU_SOURCE']
        self.paths = [f'-I{root}', f'-I{root}/host'] + [f'-isystem{d}' for d in args.system_include if d != '/usr/include']
        self.head = []
        self.env = dict(os.environ, CMOCKA_TEST_ABORT='1', OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1',
                        ASD_SOURCE=root)
        self.limit = {}
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

    def steps(self, unit):
        """[(program, patterns, haste of test_ops.c)]: first what is quick, and kills most."""
        commands = self.tree.commands[unit]
        return ([(program, patterns, 'once') for program, patterns in commands] +
                [(program, patterns, '1') for program, patterns in commands if program == 'test_ops'])

    def run(self, unit, so):
        """'' when every case passes, else in a word how it failed."""
        for program, patterns, haste in self.steps(unit):
            env = dict(self.env, LD_PRELOAD=so, ASD_TEST_HASTE=haste)
            try:
                done = subprocess.run([f'{self.args.bin}/{program}_mutants', *patterns], env=env, capture_output=True,
                                      timeout=self.limit.get((unit, program, haste), 600), cwd=self.scratch)
            except subprocess.TimeoutExpired:
                return 'timeout'
            if done.returncode:
                text = (done.stdout + done.stderr).decode(errors='replace')
                said = re.search(r'kernel \w.*|ERROR: .*|.*exception.*|gradient of .*|root mean .*|y\[.*', text)
                return said.group()[:160] if said else f'exit {done.returncode}'
        return ''

    def baseline(self, needed):
        """The sources as they are must pass, through the same door as the mutants."""
        def check(unit):
            so, error = self.build(unit, unit, self.tree.text[unit], f'{self.scratch}/plain-{os.path.basename(unit)}')
            if not so:
                return f'mutate: {unit} does not compile\n{error}'
            for program, patterns, haste in self.steps(unit):
                began = time.monotonic()
                done = subprocess.run([f'{self.args.bin}/{program}_mutants', *patterns], cwd=self.scratch,
                                      env=dict(self.env, LD_PRELOAD=so, ASD_TEST_HASTE=haste), capture_output=True)
                took = time.monotonic() - began
                if done.returncode:
                    return (f'mutate: {unit} fails {program} {patterns} unchanged:\n'
                            + (done.stdout + done.stderr).decode(errors='replace')[-3000:])
                self.limit[(unit, program, haste)] = 10 + 10 * took
                if self.args.verbose:
                    print(f'{unit}: {program} {" ".join(patterns)} {took:.1f} s', flush=True)
            return ''
        with concurrent.futures.ThreadPoolExecutor(self.args.jobs) as pool:
            for error in pool.map(check, [u for u in needed if self.tree.commands[u]]):
                if error:
                    sys.exit(error)

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
            tried = list(pool.map(bench.judge, [(i, m, u) for i, (m, u) in enumerate(chosen)]))
    return report(tree, tried, every, explained, unreached, bool(args.only))


if __name__ == '__main__':
    sys.exit(main())
