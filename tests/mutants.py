"""mutants.py - reads CUDA C++ as text, and finds the places of its device functions to break: see mutate.py."""
import re

BARRIER = re.compile(r'\b(?:__syncthreads|__syncwarp|grid_barrier|wgmma_begin|wgmma_filled|bulk_wait|bulk_arrive|'
                     r'(?:cp_async|wgmma)_(?:commit|wait<\w+>))\([^;{}]*\);')
RELATION = re.compile(r'(?<=[\w\)\]]) (<=|>=|<|>) (?=[\w\(\-!~*&])')
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
