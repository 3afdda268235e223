/* ---- words and numbers for people ---- */

const byId = (id) => document.getElementById(id);
// Text only enters as text: what a server reports is never markup here. And only if it
// is another, so that what is read aloud on a change is not read aloud every second.
const say = (node, text) => { if (node.textContent !== String(text)) node.textContent = text; };

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

const UNKNOWN = "–";
const grouped = new Intl.NumberFormat("en");
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const whole = (value) => isNumber(value) ? grouped.format(Math.round(value)) : UNKNOWN;
const rate = (value) => !isNumber(value) ? UNKNOWN : value > 0 && value < 10 ? value.toFixed(1) : whole(value);
const count = (number, one, many) => whole(number) + " " + (number === 1 ? one : many);

// Where there is little room: 1,200 is 1.2k.
function short(value) {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (Math.abs(value) >= size) return +(value / size).toPrecision(3) + unit;
  }
  return String(+value.toPrecision(3));
}

function duration(seconds) {
  if (!isNumber(seconds)) return UNKNOWN;
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min" + (s % 60 ? " " + s % 60 + " s" : "");
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}

// A latency in three digits, and its unit: microseconds to seconds.
function delay(seconds) {
  if (!isNumber(seconds)) return [UNKNOWN, ""];
  if (seconds === 0) return ["0", "ms"];
  const [size, unit] = seconds < 0.001 ? [1e-6, "µs"] : seconds < 1 ? [1e-3, "ms"] : [1, "s"];
  const value = seconds / size;
  return [value < 10 ? value.toFixed(1) : whole(value), unit];
}

function bytes(value) {
  if (!isNumber(value)) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (value >= 1024 && step < units.length - 1) { value /= 1024; step += 1; }
  return (step && value < 100 ? value.toFixed(1) : Math.round(value)) + " " + units[step];
}

const tintOf = (slot) => "slot-" + slot % 8;
