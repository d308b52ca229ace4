// Six drawing pads and the answer's bars. What is drawn lives here as strokes, `ink`: for each pad a list of strokes of
// points (x, y) from 0 to 1, or null while it shows the ready-made character. The kernel answers with `seen`, what the
// net sees, and `state`, what it says. ipywidgets sends the next drawing only when the last is answered: nothing queues.

const WAY = 5, SIZE = 28, PAUSE = 700; // PAUSE: milliseconds of quiet before the answer is read aloud
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HELP = "Draw with mouse, finger or pen. By keyboard: Tab goes to a pad, arrows move its pen (Shift: faster), Space puts the "
  + "pen down or up, Delete clears.";

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function render({ model, el }) {
  const look = model.get("look");
  let ink = structuredClone(model.get("ink")), sending = false, waiting = 0, reading = 0;

  function send() { // at most once a frame
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      sending = true;
      model.set("ink", structuredClone(ink));
      sending = false;
      model.save_changes();
    });
  }

  function image(i) { // 28 x 28 pixels on the book's ground
    const bytes = model.get("seen"), pixels = new ImageData(SIZE, SIZE);
    const [ground, dark] = [look.ground, look.ink].map(color => [1, 3, 5].map(k => parseInt(color.slice(k, k + 2), 16)));
    for (let p = 0; p < SIZE * SIZE; p++) {
      const share = bytes.getUint8(i * SIZE * SIZE + p) / 255;
      for (let c = 0; c < 3; c++) pixels.data[4 * p + c] = ground[c] + share * (dark[c] - ground[c]);
      pixels.data[4 * p + 3] = 255;
    }
    return pixels;
  }

  function pad(i, width) {
    const name = i < WAY ? `class ${i + 1}` : "new drawing", ratio = window.devicePixelRatio || 1;
    const canvas = make("canvas", { class: "pad", tabindex: 0, role: "application", "aria-roledescription": "drawing pad",
      width: width * ratio, height: width * ratio, style: `width:${width}px;height:${width}px` });
    const seen = make("canvas", { class: "seen", width: SIZE, height: SIZE, role: "img", title: `what the net sees of ${name}`,
      "aria-label": `what the net sees of ${name}` });
    const erase = make("button", { type: "button", title: `clear ${name}`, "aria-label": `clear ${name}` }, "✕");
    const g = canvas.getContext("2d"), pen = [SIZE >> 1, SIZE >> 1];
    let pointer = null, stroke = null, byKeys = false;

    function begin(point) {
      ink[i] ??= []; // the first stroke replaces the ready-made character
      ink[i].push(stroke = [point]);
    }
    function extend(point) {
      const last = stroke.at(-1);
      if (Math.hypot(point[0] - last[0], point[1] - last[1]) > 0.008) stroke.push(point);
    }
    function clear() {
      stroke = null;
      ink[i] = [];
    }
    function changed() {
      draw();
      send();
    }
    function at(event) {
      const box = canvas.getBoundingClientRect(), limit = v => Math.round(1000 * Math.min(1, Math.max(0, v))) / 1000;
      return [limit((event.clientX - box.left) / box.width), limit((event.clientY - box.top) / box.height)];
    }
    const penAt = () => pen.map(v => Math.round((1000 * (v + 0.5)) / SIZE) / 1000);

    function draw() {
      const scale = width * ratio;
      g.setTransform(1, 0, 0, 1, 0, 0);
      g.fillStyle = look.ground;
      g.fillRect(0, 0, scale, scale);
      if (ink[i] === null) {
        g.imageSmoothingEnabled = false;
        g.drawImage(seen, 0, 0, scale, scale);
      }
      g.scale(scale, scale);
      Object.assign(g, { strokeStyle: look.ink, lineWidth: look.pen, lineCap: "round", lineJoin: "round" });
      for (const points of ink[i] ?? []) {
        g.beginPath();
        g.moveTo(...points[0]);
        points.forEach(point => g.lineTo(...point));
        g.stroke();
      }
      if (byKeys && document.activeElement === canvas) { // the pen: a ring with a cross while up, a disc while down
        const [x, y] = penAt();
        Object.assign(g, { strokeStyle: look.accent, fillStyle: look.accent, lineWidth: 0.02 });
        g.beginPath();
        g.arc(x, y, 0.05, 0, 7);
        stroke ? g.fill() : g.stroke();
        if (!stroke) {
          g.beginPath();
          for (const [dx, dy] of Object.values(ARROWS)) { g.moveTo(x + 0.05 * dx, y + 0.05 * dy); g.lineTo(x + 0.1 * dx, y + 0.1 * dy); }
          g.stroke();
        }
      }
    }

    canvas.addEventListener("pointerdown", event => {
      if (event.button !== 0 || pointer !== null) return;
      canvas.setPointerCapture(event.pointerId);
      byKeys = false;
      pointer = event.pointerId;
      begin(at(event));
      changed();
    });
    canvas.addEventListener("pointermove", event => {
      if (event.pointerId !== pointer || !stroke) return;
      for (const part of event.getCoalescedEvents?.() ?? [event]) extend(at(part));
      extend(at(event));
      changed();
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, event => { if (event.pointerId === pointer) pointer = stroke = null; });
    }
    canvas.addEventListener("keydown", event => {
      const step = ARROWS[event.key];
      if (pointer !== null || event.ctrlKey || event.metaKey || event.altKey) return;
      if (step) {
        const far = event.shiftKey ? 4 : 1;
        step.forEach((d, k) => { pen[k] = Math.min(SIZE - 1, Math.max(0, pen[k] + far * d)); });
        if (stroke) extend(penAt());
      } else if (event.key === " ") {
        stroke ? (stroke = null) : begin(penAt());
      } else if (event.key === "Delete" || event.key === "Backspace") {
        clear();
      } else {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      byKeys = true;
      const what = step || event.key === " " ? `pen ${stroke ? "down" : "up"}` : "cleared, pen up";
      help.textContent = `${name[0].toUpperCase()}${name.slice(1)}: ${what}, column ${pen[0] + 1} of ${SIZE}, row ${pen[1] + 1} of ${SIZE}.`;
      changed();
    });
    canvas.addEventListener("focus", () => { byKeys = canvas.matches(":focus-visible"); draw(); });
    canvas.addEventListener("blur", () => { if (pointer === null) stroke = null; help.textContent = HELP; draw(); });
    erase.addEventListener("click", () => { clear(); changed(); });

    return {
      width, canvas, seen, erase, name, draw,
      drop() { pointer = stroke = null; }, // the kernel put something else here
      answer(held) {
        seen.getContext("2d").putImageData(image(i), 0, 0);
        canvas.setAttribute("aria-label", `${name}, ${held}`);
        draw();
      },
    };
  }

  const pads = [...Array(WAY + 1).keys()].map(i => pad(i, i < WAY ? 100 : 150));
  const below = (p, ...others) => make("div", { class: "below", style: `width:${p.width}px` }, p.name, ...others, p.erase);
  const message = make("div", { class: "message" }), aloud = make("div", { class: "unseen", role: "status" });
  const help = make("div", { class: "help", "aria-live": "polite" }, HELP);
  const after = make("th", { scope: "col" });
  const rows = pads.slice(0, WAY).map(p => {
    const cell = when => make("td", { class: when }, make("span", { class: "bar" }), make("span"));
    return make("tr", {}, make("th", { scope: "row" }, make("span", { class: "name" }, p.name), p.seen), cell("before"), cell("after"));
  });
  const table = make("table", { "aria-label": "probability of each class" },
    make("tr", {}, make("th", { scope: "col" }, "the net sees"), make("th", { scope: "col" }, "before"), after), ...rows);
  const root = make("div", { class: "mamlkit-pads", "data-lm-suppress-shortcuts": "true",
    style: `--ground:${look.ground};--ink:${look.ink};--quiet:${look.quiet};--accent:${look.accent}` },
    message, make("div", { class: "five" }, ...pads.slice(0, WAY).map(p => make("div", {}, p.canvas, below(p)))),
    make("div", { class: "query" }, make("div", {}, pads[WAY].canvas, below(pads[WAY], pads[WAY].seen)), table), help, aloud);

  function answered() {
    const state = model.get("state"), columns = [state.before, state.after], best = Math.max(...state.after);
    pads.forEach((p, i) => p.answer(state.held[i]));
    message.textContent = message.title = state.message;
    after.textContent = state.steps;
    rows.forEach((row, i) => {
      row.classList.toggle("best", state.after[i] !== null && state.after[i] === best);
      columns.forEach((chances, k) => {
        const [bar, number] = row.children[k + 1].children;
        bar.style.width = `${90 * (chances[i] ?? 0)}px`;
        bar.style.visibility = chances[i] === null ? "hidden" : "visible";
        number.textContent = chances[i] === null ? "–" : chances[i].toFixed(2) + (k === 1 && row.className === "best" ? " ◀" : "");
      });
    });
    clearTimeout(reading);
    reading = setTimeout(() => { if (aloud.textContent !== state.message) aloud.textContent = state.message; }, PAUSE);
  }
  function replaced() {
    if (sending) return;
    ink = structuredClone(model.get("ink"));
    pads.forEach(p => { p.drop(); p.draw(); });
  }

  model.on("change:ink", replaced);
  model.on("change:seen change:state", answered);
  answered();
  el.append(root);
  return () => {
    clearTimeout(reading);
    model.off("change:ink", replaced);
    model.off("change:seen change:state", answered);
  };
}

export default { render };
