// A player of the site: the course's own dials (dials.js) with stored frames in the place of a kernel. Each page holds
// the texts of its frames; the pictures are files, loaded when they are asked for, and those next to it beforehand.
// Nothing is fetched but pictures, so that a page works from a folder without a server.

/** The number of the frame that stands at the dials' values; the last dial moves fastest. */
function frameAt(dials, values) {
  return Object.entries(dials).reduce((k, [name, dial]) => k * dial.grid.length + dial.grid.indexOf(values[name]), 0);
}

/** The values of the frames next to this one: one place along each dial, every other option of a choice. */
function neighbours(dials, values) {
  return Object.entries(dials).flatMap(([name, { kind, grid }]) => {
    const at = grid.indexOf(values[name]);
    const places = kind === "choice" ? grid : [grid[at - 1], grid[at + 1]];
    return places.filter((place) => place !== undefined && place !== values[name]).map((place) => ({ ...values, [name]: place }));
  });
}

/** Pictures by address, each asked for once; one that could not be loaded is asked for again. */
function pictures() {
  const asked = new Map();
  return (address) => {
    if (!asked.has(address)) {
      const image = new Image();
      image.src = address;
      asked.set(address, image.decode().then(() => image));
      asked.get(address).catch(() => asked.delete(address));
    }
    return asked.get(address);
  };
}

/** What dials.js takes for its model: it answers with frames. `ahead` loads the neighbours of what is shown. */
function stored({ folder, dials, values, frames, size }) {
  const load = pictures();
  const heard = [];
  const address = (at) => `${folder}/${frameAt(dials, at)}.webp`;
  const shown = (at, asked, error = "") => {
    const [alt, numbers, cuts] = frames[frameAt(dials, at)];
    return { picture: error ? "" : address(at), size, cuts, alt, numbers, error, asked };
  };
  const traits = {
    dials, values, asked: 0, pressed: 0, button: "", status: "", view: shown(values, 0),
    silence: "This picture takes long to load. Move on, or wait.",
  };
  const ahead = () => neighbours(dials, traits.values).forEach((at) => load(address(at)).catch(() => {})); // said when it is shown
  const say = (view) => {
    traits.view = view;
    heard.filter(([names]) => names.includes("change:view")).forEach(([, call]) => call());
  };
  const answer = () => {
    const { values: at, asked } = traits;
    const missing = `The picture of this place could not be loaded (${address(at).split("/").at(-1)}); its numbers stand here.`;
    load(address(at)).then(() => say(shown(at, asked)), () => say(shown(at, asked, missing))).then(ahead);
  };
  return {
    get: (name) => traits[name],
    set: (name, value) => { traits[name] = value; },
    save_changes: answer,
    on: (names, call) => heard.push([names.split(" "), call]),
    off: () => {},
    ahead,
  };
}

/** What scrolls sideways can be reached by keyboard, and only then. */
function reachable(box) {
  const tell = () => box.scrollWidth > box.clientWidth ? box.setAttribute("tabindex", "0") : box.removeAttribute("tabindex");
  new ResizeObserver(tell).observe(box);
}

/** Put the dials in the place of the first picture, which stands in the page for readers without JavaScript. */
function play(root) {
  const data = JSON.parse(root.querySelector("script").textContent);
  const el = root.querySelector(".icrl-stage");
  const model = stored(data);
  widget.render({ model, el });
  const picture = el.querySelector(".icrl-view");
  const frame = element("div", { class: "icrl-frame", role: "group", "aria-label": "Picture; it scrolls sideways on a narrow screen" });
  picture.replaceWith(frame);
  frame.append(picture);
  [frame, el.querySelector("pre")].forEach(reachable);
  const watch = new IntersectionObserver((seen) => {
    if (!seen.some((each) => each.isIntersecting)) return;
    watch.disconnect();
    model.ahead();
  });
  watch.observe(root);
}

document.querySelectorAll(".icrl-player").forEach(play);
