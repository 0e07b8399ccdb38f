// The Explorer: a world, a walk, the prompt it becomes, and what a frozen network makes of it, layer by layer.
// All numbers come from core.js; this file only shows them. The same module is a widget in JupyterLab (the default
// export) and a page of the site (`mount`).
import { MOVES, boyan, corridor, lake, loop, run } from "./core.js";

const LAKE = { rows: ["S...", ".H.H", "....", "H..G"], arrows: ["??v?", "??v?", "?>?v", "?>>?"] };
export const DEFAULTS = {
  world: "lake", ...LAKE, slip: 0, n: 120, seed: 1, gamma: 0.9, alpha: 1, beta: 6, L: 64, layer: 64,
  column: 0, block: "shift", broken: [], tour: "", step: 0, short: false,
};
const WORLDS = { lake: "a lake that you draw", corridor: "a corridor", loop: "a loop", boyan: "a Boyan chain" };
const KINDS = { ".": "ice", "#": "wall", H: "hole", G: "goal", S: "start" };
const TOOLS = {
  look: "looks at it", arrow: "turns its arrow", G: "makes a goal, +1", H: "makes a hole, −1", "#": "makes a wall",
  S: "makes it the start", ".": "makes it ice again",
};
const FAULTS = {
  unmask: "let the query teach", axis: "turn the softmax", shift: "forget the shift", sign: "flip the sign",
  ends: "look beyond an end",
};
const DIALS = [
  // name, label, least, most, step
  ["n", "steps, n", 1, 200, 1],
  ["seed", "walk (seed)", 1, 99, 1],
  ["gamma", "discount, gamma", 0, 0.99, 0.01],
  ["alpha", "step size, alpha", 0.05, 2, 0.05],
  ["beta", "sharpness, beta", 0, 20, 0.1],
  ["slip", "slip of the ice", 0, 0.8, 0.05],
];
const TOURS = {
  news: {
    title: "News moves back",
    steps: [
      ["A corridor of six states. Only leaving the last one pays, and it pays 1.", { world: "corridor", n: 24, gamma: 0.9, beta: 20, alpha: 1, layer: 0, broken: [] }],
      ["Layer 0: every value is 0. Nothing has been heard.", { layer: 0 }],
      ["Layer 1: only the last state knows of the reward.", { layer: 1 }],
      ["Layer 2: its neighbour heard of it, times gamma. News moves back one state a layer.", { layer: 2 }],
      ["Layer 6: the first state knows. Its value is gamma to the fifth.", { layer: 6 }],
      ["No weight has changed. What moved is the memory in the columns.", { layer: 64 }],
    ],
  },
  sharp: {
    title: "Sharp against blunt",
    steps: [
      ["A loop of six states, 120 steps of it.", { world: "loop", n: 120, gamma: 0.8, alpha: 1, beta: 6, layer: 64, broken: [] }],
      ["Sharp, beta 20: each state hears only its own past. The curve is that of tabular TD.", { beta: 20 }],
      ["Beta 3: a state hears a little of the others. The first layers are slower; watch the curve.", { beta: 3 }],
      ["Beta 1: everyone hears nearly everyone. Differences between states come late.", { beta: 1 }],
      ["Beta 0: all hear the average, so all get one value for ever.", { beta: 0 }],
      ["Beta 6 again. Choose a column of the prompt and look at the arcs: who is heard?", { beta: 6, column: 60 }],
    ],
  },
  mask: {
    title: "Why the mask",
    steps: [
      ["A walk on the lake. The last columns are queries: one for each square.", { world: "lake", ...LAKE, n: 120, beta: 6, alpha: 1, gamma: 0.9, layer: 64, broken: [] }],
      ["A query has no reward and no successor: it may ask, but has nothing to teach.", { column: 119 }],
      ["Now let the queries teach. Each says of itself: reward 0, and then nothing.", { broken: ["unmask"] }],
      ["Every value is pulled to 0. Compare the two maps.", { layer: 64 }],
      ["The mask is back. The query listens, and stays silent.", { broken: [] }],
      ["Another fault, another sign: without the shift no news moves, only rewards are averaged.", { broken: ["shift"] }],
    ],
  },
};

// ------------------------------------------------------------------------------------------------------------ helpers

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  // JupyterLab would take the keys of what has the focus for its own: arrows move between cells.
  if (["input", "button", "summary"].includes(tag)) node.setAttribute("data-lm-suppress-shortcuts", "true");
  node.append(...children.filter((child) => child !== undefined));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";
function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Set a text only where it differs: what stays the same need not be laid out again. */
function say(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

const shown = (x) => (Math.abs(x) < 0.005 ? "0.00" : Math.abs(x) >= 1000 ? x.toExponential(1) : x.toFixed(2)).replace("-", "−");

/** Blue below 0, orange above, and a text colour that can be read on it. */
function colours(value, most, dark) {
  const share = Math.min(1, Math.abs(value) / (most || 1));
  const [r, g, b] = value < 0 ? [0, 114, 178] : [213, 94, 0];
  const ground = dark ? [28, 30, 34] : [255, 255, 255];
  const mix = [r, g, b].map((c, k) => Math.round(ground[k] + (c - ground[k]) * 0.75 * share));
  const light = 0.299 * mix[0] + 0.587 * mix[1] + 0.114 * mix[2];
  return [`rgb(${mix.join(",")})`, light > 125 ? "#111" : "#fff"];
}

function worldOf(state) {
  if (state.world === "corridor") return corridor(6);
  if (state.world === "lake") return lake(state.rows, state.arrows, state.slip);
  return (state.world === "loop" ? loop : boyan)(6, 7);
}

/** What a user or an address gave, with every part that is missing or odd replaced by its default. */
export function settled(given) {
  const state = { ...DEFAULTS, ...given };
  for (const [name, , least, most] of [...DIALS, ["L", "", 1, 64], ["layer", "", 0, 64], ["column", "", 0, 400], ["step", "", 0, 5]]) {
    const value = Number(state[name]);
    state[name] = Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : DEFAULTS[name];
    if (!["gamma", "alpha", "beta", "slip"].includes(name)) state[name] = Math.round(state[name]);
  }
  const drawn = (rows, letters) => Array.isArray(rows) && rows.length > 0 && rows.length <= 8 &&
    rows.every((row) => typeof row === "string" && row.length === rows[0].length && row.length > 0 && row.length <= 8 && [...row].every((c) => letters.includes(c)));
  const fits = drawn(state.rows, ".#HGS") && drawn(state.arrows, "?^>v<") && state.rows.length === state.arrows.length &&
    state.rows[0].length === state.arrows[0].length && /[.S]/.test(state.rows.join(""));
  if (!fits) Object.assign(state, LAKE);
  if (!(state.world in WORLDS)) state.world = DEFAULTS.world;
  if (!(state.tour in TOURS)) state.tour = "";
  state.block = state.block === "dual" ? "dual" : "shift";
  state.short = String(state.short) === "true";
  state.broken = Array.isArray(state.broken) ? state.broken.filter((name) => name in FAULTS) : [];
  return state;
}

// ------------------------------------------------------------------------------------------------------------- the page

let made = 0;

/** Show the Explorer in `root`. `changed(state)` hears of every change. Returns {set, get, ran}. */
export function mount(root, given = {}, changed = () => {}) {
  const id = `icrl-${++made}`;
  let state = settled(given);
  let world;
  let ran;
  let playing = 0;
  let tool = state.short ? "G" : "look";
  const controls = {};
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

  function range(name, label, least, most, step) {
    const output = element("span", { class: "icrl-said" });
    const input = element("input", {
      type: "range", id: `${id}-${name}`, min: least, max: most, step,
      oninput: () => set({ [name]: Number(input.value) }),
    });
    const row = element("div", { class: "icrl-dial" }, element("label", { for: input.id }, label), input, output);
    controls[name] = () => {
      input.value = state[name];
      say(output, Number.isInteger(step) ? state[name] : state[name].toFixed(2));
    };
    return row;
  }

  function radios(name, legend, options, current, choose) {
    const inputs = Object.entries(options).map(([value, label]) => {
      const input = element("input", { type: "radio", name: `${id}-${name}`, value, onchange: () => choose(value) });
      return [input, element("label", {}, input, ` ${label}`)];
    });
    controls[name] = () => inputs.forEach(([input]) => (input.checked = input.value === current()));
    return element("fieldset", {}, element("legend", {}, legend), ...inputs.map(([, label]) => label));
  }

  const map = element("div", { class: "icrl-map" });
  const maps = element("div", { class: "icrl-maps" });
  const canvas = element("canvas", { role: "img", class: "icrl-prompt" });
  const chart = svg("svg", { viewBox: "0 0 320 170", role: "img", class: "icrl-chart" });
  const card = element("p", { class: "icrl-card", "aria-live": "polite" });
  const table = element("table", {});
  const twin = element("details", { class: "icrl-twin", ontoggle: () => drawTable() }, element("summary", {}, "The same as a table"), table);
  const play = element("button", { type: "button", onclick: () => (playing ? stop() : start()) }, "Play");
  const told = element("p", { class: "icrl-told", "aria-live": "polite" });
  const tourText = element("p", { class: "icrl-tour", "aria-live": "polite" });
  const lakeTools = radios("tool", "A click on a square", TOOLS, () => tool, (value) => { tool = value; });
  const extra = element("details", {}, element("summary", {}, "Draw the lake"),
    element("button", { type: "button", onclick: () => resize(1) }, "Larger"), " ",
    element("button", { type: "button", onclick: () => resize(-1) }, "Smaller"), " ",
    element("button", { type: "button", onclick: () => set({ ...LAKE }) }, "As it was"));

  const tours = element("div", { class: "icrl-tours" },
    radios("tour", "A guided tour", { "": "none", ...Object.fromEntries(Object.entries(TOURS).map(([k, t]) => [k, t.title])) }, () => state.tour, (tour) => go(tour, 0)),
    tourText,
    element("button", { type: "button", class: "icrl-back", onclick: () => go(state.tour, state.step - 1) }, "Back"), " ",
    element("button", { type: "button", class: "icrl-next", onclick: () => go(state.tour, state.step + 1) }, "Next"));
  const arrows = element("span", {}, "An arrow: where the walker goes from there; without one, anywhere. ");
  const answers = element("div", { class: "icrl-part" },
    element("h3", {}, "What the network answers, after ", element("span", { class: "icrl-layer" })), map,
    element("p", { class: "icrl-small" }, arrows, "A dotted frame: a state that the walk never left, so its answer is a guess."),
    range("layer", "layers", 0, 64, 1),
    element("p", {}, play, " ", element("button", { type: "button", onclick: () => set({ layer: (state.layer + 1) % 65 }) }, "One layer on")));
  const inside = element("div", { class: "icrl-part" },
    element("h3", {}, "The prompt: a column for each step, then the queries"), canvas,
    range("column", "column", 0, 1, 1), card,
    element("h3", {}, "Error by depth (root mean square)"), chart);
  const settings = element("div", { class: "icrl-controls" },
    radios("world", "World", WORLDS, () => state.world, (world) => set({ world, layer: 64 })),
    element("fieldset", {}, element("legend", {}, "Dials"), ...DIALS.map((dial) => range(...dial))),
    faults());
  const measure = "Error: the root mean square distance from the exact values, over the states that the walk left.";
  const lead = element("p", { class: "icrl-lead" }, "A frozen network reads a walk and says what each state is worth. ",
    element("strong", {}, "Weights changed: 0."));

  /** Short: the lake, its tools and the layers at once, all else folded. */
  function short() {
    const more = element("details", {}, element("summary", {}, "More: the prompt and who listens to whom, dials, faults, guided tours"), tours, inside, settings, twin);
    return [lead, element("div", { class: "icrl-columns" }, answers, element("div", { class: "icrl-part" }, lakeTools, told, element("p", { class: "icrl-small" }, measure), maps)), more];
  }

  function long() {
    answers.append(maps);
    extra.insertBefore(lakeTools, extra.children[1]);
    settings.append(extra);
    return [lead, tours, element("div", { class: "icrl-columns" }, answers, inside), settings, twin];
  }

  root.replaceChildren(element("section", { class: "icrl", "aria-label": "Explorer: a frozen network reads a walk" }, ...(state.short ? short() : long())));

  function faults() {
    const boxes = Object.entries(FAULTS).map(([name, label]) => {
      const box = element("input", { type: "checkbox", onchange: () =>
        set({ broken: box.checked ? [...state.broken, name] : state.broken.filter((each) => each !== name) }) });
      controls[`fault-${name}`] = () => (box.checked = state.broken.includes(name));
      return element("label", {}, box, ` ${label}`);
    });
    return element("fieldset", {}, element("legend", {}, "Break it"), ...boxes);
  }

  function go(tour, step) {
    if (!tour) return set({ tour: "", step: 0 });
    const to = Math.min(TOURS[tour].steps.length - 1, Math.max(0, step));
    const patches = TOURS[tour].steps.slice(0, to + 1).map(([, patch]) => patch);
    set(Object.assign({ tour, step: to }, ...patches));
  }

  function resize(by) {
    const size = Math.min(8, Math.max(2, state.rows.length + by));
    const grown = (rows, fill) => Array.from({ length: size }, (_, y) => Array.from({ length: size }, (_, x) => rows[y]?.[x] ?? fill).join(""));
    const rows = grown(state.rows, ".");
    if (/[.S]/.test(rows.join(""))) set({ rows, arrows: grown(state.arrows, "?") });
  }

  function start() {
    if (calm) return set({ layer: 64 });
    if (state.layer >= 64) set({ layer: 0 });
    play.textContent = "Pause";
    playing = setInterval(() => (state.layer >= 64 ? stop() : set({ layer: state.layer + 1 })), 250);
  }

  function stop() {
    clearInterval(playing);
    playing = 0;
    play.textContent = "Play";
  }

  // ------------------------------------------------------------------------------------------------------- drawing

  let night = false; // read once a drawing: each reading makes the browser settle its styles
  const dark = () => {
    const [r, g, b] = (getComputedStyle(root).color.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number); // none before it is on a page
    return r + g + b > 380;
  };

  function press(y, x, s) {
    const change = (rows, letter) => rows.map((row, i) => (i === y ? row.slice(0, x) + letter + row.slice(x + 1) : row));
    if (tool === "arrow") {
      const turns = "?" + Object.keys(MOVES).join("");
      set({ arrows: change(state.arrows, turns[(turns.indexOf(state.arrows[y][x]) + 1) % turns.length]) });
    } else if (tool !== "look") {
      const cleared = tool === "S" ? state.rows.map((row) => row.replace("S", ".")) : state.rows;
      const rows = change(cleared, tool === state.rows[y][x] ? "." : tool); // a second click takes it away
      if (/[.S]/.test(rows.join(""))) set({ rows });
    } else if (s >= 0) set({ column: ran.prompt.firstQuery + s });
  }

  /** A map of the world, with a value in each state; `press` makes its cells buttons. */
  function fillMap(target, values, most, interactive) {
    const isLake = state.world === "lake";
    const cells = isLake ? state.rows.flatMap((row, y) => [...row].map((kind, x) => [kind, y, x])) : world.names.map((_, s) => [".", 0, s]);
    const number = new Map((world.cells ?? world.names.map((_, s) => [0, s])).map(([y, x], s) => [`${y},${x}`, s]));
    target.style.gridTemplateColumns = `repeat(${isLake ? state.rows[0].length : cells.length}, 1fr)`;
    const here = ran.prompt.columns[state.column].state;
    while (target.children.length > cells.length) target.lastChild.remove();
    cells.forEach(([kind, y, x], k) => {
      let cell = target.children[k];
      if (!cell) {
        cell = interactive ? element("button", { type: "button" }) : element("div");
        target.append(cell);
      }
      const s = number.get(`${y},${x}`) ?? -1;
      const arrow = isLake && s >= 0 ? state.arrows[y][x].replace("?", "").replace("^", "↑").replace(">", "→").replace("v", "↓").replace("<", "←") : "";
      const name = isLake ? `row ${y + 1}, column ${x + 1}` : `state ${x}`;
      const told = s >= 0 && ran.visits[s] > 0;
      const text = s >= 0 ? (values === ran.seen && !told ? "?" : shown(values[s])) : { "#": "▦", H: "hole −1", G: "goal +1" }[kind];
      const [ground, ink] = colours(s >= 0 ? values[s] : 0, most, night);
      cell.style.background = kind === "#" ? "var(--icrl-line)" : ground;
      cell.style.color = ink;
      cell.className = `${s === here && interactive ? "icrl-here" : ""} ${s >= 0 && !told && values !== ran.exact ? "icrl-guess" : ""}`;
      const label = kind === "S" ? "start " : isLake ? "" : `${x}: `;
      const visible = `${label}${text}${interactive && arrow ? ` ${arrow}` : ""}`;
      say(cell, visible);
      if (interactive) {
        // what one sees is part of the name, so that it can be asked for by voice
        cell.setAttribute("aria-label", `${name}, ${KINDS[kind]}${s >= 0 ? ", value" : ""}: ${visible}${s >= 0 && !told ? ", never left: a guess" : ""}`);
        cell.onclick = () => press(y, x, s);
      }
    });
  }

  function drawMaps() {
    const most = Math.max(0.1, ...ran.exact.map(Math.abs));
    fillMap(map, ran.answers[state.layer], most, true);
    const others = [["exact", "Exact values of the world", ran.exact], ["seen", "What the walk alone can tell", ran.seen]];
    if (!maps.children.length)
      others.forEach(([name, title]) => maps.append(element("figure", {}, element("figcaption", {}, title), element("div", { class: `icrl-map icrl-${name}` }))));
    others.forEach(([, , values], k) => fillMap(maps.children[k].lastChild, values, most, false));
  }

  function drawPrompt() {
    const { columns, firstQuery } = ran.prompt;
    const [C, { target, value }] = [columns.length, ran.trace[state.layer]];
    const ratio = window.devicePixelRatio || 1;
    const [width, arcs, high] = [canvas.clientWidth || 640, 70, 22];
    canvas.width = width * ratio;
    canvas.height = (arcs + 4 * high + 4) * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const left = 62;
    const step = (width - left) / C;
    const most = (list) => Math.max(0.1, ...Array.from(list, Math.abs));
    const rows = [
      ["state", columns.map(({ state: s }) => s), null], ["reward", columns.map((c) => c.reward)],
      ["target", target], ["value", value],
    ];
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const ink = night ? "#eee" : "#222";
    const scale = Math.max(most(ran.exact), most(rows[1][1]));
    rows.forEach(([name, list, isState], k) => {
      const y = arcs + k * high;
      pen.fillStyle = ink;
      pen.fillText(name, 0, y + high / 2);
      for (let j = 0; j < C; j++) {
        pen.fillStyle = isState === null ? `hsl(${(list[j] * 137) % 360} 45% ${night ? 40 : 72}%)` : colours(list[j], scale, night)[0];
        pen.fillRect(left + j * step, y, Math.max(0.5, step - (step > 4 ? 1 : 0)), high - 2);
      }
    });
    pen.strokeStyle = ink;
    pen.lineWidth = 1;
    pen.strokeRect(left + firstQuery * step, arcs - 1, (C - firstQuery) * step, 4 * high);
    const at = (j) => left + (j + 0.5) * step;
    pen.strokeStyle = night ? "#56b4e9" : "#0072b2";
    for (let i = 0; i < C; i++) {
      const weight = ran.E[i][state.column];
      if (weight < 0.002) continue;
      pen.lineWidth = Math.min(9, 0.4 + 24 * weight);
      pen.globalAlpha = Math.min(1, 0.35 + 4 * weight);
      pen.beginPath();
      pen.moveTo(at(i), arcs - 2);
      pen.quadraticCurveTo((at(i) + at(state.column)) / 2, arcs - 2 - Math.min(130, 20 + Math.abs(at(i) - at(state.column)) / 2), at(state.column), arcs - 2);
      pen.stroke();
    }
    pen.globalAlpha = 1;
    pen.lineWidth = 2;
    pen.strokeStyle = ink;
    pen.strokeRect(left + state.column * step - 1, arcs - 1, step + 2, 4 * high);
    canvas.setAttribute("aria-label", `The prompt: ${C} columns, ${firstQuery} of the walk and ${C - firstQuery} queries. ${card.textContent}`);
  }

  function tell() {
    const { columns, firstQuery } = ran.prompt;
    const j = state.column;
    const { state: s, reward, source, continues } = columns[j];
    const { target, value } = ran.trace[state.layer];
    const heard = ran.E.map((row, i) => [row[j], i]).filter(([w]) => w > 0).sort((a, b) => b[0] - a[0]);
    const same = heard.filter(([, i]) => columns[i].state === s).reduce((sum, [w]) => sum + w, 0);
    const kind = j >= firstQuery ? "a query" : source ? `step ${j + 1} of the walk` : "where the walk stopped";
    const after = !source ? "It has no reward and no successor, so it asks and does not teach." :
      continues ? `Target memory ${shown(target[j])} is gamma ${state.gamma.toFixed(2)} times ${shown(value[j + 1])}, the value of the next column.` :
      "The walk ended here: nothing follows, target memory stays 0.";
    say(card, `Column ${j}, ${kind}: ${names()[s]}. ${source ? `Reward ${shown(reward)}. ` : ""}Value memory ${shown(value[j])}. ${after} ` +
      `TD error ${shown(reward + target[j] - value[j])}. It hears ${heard.length} columns, ${Math.round(100 * same)} % of the weight from columns of its own state.`);
  }

  const names = () => world.names.map((name) => (state.world === "lake" ? name : `state ${name}`));

  function drawChart() {
    const [errors, tabular] = [ran.errors, ran.tabular];
    const finite = [...errors, ...tabular].filter(Number.isFinite);
    const top = Math.min(Math.max(...finite), 4 * Math.max(errors[0], 0.01));
    const [x, y] = [(l) => 40 + (l / 64) * 270, (e) => 135 - 120 * Math.min(1.05, (Number.isFinite(e) ? e : 9e9) / top)];
    const line = (list) => list.map((e, l) => `${l ? "L" : "M"}${x(l).toFixed(1)} ${y(e).toFixed(1)}`).join("");
    const text = (tx, ty, words, anchor = "start") => { const node = svg("text", { x: tx, y: ty, "text-anchor": anchor }); node.textContent = words; return node; };
    chart.replaceChildren(
      svg("path", { d: "M40 15V135H310", class: "icrl-axis" }),
      svg("path", { d: line(tabular), class: "icrl-tabular" }), svg("path", { d: line(errors), class: "icrl-network" }),
      svg("circle", { cx: x(state.layer), cy: y(errors[state.layer]), r: 4, class: "icrl-dot" }),
      text(36, 20, shown(top), "end"), text(36, 138, "0", "end"), text(40, 150, "0"), text(310, 150, "64 layers", "end"),
      text(40, 166, "— network"), text(130, 166, "┄ tabular TD, as many iterations"));
    chart.setAttribute("aria-label", `Error by depth. Network: ${shown(errors[0])} before the first layer, ${shown(errors[state.layer])} after ${state.layer}, ${shown(errors[64])} after 64. Tabular TD after 64: ${shown(tabular[64])}.`);
  }

  function drawTable() {
    const cells = (tag, list) => element("tr", {}, ...list.map((text, k) => element(k === 0 ? "th" : tag, k === 0 ? { scope: "row" } : {}, String(text))));
    const head = element("tr", {}, ...["state", "visits", `network, ${state.layer} layers`, "exact", "as seen"].map((text) => element("th", { scope: "col" }, text)));
    table.replaceChildren(element("caption", {}, "Values"), head, ...names().map((name, s) =>
      cells("td", [name, ran.visits[s], shown(ran.answers[state.layer][s]), shown(ran.exact[s]), ran.visits[s] ? shown(ran.seen[s]) : "?"])));
  }

  function draw(again) {
    if (again || !ran) {
      world = worldOf(state);
      ran = run({ ...state, L: 64, world });
    }
    night = dark();
    const C = ran.prompt.columns.length;
    state.column = Math.min(state.column, C - 1);
    root.querySelector(`#${id}-column`).max = C - 1;
    for (const update of Object.values(controls)) update();
    say(root.querySelector(".icrl-layer"), state.layer === 1 ? "1 layer" : `${state.layer} layers`);
    extra.hidden = lakeTools.hidden = arrows.hidden = state.world !== "lake";
    maps.classList.toggle("icrl-rows", state.world !== "lake");
    say(told, `A walk of ${state.n} steps. Error of the answers: ${shown(ran.errors[0])} before the first layer, ${shown(ran.errors[state.layer])} after ${state.layer}.`);
    const tour = TOURS[state.tour];
    for (const name of ["back", "next"]) root.querySelector(`.icrl-${name}`).hidden = !tour;
    tourText.hidden = !tour;
    say(tourText, tour ? `${state.step + 1} of ${tour.steps.length}. ${tour.steps[state.step][0]}` : "");
    for (const [name, off] of [["back", !tour || state.step === 0], ["next", !tour || state.step === tour.steps.length - 1]])
      root.querySelector(`.icrl-${name}`).setAttribute("aria-disabled", off);
    drawMaps();
    tell();
    drawPrompt();
    drawChart();
    if (twin.open) drawTable();
  }

  function set(patch, quietly = false) {
    const before = state;
    state = settled({ ...state, ...patch });
    draw(["world", "rows", "arrows", "slip", "n", "seed", "gamma", "alpha", "beta", "block", "broken"].some((name) => JSON.stringify(before[name]) !== JSON.stringify(state[name])));
    if (!quietly) changed({ ...state });
  }

  canvas.addEventListener("pointermove", (event) => {
    const j = Math.floor(((event.offsetX - 62) / (canvas.clientWidth - 62)) * ran.prompt.columns.length);
    if (j >= 0 && j < ran.prompt.columns.length && j !== state.column) set({ column: j });
  });
  const sized = new ResizeObserver(() => (night === dark() ? drawPrompt() : draw()));
  for (const node of [root, canvas]) sized.observe(node); // it came onto a page, was unfolded, or has another width
  const lit = new MutationObserver(() => draw()); // the theme of JupyterLab or of the site
  for (const node of [document.documentElement, document.body]) lit.observe(node, { attributeFilter: ["data-theme", "data-jp-theme-light"] });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => draw();
  scheme.addEventListener("change", redraw);
  draw(true);
  return { set, get: () => ({ ...state }), ran: () => ran, stop: () => { stop(); sized.disconnect(); lit.disconnect(); scheme.removeEventListener("change", redraw); } };
}

/** The state in the address, so that what one sees can be sent: only what differs from the default. */
export function fromAddress(hash) {
  const given = {};
  for (const [name, text] of new URLSearchParams(hash.replace(/^#/, "")))
    if (name in DEFAULTS) given[name] = Array.isArray(DEFAULTS[name]) ? text.split(",").filter(Boolean) : text;
  return settled(given);
}

export function toAddress(state) {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(state))
    if (String(value) !== String(DEFAULTS[name])) parts.set(name, String(value));
  return parts.toString();
}

/** The widget of JupyterLab: its trait `state` and the page are one, both ways. */
export default {
  render({ model, el }) {
    const view = mount(el, model.get("state"), (state) => {
      model.set("state", state);
      model.save_changes();
    });
    const heard = () => JSON.stringify(model.get("state")) !== JSON.stringify(view.get()) && view.set(model.get("state"), true);
    model.on("change:state", heard);
    return () => {
      view.stop();
      model.off("change:state", heard);
    };
  },
};
