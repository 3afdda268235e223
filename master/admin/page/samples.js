
/* ---- samples: what each slot has counted, second by second ---- */

const WINDOW_S = 240;   // as much as a server remembers
const GAP_S = 10;       // a level that is older than this is not known
const WHOLE_S = 1.25;   // every worker has told about a second that is over for so long
const RECENT_S = 5;     // what stands in large figures is the average of so many seconds

const series = new Map();   // slot -> samples, oldest first
let latencies = [];         // windows of five seconds, oldest first
let newest = 0;             // the server's clock, in its own seconds

function keep(reply) {
  // A clock that went back belongs to another boot: its seconds do not compare with ours.
  if (reply.now < newest) forget();
  newest = reply.now;
  for (const [slot, samples] of Object.entries(reply.slots)) {
    const kept = series.get(slot) || [];
    for (const sample of samples) {
      if (!kept.length || sample.t > kept[kept.length - 1].t) kept.push(sample);
    }
    series.set(slot, kept);
  }
  for (const [slot, kept] of series) {
    const young = kept.filter((sample) => sample.t > newest - WINDOW_S - GAP_S);
    if (young.length) series.set(slot, young); else series.delete(slot);
  }
  const last = latencies.length ? latencies[latencies.length - 1].t : 0;
  latencies = latencies.concat((reply.latency ?? []).filter((point) => point.t > last));
  latencies = latencies.filter((point) => point.t > newest - WINDOW_S - GAP_S);
}

function forget() {
  forgetSums();
  latencies = [];
}

// The sums of another admin process began elsewhere; it is asked for all it has.
function forgetSums() {
  series.clear();
  newest = 0;
}

// The plots end with the last second that everybody has told about.
const edge = () => Math.floor(newest - WHOLE_S);
const slots = () => [...series.keys()].sort((a, b) => a - b);
const unknown = () => new Array(WINDOW_S).fill(null);

// One value a second, the oldest first; null where nothing is known.
function ratesOf(samples, key) {
  const seconds = unknown();
  for (let i = 1; i < samples.length; i += 1) {
    const [before, after] = [samples[i - 1], samples[i]];
    const grown = after[key] - before[key];
    // A counter that fell has been replaced: what happened in between, nobody saw. Over a mere
    // gap, such as a blocked worker leaves, the difference is still right as an average.
    if (grown < 0) continue;
    spread(seconds, before.t, after.t, grown / (after.t - before.t));
  }
  return seconds;
}

function levelsOf(samples, key) {
  const seconds = unknown();
  samples.forEach((sample, i) => {
    const next = i + 1 < samples.length ? samples[i + 1].t : newest;
    spread(seconds, sample.t, Math.min(next, sample.t + GAP_S), sample[key]);
  });
  return seconds;
}

function quantilesOf(key) {
  const seconds = unknown();
  for (const point of latencies) spread(seconds, point.t - 5, point.t, point[key]);
  return seconds;
}

function spread(seconds, from, to, value) {
  const start = edge() - WINDOW_S;
  for (let i = Math.max(0, Math.floor(from - start)); i < WINDOW_S && start + i < to; i += 1) seconds[i] = value;
}

// The worst of each five seconds, for what comes in single peaks.
function worst(values) {
  const window = (i) => i - (edge() + i) % 5;
  return values.map((value, i) => value === null ? null : Math.max(...values.slice(Math.max(0, window(i)), window(i) + 5)));
}

// What many slots tell, second by second, made one.
function across(columns, fold) {
  return unknown().map((_, i) => {
    const known = columns.map((column) => column[i]).filter((value) => value !== null);
    return known.length ? fold(known) : null;
  });
}

const total = (columns) => across(columns, (known) => known.reduce((a, b) => a + b));
// 0 is the smallest, 1 the largest.
const rank = (columns, q) => across(columns, (known) => known.sort((a, b) => a - b)[Math.round(q * (known.length - 1))]);

const latest = (values) => values.findLast((value) => value !== null);

function recent(values) {
  const known = values.slice(-RECENT_S).filter((value) => value !== null);
  return known.length ? known.reduce((a, b) => a + b) / known.length : undefined;
}
