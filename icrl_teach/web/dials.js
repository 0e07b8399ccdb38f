// Dials above a picture, in the browser's own controls: what is moved goes to the kernel, which answers with a picture,
// its alternative text and its numbers. While it draws, only the newest position waits: a drag never piles up.
// On the site no kernel runs: there stored frames answer, and a dial has the places of its `grid` alone.

const PATIENCE = 30000; // milliseconds without any answer after which the kernel is said to be silent
const NARROW = 720; // pixels: in less room, panels stand below each other
let made = 0;

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  // JupyterLab would take the arrow keys of what has the focus for its own: they move between cells.
  if (["input", "button"].includes(tag)) node.setAttribute("data-lm-suppress-shortcuts", "true");
  node.append(...children);
  return node;
}

/** A number as its dial says it: whole, or with as many digits as its step has. */
export function said(dial, value) {
  if (dial.kind === "log") return Number(value.toPrecision(3)).toString();
  const digits = (String(dial.step).split(".")[1] ?? "").length;
  return value.toFixed(digits);
}

/** What the track of a dial holds for a value, and back: a place of its grid, a step of a log dial, else the value. */
export function valueAt(dial, position) {
  if (dial.grid) return dial.grid[position];
  return dial.kind === "log" ? dial.least * (dial.most / dial.least) ** (position / dial.step) : position;
}

export function positionOf(dial, value) {
  if (dial.grid) return dial.grid.indexOf(value);
  return dial.kind === "log" ? Math.round((dial.step * Math.log(value / dial.least)) / Math.log(dial.most / dial.least)) : value;
}

/** Least, most and step of a dial's track. */
function track(dial) {
  if (dial.grid) return [0, dial.grid.length - 1, 1];
  return dial.kind === "log" ? [0, dial.step, 1] : [dial.least, dial.most, dial.step];
}

function range(name, dial, value, moved) {
  const id = `icrl-dial-${++made}`;
  const output = element("span", { class: "icrl-said" }, said(dial, value));
  const [min, max, step] = track(dial);
  const input = element("input", { type: "range", id, min, max, step });
  input.value = positionOf(dial, value);
  const tell = () => {
    const now = valueAt(dial, Number(input.value));
    output.textContent = said(dial, now);
    input.setAttribute("aria-valuetext", said(dial, now)); // a log dial would announce its position
    return now;
  };
  tell();
  input.addEventListener("input", () => moved(name, tell()));
  const place = (now) => {
    input.value = positionOf(dial, now);
    tell();
  };
  return [element("div", { class: "icrl-dial" }, element("label", { for: id }, dial.label), input, output), place];
}

function radios(name, dial, value, moved) {
  const group = `icrl-dial-${++made}`;
  const inputs = dial.options.map((label, k) => {
    const input = element("input", { type: "radio", name: group, value: k });
    input.checked = k === value;
    input.addEventListener("change", () => moved(name, k));
    return [input, element("label", {}, input, ` ${label}`)];
  });
  const place = (now) => inputs.forEach(([input], k) => (input.checked = k === now));
  return [element("fieldset", {}, element("legend", {}, dial.label), ...inputs.map(([, label]) => label)), place];
}

/** Put a view's picture into a box, a window on it for each panel: below each other where there is little room. */
function hang(box, { picture, alt, cuts = [], size = [1, 1] }) {
  const [width, height] = size;
  const ends = [0, ...cuts, width];
  while (box.children.length > cuts.length + 1) box.lastChild.remove();
  while (box.children.length <= cuts.length) box.append(element("img", { class: "icrl-picture" }));
  [...box.children].forEach((image, k) => {
    const wide = ends[k + 1] - ends[k];
    if (image.getAttribute("src") !== picture) image.src = picture;
    image.alt = k ? `Part ${k + 1} of ${cuts.length + 1} of the same picture.` : alt;
    [image.width, image.height] = [wide, height];
    image.style = cuts.length
      ? `flex: ${wide} 1 ${Math.min(wide, Math.round((NARROW * wide) / width))}px; max-width: min(100%, ${wide}px);
         aspect-ratio: ${wide} / ${height}; object-fit: cover; object-position: ${(100 * ends[k]) / (width - wide)}% 0`
      : "";
  });
}

export default {
  render({ model, el }) {
    const status = element("p", { role: "status", class: "icrl-status" });
    const picture = element("div", { class: "icrl-view" });
    const numbers = element("pre", { "aria-live": "polite" });
    const alarm = element("pre", { role: "alert" });
    const button = element("button", { type: "button" });
    let values = { ...model.get("values") };
    let waits = false; // for an answer
    let again = false; // moved meanwhile
    let timer = 0;

    const silent = () => {
      waits = false;
      status.textContent = model.get("silence") ?? "The kernel does not answer. If it was restarted, run this cell again.";
    };
    const ask = () => {
      if (waits) {
        again = true;
        return;
      }
      [waits, again] = [true, false];
      timer = setTimeout(silent, PATIENCE);
      model.set("values", values);
      model.set("asked", model.get("asked") + 1);
      model.save_changes();
    };
    const dials = Object.entries(model.get("dials")).map(([name, dial]) => {
      const make = dial.kind === "choice" ? radios : range;
      const [row, place] = make(name, dial, values[name], (moved, value) => {
        values = { ...values, [moved]: value };
        ask();
      });
      return { name, row, place };
    });
    const show = () => {
      const view = model.get("view");
      alarm.textContent = view.error;
      alarm.hidden = !view.error;
      picture.hidden = Boolean(view.error);
      numbers.hidden = !view.numbers;
      if (view.picture) hang(picture, view);
      if (numbers.textContent !== view.numbers) numbers.textContent = view.numbers;
      if (view.asked !== model.get("asked")) return;
      clearTimeout(timer);
      waits = false;
      tell(); // a kernel that was silent was only slow
      if (again) ask();
    };
    const tell = () => {
      button.textContent = model.get("button");
      button.hidden = !model.get("button");
      status.textContent = model.get("status");
    };
    const elsewhere = () => {
      values = { ...model.get("values") };
      dials.forEach(({ name, place }) => place(values[name]));
    };
    button.addEventListener("click", () => {
      model.set("pressed", model.get("pressed") + 1);
      model.save_changes();
    });
    model.on("change:view", show);
    model.on("change:button change:status", tell);
    model.on("change:values", elsewhere);
    el.replaceChildren(element("div", { class: "icrl-dials" }, ...dials.map(({ row }) => row), button, status, picture, numbers, alarm));
    show();
    tell();
    return () => {
      clearTimeout(timer);
      model.off("change:view", show);
      model.off("change:button change:status", tell);
      model.off("change:values", elsewhere);
    };
  },
};
