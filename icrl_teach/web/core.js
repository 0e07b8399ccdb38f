// The mathematics of the Explorer, and nothing else: worlds, walks, prompts, attention, layers, values.
// Names are those of docs/mathematics.md. A world is a list of outcomes a state; a prompt is a list of columns with
// flags; E[i][j] is what source i gives to column j. Pure functions: no page, no clock, no randomness but by seed.

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function numbers(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const zeros = (n) => new Array(n).fill(0);
const matrix = (rows, cols) => Array.from({ length: rows }, () => zeros(cols));

// ------------------------------------------------------------------------------------------------------------ worlds
// {names, start, outcomes}: outcomes[s] lists {p, next, reward}; next is -1 where the walk terminates.

function chain(S, reward, rows) {
  const outcomes = rows.map((row, s) => [...row].map(([next, p]) => ({ p, next, reward: reward[s] })));
  return { names: rows.map((_, s) => String(s)), start: 0, outcomes };
}

/** State i goes to i+1 with a random probability, else to i+2; the last state goes anywhere. */
export function boyan(S, seed) {
  const draw = numbers(seed);
  const rows = [];
  for (let s = 0; s < S - 2; s++) {
    const p = draw();
    rows.push(new Map([[s + 1, p], [s + 2, 1 - p]]));
  }
  rows.push(new Map([[S - 1, 1]]));
  const weight = Array.from({ length: S }, () => -Math.log(1 - draw()));
  const total = weight.reduce((a, b) => a + b, 0);
  rows.push(new Map(weight.map((w, s) => [s, w / total])));
  return chain(S, Array.from({ length: S }, () => 2 * draw() - 1), rows);
}

/** State i always leads to i+1, around a circle, and sometimes elsewhere. */
export function loop(S, seed) {
  const draw = numbers(seed);
  const rows = Array.from({ length: S }, (_, s) => {
    const weight = zeros(S).map((_, t) => (t !== s && (t === (s + 1) % S || draw() > 0.5) ? 1 - draw() : 0));
    const total = weight.reduce((a, b) => a + b, 0);
    return new Map(weight.map((w, t) => [t, w / total]).filter(([, p]) => p > 0));
  });
  return chain(S, Array.from({ length: S }, () => 2 * draw() - 1), rows);
}

/** One step right at a time; leaving the last state pays 1 and ends the walk. */
export function corridor(S) {
  const outcomes = Array.from({ length: S }, (_, s) => [
    { p: 1, next: s < S - 1 ? s + 1 : -1, reward: s < S - 1 ? 0 : 1 },
  ]);
  return { names: outcomes.map((_, s) => String(s)), start: 0, outcomes };
}

export const MOVES = { "^": [-1, 0], ">": [0, 1], v: [1, 0], "<": [0, -1] };
const TURNS = { "^": "<>", ">": "^v", v: "><", "<": "v^" };

/** A lake: rows of "S" start, "." ice, "#" wall, "G" goal (pays 1, ends), "H" hole (pays -1, ends).
 * arrows: a row of "^>v<" or "?" (any move, at random) for each row; slip: probability of moving to a side instead. */
export function lake(rows, arrows, slip) {
  const cells = [];
  rows.forEach((row, y) => [...row].forEach((kind, x) => ".S".includes(kind) && cells.push([y, x])));
  const number = new Map(cells.map(([y, x], s) => [`${y},${x}`, s]));
  const land = (s, [dy, dx]) => {
    const [y, x] = [cells[s][0] + dy, cells[s][1] + dx];
    const kind = rows[y]?.[x] ?? "#";
    if (kind === "G" || kind === "H") return { next: -1, reward: kind === "G" ? 1 : -1 };
    return { next: kind === "#" ? s : number.get(`${y},${x}`), reward: 0 };
  };
  const outcomes = cells.map(([y, x], s) => {
    const chosen = arrows[y][x] === "?" ? Object.keys(MOVES) : [arrows[y][x]];
    return chosen.flatMap((move) => {
      const ways = [[move, 1 - slip], ...[...TURNS[move]].map((side) => [side, slip / 2])];
      return ways.filter(([, p]) => p > 0).map(([way, p]) => ({ p: p / chosen.length, ...land(s, MOVES[way]) }));
    });
  });
  const start = Math.max(0, cells.findIndex(([y, x]) => rows[y][x] === "S"));
  return { names: cells.map(([y, x]) => `row ${y + 1}, column ${x + 1}`), start, outcomes, cells };
}

// ------------------------------------------------------------------------------------------------------------- values

/** Solve A x = b by elimination with row exchanges. A and b are changed. */
export function solve(A, b) {
  const n = b.length;
  for (let k = 0; k < n; k++) {
    let best = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(A[i][k]) > Math.abs(A[best][k])) best = i;
    [A[k], A[best]] = [A[best], A[k]];
    [b[k], b[best]] = [b[best], b[k]];
    for (let i = k + 1; i < n; i++) {
      const factor = A[i][k] / A[k][k];
      if (factor === 0) continue;
      for (let j = k; j < n; j++) A[i][j] -= factor * A[k][j];
      b[i] -= factor * b[k];
    }
  }
  for (let k = n - 1; k >= 0; k--) {
    for (let j = k + 1; j < n; j++) b[k] -= A[k][j] * b[j];
    b[k] /= A[k][k];
  }
  return b;
}

/** v = r + gamma P v, P without the mass that terminates. */
function bellman(P, r, gamma) {
  return solve(P.map((row, s) => row.map((p, t) => (s === t ? 1 : 0) - gamma * p)), [...r]);
}

/** The value of every state, from the world itself. */
export function exactValue(world, gamma) {
  const S = world.outcomes.length;
  const [P, r] = [matrix(S, S), zeros(S)];
  world.outcomes.forEach((list, s) =>
    list.forEach(({ p, next, reward }) => {
      r[s] += p * reward;
      if (next >= 0) P[s][next] += p;
    }),
  );
  return bellman(P, r, gamma);
}

/** The value that the steps of a walk alone make most likely; 0 for a state that was never left. */
export function seenValue(steps, S, gamma) {
  const [P, r, visits] = [matrix(S, S), zeros(S), visitsOf(steps, S)];
  for (const { state, reward, next } of steps) {
    r[state] += reward / visits[state];
    if (next >= 0) P[state][next] += 1 / visits[state];
  }
  return bellman(P, r, gamma);
}

export function visitsOf(steps, S) {
  const visits = zeros(S);
  for (const { state } of steps) visits[state] += 1;
  return visits;
}

/** Batch tabular TD: the values after 0, 1, ..., L iterations. */
export function tabularTD(steps, S, gamma, alpha, L) {
  const visits = visitsOf(steps, S);
  const trace = [zeros(S)];
  for (let l = 0; l < L; l++) {
    const old = trace[l];
    const v = [...old];
    for (const { state, reward, next } of steps) {
      const delta = reward + (next < 0 ? 0 : gamma * old[next]) - old[state];
      v[state] += (alpha * delta) / visits[state];
    }
    trace.push(v);
  }
  return trace;
}

// ------------------------------------------------------------------------------------------------- walks and prompts

/** n steps {state, reward, next} from the start; after an end the next walk begins at the start. */
export function sampleWalk(world, n, seed) {
  const draw = numbers(seed);
  const steps = [];
  let state = world.start;
  for (let k = 0; k < n; k++) {
    let left = draw();
    const list = world.outcomes[state];
    const { next, reward } = list.find(({ p }) => (left -= p) < 0) ?? list[list.length - 1];
    steps.push({ state, reward, next });
    state = next < 0 ? world.start : next;
  }
  return steps;
}

/** Columns of a prompt: a source for each step, a landing if the last walk goes on, then a query for each state.
 * Each column: {state, reward, source, continues}. Memories of layer 0 are zeros. */
export function buildPrompt(steps, S) {
  const columns = steps.map(({ state, reward, next }) => ({ state, reward, source: true, continues: next >= 0 }));
  const asks = (state) => ({ state, reward: 0, source: false, continues: false });
  const last = steps[steps.length - 1];
  if (last.next >= 0) columns.push(asks(last.next));
  const queries = Array.from({ length: S }, (_, s) => asks(s));
  return { columns: [...columns, ...queries], firstQuery: columns.length };
}

/** E[i][j] = exp(beta <x_i, x_j>) over its sum down column j; queries and landings are no source. features: a row for
 * each state. broken: "unmask" lets every column teach; "axis" normalises along each row instead. */
export function attention({ columns }, features, beta, broken = new Set()) {
  const state = columns.map((column) => column.state);
  const score = features.map((x) => features.map((y) => beta * x.reduce((sum, entry, k) => sum + entry * y[k], 0)));
  const C = columns.length;
  const E = Array.from({ length: C }, () => new Float64Array(C));
  const teaches = columns.map(({ source }) => source || broken.has("unmask"));
  for (let k = 0; k < C; k++) {
    if (broken.has("axis") && teaches[k]) softmax(state.map((s) => score[state[k]][s])).forEach((w, j) => (E[k][j] = w));
    if (broken.has("axis")) continue;
    const same = state.indexOf(state[k]); // who is in the same state hears the same
    if (same < k) for (let i = 0; i < C; i++) E[i][k] = E[i][same];
    else softmax(state.map((s, i) => (teaches[i] ? score[s][state[k]] : -Infinity))).forEach((w, i) => (E[i][k] = w));
  }
  return E;
}

function softmax(scores) {
  const most = Math.max(...scores);
  const weights = scores.map((g) => Math.exp(g - most));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / sum);
}

/** Z_0 to Z_L, as memories {target, value} of every column (rewards stay). block "shift": the new values, moved one
 * column to the left, refill target memory; "dual": a second head adds the moved writes to it.
 * broken: "shift" leaves target memory alone; "sign" writes the error with a minus; "ends" bootstraps through an end. */
export function layers({ columns }, E, { gamma, alpha, L, block = "shift", broken = new Set() }) {
  const C = columns.length;
  const step = broken.has("sign") ? -alpha : alpha;
  const carry = columns.map(({ source, continues }) => (continues || (source && broken.has("ends")) ? gamma : 0));
  const teaching = E.map((weights) => weights.some((w) => w > 0));
  const state = columns.map((column) => column.state);
  const same = state.map((s) => state.indexOf(s)); // who is in the same state hears the same: one sum a state
  const hearing = [...new Set(same)];
  const trace = [{ target: new Float64Array(C), value: new Float64Array(C) }];
  for (let l = 0; l < L; l++) {
    const { target, value } = trace[l];
    const write = new Float64Array(C);
    for (let i = 0; i < C; i++) {
      const [weights, delta] = [E[i], columns[i].reward + target[i] - value[i]];
      if (teaching[i]) for (const j of hearing) write[j] += weights[j] * delta;
    }
    for (let j = 0; j < C; j++) write[j] = write[same[j]];
    const next = { target: Float64Array.from(target), value: value.map((v, j) => v + step * write[j]) };
    if (!broken.has("shift"))
      for (let j = 0; j < C; j++) {
        const moved = j + 1 < C ? carry[j] : 0;
        if (block === "dual") next.target[j] += moved * step * (write[j + 1] ?? 0);
        else next.target[j] = moved * (next.value[j + 1] ?? 0);
      }
    trace.push(next);
  }
  return trace;
}

/** The root of the mean squared difference, over the states that `counts` selects. */
export function rms(a, b, counts) {
  let [sum, n] = [0, 0];
  for (let s = 0; s < a.length; s++)
    if (counts[s] > 0) {
      sum += (a[s] - b[s]) ** 2;
      n += 1;
    }
  return Math.sqrt(sum / n);
}

/** All that the pictures show, from the dials: one call a redraw. */
export function run({ world, features, n, seed, gamma, alpha, beta, L, block, broken = [] }) {
  const S = world.outcomes.length;
  const x = features ?? Array.from({ length: S }, (_, s) => zeros(S).map((_, t) => (s === t ? 1 : 0)));
  const steps = sampleWalk(world, n, seed);
  const prompt = buildPrompt(steps, S);
  const faults = new Set(broken);
  const E = attention(prompt, x, beta, faults);
  const trace = layers(prompt, E, { gamma, alpha, L, block, broken: faults });
  const visits = visitsOf(steps, S);
  const exact = exactValue(world, gamma);
  const seen = seenValue(steps, S, gamma);
  const answers = trace.map(({ value }) => Array.from(value.subarray(prompt.firstQuery)));
  const tabular = tabularTD(steps, S, gamma, alpha, L);
  const errors = (list) => list.map((v) => rms(v, exact, visits));
  return { steps, prompt, E, trace, visits, exact, seen, answers, errors: errors(answers), tabular: errors(tabular) };
}
