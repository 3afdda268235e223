
/* ---- plots: four of them over the same minutes, with one cursor ---- */

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 54, RIGHT = 6, TOP = 8, BOTTOM = 19;   // pixels around a plot
const SLOTS_DRAWN_MAX = 12;   // of more, only sums and extremes can be told apart

const plots = [];
let cursor = null;   // a second of the window, or null for now

function shape(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// From a value to its height, 0 to 1, and the lines worth drawing.
function linear(top) {
  const rough = Math.max(top, 1) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].find((factor) => factor * power >= rough) * power);
  const high = step * Math.ceil(Math.max(top, 1) / step);
  const ticks = Array.from({ length: Math.round(high / step) + 1 }, (_, i) => i * step);
  return { ticks, at: (value) => value / high };
}

function logarithmic(low, top) {
  const from = Math.floor(Math.log10(low)), to = Math.max(from + 2, Math.ceil(Math.log10(top) - 1e-9));
  const every = Math.ceil((to - from) / 5);
  const ticks = Array.from({ length: Math.floor((to - from) / every) + 1 }, (_, i) => 10 ** (from + i * every));
  return { ticks, at: (value) => (Math.log10(Math.max(value, 10 ** from)) - from) / (to - from) };
}

class Plot {
  // `scale` is made of all values; `told` says a value with its unit.
  constructor(id, title, unit, scale, told, tick) {
    Object.assign(this, { title, unit, scale, told, tick, layers: [] });
    const caption = element("figcaption");
    caption.append(element("h2", "", title));
    this.moment = element("span", "moment", unit);
    caption.append(this.moment);
    this.legend = element("ul", "legend");
    this.svg = shape("svg", { tabindex: 0, role: "img", "aria-describedby": "plot-help" });
    byId(id).append(caption, this.legend, this.svg);
    this.svg.addEventListener("pointermove", (event) => point(this.secondAt(event.offsetX)));
    this.svg.addEventListener("pointerdown", (event) => point(this.secondAt(event.offsetX)));
    this.svg.addEventListener("pointerleave", () => point(null));
    this.svg.addEventListener("blur", () => point(null));
    this.svg.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => this.draw()).observe(this.svg);
    plots.push(this);
  }

  secondAt(x) {
    const second = Math.floor((x - LEFT) / (this.svg.clientWidth - LEFT - RIGHT) * WINDOW_S);
    return second < 0 || second >= WINDOW_S ? null : second;
  }

  press(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") point(null);
    if (!step) return;
    event.preventDefault();
    const from = cursor ?? WINDOW_S - 1;
    point(Math.min(WINDOW_S - 1, Math.max(0, from + step * (event.shiftKey ? 30 : 5))));
    say(byId("cursor-told"), ago(cursor) + ": " + this.layers.map((layer) => this.tell(layer)).join(", "));
  }

  // A layer: { name, tint, values, kind: "line" | "area" | "stacked", look }.
  show(layers) {
    this.layers = layers;
    this.draw();
  }

  tell(layer) {
    const value = cursor === null ? layer.now ?? latest(layer.values) : layer.values[cursor];
    return layer.name + " " + (isNumber(value) ? this.told(value) : UNKNOWN);
  }

  draw() {
    const [width, height] = [this.svg.clientWidth, this.svg.clientHeight];
    if (!width) return;
    const known = this.layers.flatMap((layer) => layer.tops ?? layer.values).filter((value) => value !== null);
    const scale = this.scale(known.length ? Math.max(...known) : 0, known.length ? Math.min(...known) : 0);
    const x = (second) => LEFT + second / WINDOW_S * (width - LEFT - RIGHT);
    const y = (value) => height - BOTTOM - scale.at(value) * (height - TOP - BOTTOM);
    const drawn = scale.ticks.flatMap((tick) => [
      shape("path", { class: "grid", d: "M" + LEFT + " " + Math.round(y(tick)) + "H" + (width - RIGHT) }),
      shape("text", { x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end" }, this.tick(tick)),
    ]);
    for (let minute = 0; minute * 60 <= WINDOW_S; minute += 1) {
      const anchor = minute === 0 ? "end" : minute * 60 === WINDOW_S ? "start" : "middle";
      drawn.push(shape("text", { x: x(WINDOW_S - minute * 60), y: height - 3, "text-anchor": anchor }, minute ? minute + " min" : "now"));
    }
    for (const layer of this.layers) {
      const group = shape("g", { class: layer.tint + " " + (layer.look ?? "") + (layer.bases ? " stacked" : "") });
      const tops = layer.tops ?? layer.values;
      if (layer.bases || layer.filled) group.append(shape("path", { class: "area", d: area(tops, layer.bases, x, y) }));
      group.append(shape("path", { class: "line", d: line(tops, x, y) }));
      drawn.push(group);
    }
    if (cursor !== null) drawn.push(shape("path", { class: "cursor", d: "M" + x(cursor + 0.5) + " " + TOP + "V" + (height - BOTTOM) }));
    this.svg.setAttribute("viewBox", "0 0 " + width + " " + height);
    this.svg.replaceChildren(...drawn);
    this.label(known);
  }

  label(known) {
    say(this.moment, cursor === null ? this.unit : ago(cursor));
    const shown = this.layers;
    while (this.legend.childElementCount > shown.length) this.legend.lastElementChild.remove();
    while (this.legend.childElementCount < shown.length) {
      const item = element("li");
      item.append(element("i"), element("span"), " ", element("b"));
      this.legend.append(item);
    }
    shown.forEach((layer, i) => {
      const item = this.legend.children[i];
      item.className = layer.tint + " " + (layer.look ?? "");
      say(item.children[1], layer.name);
      say(item.lastElementChild, this.tell(layer).slice(layer.name.length + 1));
    });
    const most = known.length ? ", at most " + this.told(Math.max(...known)) : "";
    this.svg.setAttribute("aria-label", this.title + ", " + this.unit + ", the last four minutes: " +
      (shown.map((layer) => this.tell(layer)).join(", ") || "nothing known") + most);
  }
}

const ago = (second) => duration(WINDOW_S - 1 - second) + " ago";

function point(second) {
  if (cursor === second) return;
  cursor = second;
  for (const plot of plots) plot.draw();
}

// Stretches of seconds of which something is known.
function stretches(values) {
  const found = [];
  values.forEach((value, i) => {
    if (value === null) return;
    if (i && values[i - 1] !== null) found[found.length - 1].push(i); else found.push([i]);
  });
  return found;
}

// A second is a level stretch and not a point, so that a lone one shows.
function along(stretch, values, x, y) {
  let path = "", level;
  for (const second of stretch) {
    if (values[second] !== level) path += "L" + x(second).toFixed(1) + " " + y(values[second]).toFixed(1);
    level = values[second];
    const next = second + 1;
    if (values[next] !== level || next > stretch[stretch.length - 1]) path += "L" + x(next).toFixed(1) + " " + y(level).toFixed(1);
  }
  return path.slice(1);
}

const line = (tops, x, y) => stretches(tops).map((stretch) => "M" + along(stretch, tops, x, y)).join("");

function area(tops, bases, x, y) {
  return stretches(tops).map((stretch) => {
    const floor = [...stretch].reverse().map((second) => {
      const low = y(bases ? bases[second] ?? 0 : 0).toFixed(1);
      return "L" + x(second + 1).toFixed(1) + " " + low + "L" + x(second).toFixed(1) + " " + low;
    });
    return "M" + along(stretch, tops, x, y) + floor.join("") + "Z";
  }).join("");
}

// Layers that stand on each other; one that is not known has no height.
function stack(layers) {
  let bases = new Array(WINDOW_S).fill(0);
  return layers.map((layer) => {
    const floor = bases;
    bases = bases.map((base, i) => base + (layer.values[i] ?? 0));
    return { ...layer, bases: floor, tops: layer.values.map((value, i) => value === null ? null : bases[i]) };
  });
}

const milliseconds = (value) => delay(value).join(" ");
const plain = (value) => rate(value);
const decades = (low) => (top, least) => logarithmic(Math.max(low, least || low), Math.max(top, low));
const decade = (tick) => tick >= 0.9995 ? Math.round(tick) + " s" : tick >= 0.0009995 ? Math.round(tick * 1e3) + " ms" : Math.round(tick * 1e6) + " µs";

const requestsPlot = new Plot("requests-plot", "Requests", "a second", linear, plain, short);
const latencyPlot = new Plot("latency-plot", "Latency", "windows of 5 s, logarithmic", decades(1e-5), milliseconds, decade);
const connectionsPlot = new Plot("connections-plot", "Connections", "by slot", linear, whole, short);
// The loop's clock counts milliseconds: what is below one is as good as nothing.
const lagPlot = new Plot("lag-plot", "Loop lag", "worst of 5 s, logarithmic", (top) => logarithmic(1e-3, Math.max(top, 1e-1)), milliseconds, decade);

function showPlots() {
  const all = [...series.values()];
  const answered = total(all.map((samples) => ratesOf(samples, "requests")));
  const failed = total(all.map((samples) => ratesOf(samples, "errors")));
  const sent = total(all.map((samples) => ratesOf(samples, "sent_bytes")));
  requestsPlot.show([
    { name: "all", tint: "water", values: answered, now: recent(answered), filled: true },
    // Where there are none, nothing is drawn: a red line is to mean something.
    { name: "5xx", tint: "alarm", values: failed, tops: failed.map((value) => value || null), now: recent(failed), filled: true },
  ]);
  latencyPlot.show([
    { name: "p50", tint: "water", values: quantilesOf("p50_s") },
    { name: "p95", tint: "soft", values: quantilesOf("p95_s") },
    { name: "p99", tint: "waiting", values: quantilesOf("p99_s") },
  ]);
  const connections = slots().map((slot) => levelsOf(series.get(slot), "connections"));
  const lags = slots().map((slot) => worst(levelsOf(series.get(slot), "loop_lag_s")));
  if (series.size > SLOTS_DRAWN_MAX) {
    connectionsPlot.show([
      { name: "all slots", tint: "water", values: total(connections), filled: true },
      { name: "fullest slot", tint: "waiting", values: rank(connections, 1) },
    ]);
    lagPlot.show([
      { name: "median slot", tint: "water", values: rank(lags, 0.5) },
      { name: "latest slot", tint: "waiting", values: rank(lags, 1) },
    ]);
  } else {
    const bySlot = (columns) => slots().map((slot, i) => ({ name: "slot " + slot, tint: tintOf(slot), values: columns[i] }));
    connectionsPlot.show(stack(bySlot(connections)));
    lagPlot.show(bySlot(lags));
  }
  return { answered: recent(answered), failed: recent(failed), sent: recent(sent) };
}
