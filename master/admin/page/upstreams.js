/* ---- upstreams: who is behind, and how they do ---- */

const served = new Map();   // upstream and address -> what was read, oldest first

function keepServed(servers) {
  const now = performance.now() / 1000;
  const known = new Set(servers.map((server) => server.key));
  for (const key of served.keys()) if (!known.has(key)) served.delete(key);
  for (const server of servers) {
    const kept = served.get(server.key) ?? [];
    // Counters that fall are those of another server on the same address.
    if (kept.length && kept[kept.length - 1].requests > server.requests) kept.length = 0;
    kept.push({ at: now, requests: server.requests, failures: server.failures });
    while (kept.length > 2 && kept[0].at < now - RECENT_S) kept.shift();
    served.set(server.key, kept);
  }
}

function servedRate(server, key) {
  const kept = served.get(server.key);
  const [first, last] = [kept[0], kept[kept.length - 1]];
  if (!isNumber(first[key]) || !isNumber(last[key]) || last.at <= first.at) return undefined;
  return Math.max(0, last[key] - first[key]) / (last.at - first.at);
}

function fillServerFailures(cell, server) {
  const now = servedRate(server, "failures");
  say(cell, rate(now));
  cell.parentElement.classList.toggle("late", now > 0);
}

function fillQueued(cell, server) {
  say(cell, whole(server.queued));
  cell.parentElement.classList.toggle("late", server.queued > 0);
}

const upstreamsTable = new Table("upstreams", [
  ["upstream", "left", text((s) => s.upstream)],
  ["server", "left path", text((s) => s.address)],
  ["state", "left", (cell, s) => showState(cell, s.state)],
  ["weight", "", text((s) => whole(s.weight))],
  ["active", "", text((s) => whole(s.connections_active))],
  ["idle", "", text((s) => whole(s.connections_idle))],
  ["queued", "", fillQueued],
  ["requests/s", "", text((s) => rate(servedRate(s, "requests")))],
  ["failed/s", "", fillServerFailures],
  ["failed", "", text((s) => whole(s.failures))],
]);

function showUpstreams(upstreams) {
  byId("behind").hidden = !upstreams.length;
  const servers = upstreams.flatMap((upstream) => upstream.servers.map((server) => (
    { ...server, upstream: upstream.name, key: upstream.name + " " + server.address }
  )));
  keepServed(servers);
  upstreamsTable.show(servers);
}
