
/* ---- status: who runs ---- */

const GOOD = ["ready", "running", "up"], BAD = ["suspect", "no answer", "down"];
const LATE_S = 0.25;        // a loop lag that a person would feel
const FLYING_MAX = 10;

function showState(node, state) {
  const word = String(state ?? "unknown").toLowerCase();
  node.className = "state " + (GOOD.includes(word) ? "good" : BAD.includes(word) ? "bad" : "waiting");
  say(node, word);
}

function showMaster(status) {
  showState(byId("state"), status.master.state);
  say(byId("generation"), status.master.generation);
  say(byId("pid"), status.master.pid);
  say(byId("uptime"), duration(status.uptime_s));
  // A server without a name is known by its port.
  const name = /^[0-9]+$/.test(status.name) ? "port " + status.name : status.name;
  say(byId("name"), [name, status.version].filter(Boolean).join(" · "));
  const others = ["Memory: master " + bytes(status.master.rss_bytes)];
  if (status.admin) others.push("admin " + bytes(status.admin.rss_bytes) + " (pid " + status.admin.pid + ")");
  const restarts = Object.entries(status.worker_restarts ?? {}).filter(([, number]) => number);
  const told = restarts.map(([reason, number]) => reason + " " + whole(number)).join(", ");
  say(byId("others"), others.join(", ") + ". Workers replaced: " + (told || "none") + ".");
}

function showTiles(status, rates) {
  say(byId("requests-now"), rate(rates.answered));
  say(byId("sent"), isNumber(rates.sent) ? bytes(rates.sent) + "/s sent" : "\u00a0");
  say(byId("errors-now"), rate(rates.failed));
  const share = rates.answered ? 100 * rates.failed / rates.answered : 0;
  say(byId("errors-share"), share && share < 0.1 ? "under 0.1 % of all" : +share.toFixed(1) + " % of all");
  byId("errors-tile").classList.toggle("alarm", rates.failed > 0);

  const window = latencies[latencies.length - 1];
  const isFresh = window && window.t > newest - 2 * GAP_S;
  for (const key of ["p50", "p99"]) {
    const [value, unit] = delay(isFresh ? window[key + "_s"] : null);
    say(byId(key), value);
    say(byId(key + "-unit"), unit);
  }
  say(byId("p999"), isFresh && isNumber(window.p999_s) ? "p99.9 " + delay(window.p999_s).join(" ") : "1 % are slower");

  const sum = (key) => status.workers.reduce((added, worker) => added + (worker[key] ?? 0), 0);
  say(byId("connections-now"), whole(sum("connections")));
  say(byId("connections-kinds"), whole(sum("connections_active")) + " active, " + whole(sum("connections_idle")) + " idle");

  const serving = (worker) => worker.state === "ready" || worker.state === "suspect";
  const ready = new Set(status.workers.filter(serving).map((worker) => worker.slot)).size;
  const others = new Map();
  for (const worker of status.workers) if (worker.state !== "ready") others.set(worker.state, (others.get(worker.state) ?? 0) + 1);
  say(byId("ready"), whole(ready));
  say(byId("ready-of"), "of " + whole(status.slots));
  say(byId("ready-not"), [...others].map(([state, number]) => number + " " + state).join(", ") || "every slot is served");
  byId("ready-tile").classList.toggle("alarm", ready < status.slots || others.has("suspect"));
  document.title = ready + " of " + status.slots + " ready · Penstock";
}

/* What a worker has used in the last seconds, from what it has used in all. */

const past = new Map();   // pid -> what was read, oldest first

function watch(workers) {
  const now = performance.now() / 1000;
  const living = new Set(workers.map((worker) => worker.pid));
  for (const pid of past.keys()) if (!living.has(pid)) past.delete(pid);
  for (const worker of workers) {
    const kept = past.get(worker.pid) ?? [];
    kept.push({ at: now, cpu_s: worker.cpu_s, requests: worker.requests });
    while (kept.length > 2 && kept[0].at < now - RECENT_S) kept.shift();
    past.set(worker.pid, kept);
  }
}

function speed(worker, key) {
  const kept = past.get(worker.pid);
  const [first, last] = [kept[0], kept[kept.length - 1]];
  if (!isNumber(first[key]) || !isNumber(last[key]) || last.at <= first.at) return undefined;
  return Math.max(0, (last[key] - first[key]) / (last.at - first.at));
}

/* A table keeps its rows and changes their words, so that a selection survives. */

class Table {
  // Columns: [heading, class, fill(cell, fact)].
  constructor(id, columns) {
    this.columns = columns;
    const head = element("thead"), row = element("tr");
    this.body = element("tbody");
    for (const [heading, className] of columns) {
      const cell = element("th", className === "left" || className === "left path" ? "left" : "", heading);
      cell.scope = "col";
      cell.setAttribute("role", "columnheader");
      row.append(cell);
    }
    // On a phone rows are laid out as cards, and a browser then forgets what they are.
    for (const group of [head, this.body]) group.setAttribute("role", "rowgroup");
    row.setAttribute("role", "row");
    head.append(row);
    byId(id).append(head, this.body);
  }

  show(facts) {
    while (this.body.childElementCount > facts.length) this.body.lastElementChild.remove();
    while (this.body.childElementCount < facts.length) this.body.append(this.newRow());
    facts.forEach((fact, i) => {
      const row = this.body.children[i];
      this.columns.forEach(([, , fill], column) => fill(row.children[column].firstElementChild, fact));
      row.classList.toggle("leaving", fact.state === "draining");
    });
  }

  newRow() {
    const row = element("tr");
    row.setAttribute("role", "row");
    for (const [heading, className] of this.columns) {
      const cell = element("td", className);
      cell.setAttribute("role", "cell");
      cell.dataset.label = heading;
      cell.append(element("span"));
      row.append(cell);
    }
    return row;
  }
}

const text = (told) => (cell, fact) => say(cell, told(fact));

function fillSlot(cell, fact) {
  if (!cell.childElementCount) cell.append(element("i"), element("span"));
  cell.firstElementChild.className = "swatch " + tintOf(fact.slot);
  say(cell.lastElementChild, fact.slot);
}

function fillCpu(cell, worker) {
  if (!cell.childElementCount) {
    const bar = element("span", "bar");
    bar.setAttribute("aria-hidden", "true");
    bar.append(element("i"));
    cell.append(bar, element("span"));
  }
  const used = speed(worker, "cpu_s");
  cell.firstElementChild.firstElementChild.style.width = Math.min(100, 100 * (used ?? 0)) + "%";
  say(cell.lastElementChild, isNumber(used) ? Math.round(100 * used) + " %" : UNKNOWN);
}

function fillLag(cell, worker) {
  say(cell, delay(worker.loop_lag_s).join(" ").trim());
  cell.parentElement.classList.toggle("late", worker.loop_lag_s > LATE_S);
}

const workersTable = new Table("workers", [
  ["slot", "left", fillSlot],
  ["core", "", text((w) => w.core ?? "any")],
  ["pid", "", text((w) => w.pid)],
  ["state", "left", (cell, w) => showState(cell, w.state)],
  ["generation", "", text((w) => w.generation)],
  ["CPU", "", fillCpu],
  ["memory", "", text((w) => bytes(w.rss_bytes))],
  ["active", "", text((w) => whole(w.connections_active))],
  ["idle", "", text((w) => whole(w.connections_idle))],
  ["requests/s", "", text((w) => rate(speed(w, "requests")))],
  ["loop lag", "", fillLag],
  ["age", "", text((w) => duration(w.age_s))],
]);

function showWorkers(workers) {
  watch(workers);
  workersTable.show([...workers].sort((a, b) => a.slot - b.slot || b.generation - a.generation));
}

const requestsTable = new Table("requests", [
  ["age", "", text((r) => delay(r.age_s).join(" "))],
  ["method", "left", text((r) => r.method ?? UNKNOWN)],
  // Paths are for the server's owner alone, who asks on the control socket; here it is the route.
  ["route", "left path", text((r) => (r.path ?? r.route ?? UNKNOWN) + (r.server ? " at " + r.server : ""))],
  ["state", "left", text((r) => r.state ?? UNKNOWN)],
  ["sent", "", text((r) => bytes(r.sent_bytes))],
  ["slot", "", fillSlot],
  ["pid", "", text((r) => r.pid)],
]);

function showRequests(requests) {
  byId("flying").hidden = requests === null;
  if (requests === null) return;
  const slowest = [...requests].sort((a, b) => b.age_s - a.age_s).slice(0, FLYING_MAX);
  byId("requests").hidden = !slowest.length;
  requestsTable.show(slowest);
  const more = requests.length - slowest.length;
  say(byId("requests-told"), more ? "And " + whole(more) + " more." : slowest.length ? "" : "None at the moment.");
}

function showListeners(listeners) {
  byId("listening").hidden = !listeners.length;
  byId("listeners").replaceChildren(...listeners.map((listener) => {
    const waiting = listener.shards.reduce((sum, shard) => sum + (shard.queued || 0), 0);
    const node = element("div", "listener");
    const heading = element("div", "heading");
    heading.append(element("b", "", listener.name), element("span", "mono", listener.address));
    heading.append(element("span", "queue", count(listener.shards.length, "shard", "shards") + ", " + whole(waiting) + " waiting"));
    const shards = element("ul", "shards");
    for (const shard of listener.shards) {
      const isLent = shard.slot !== null && shard.slot !== undefined;
      const box = element("li", isLent ? tintOf(shard.slot) : "nobody", isLent ? shard.slot : UNKNOWN);
      if (shard.queued) box.append(element("b", "", "+" + shard.queued));
      box.title = "shard " + shard.index + ": " + (isLent ? "slot " + shard.slot : "lent to nobody, or to several") + ", " + (shard.queued || 0) + " waiting";
      shards.append(box);
    }
    node.append(heading, shards);
    return node;
  }));
}

function showFailure(failure, serverTime) {
  const banner = byId("failure");
  banner.hidden = !failure;
  if (!failure) return;
  say(banner.querySelector("b span"), isNumber(failure.at) ? " " + duration(serverTime - failure.at) + " ago" : "");
  say(banner.lastElementChild, failure.message);
}

function showLoops(loops) {
  const box = byId("loops");
  while (box.childElementCount > loops.length) box.lastElementChild.remove();
  while (box.childElementCount < loops.length) {
    const banner = element("p", "banner"), next = element("span");
    next.setAttribute("aria-live", "off");   // it counts down
    banner.append(element("b"), " ", element("span"), " ", next);
    box.append(banner);
  }
  loops.forEach((loop, i) => {
    const [title, reason, next] = box.children[i].children;
    say(title, "Slot " + loop.slot + " is in a crash loop: " + count(loop.failures, "failure", "failures") + " in a row.");
    say(reason, loop.last_reason ? "Last: " + loop.last_reason.replace(/\.?$/, ".") : "");
    say(next, isNumber(loop.next_attempt_s) ? "Next attempt in " + duration(Math.ceil(loop.next_attempt_s)) + "." : "Trying again now.");
  });
}
