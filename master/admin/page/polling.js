
/* ---- the loop: ask, show, wait ---- */

const POLL_MS = 1000, PATIENCE_MS = 5000, PAUSE_MAX_MS = 8000;

let answeredAt = Date.now();
let failures = 0;
let timer;
let isAsking = false;
let adminPid = null, startedAt = null;
let hasRequests = true;   // whether this server tells what is in flight

async function get(path) {
  const reply = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (reply.status === 404) return null;
  if (!reply.ok) throw new Error("/" + path.split("?")[0] + " answered " + reply.status);
  return await reply.json();
}

async function ask() {
  const [samples, status, flying] = await Promise.all([
    get("samples?since=" + newest), get("status"), hasRequests ? get("requests") : null,
  ]);
  if (adminPid !== null && status.admin.pid !== adminPid) {
    // Another admin process, after a crash or a hot restart, or another server on the same address.
    if (status.master.started_at === startedAt) forgetSums(); else forget();
    hasRequests = true;
    adminPid = status.admin.pid;
    return ask();
  }
  adminPid = status.admin.pid;
  startedAt = status.master.started_at;
  hasRequests = flying !== null;
  keep(samples);
  return { status, requests: flying && flying.requests };
}

function show({ status, requests }) {
  showMaster(status);
  showTiles(status, showPlots());
  showWorkers(status.workers);
  showListeners(status.listeners);
  showUpstreams(status.upstreams ?? []);
  showRequests(requests);
  showFailure(status.master.last_failure, newest);
  showLoops(status.crash_loops ?? []);
}

function complain(error, pauseMs) {
  const [title, detail] = byId("unreachable").children;
  say(title, "The server cannot be reached.");
  const silent = duration((Date.now() - answeredAt) / 1000);
  say(detail, error.message + ". Nothing heard for " + silent + "; what stands below is older than that. Asking again in " + duration(pauseMs / 1000) + ".");
  byId("unreachable").hidden = false;
  byId("main").classList.add("stale");
  showState(byId("state"), "no answer");
  document.title = "no answer · Penstock";
}

async function poll() {
  if (isAsking) return;
  isAsking = true;
  clearTimeout(timer);
  let pauseMs = POLL_MS;
  try {
    show(await ask());
    failures = 0;
    answeredAt = Date.now();
    say(byId("asof"), "as of " + new Date().toLocaleTimeString());
    byId("unreachable").hidden = true;
    byId("main").classList.remove("stale");
  } catch (error) {
    pauseMs = Math.min(POLL_MS * 2 ** failures, PAUSE_MAX_MS);
    failures += 1;
    complain(error, pauseMs);
  }
  isAsking = false;
  if (!document.hidden) timer = setTimeout(poll, pauseMs);
}

// A page that nobody looks at asks nothing.
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
window.addEventListener("online", poll);
poll();
