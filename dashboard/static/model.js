// From the API's answer to what the page says: health, counts, filters. Pure; no page, no network.

export const OK = "ok", WARN = "warn", BAD = "bad";
const ORDER = { bad: 0, warn: 1, ok: 2, quiet: 3, gone: 4 };
const GOOD = new Set(["ROUTED", "ISSUED"]);
const CALM = new Set(["ROUTED", "ORDERING", "WAITING", "COVERED", "PARKED", "CHALLENGE", "NOT_ENABLED", "CONSTRAINTS", "NOT_RUNNING"]);

export const isInternal = (item) => item.provider === "internal" || item.name.endsWith("@internal");
export const shortName = (name) => name.split("@")[0];
export const providerOf = (name) => name.split("@")[1] || "";

export function plural(count, one, many = one + "s") {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

// Every leaf server below a service, through weighted and other trees; `seen` guards against a loop.
export function serversOf(data, name, seen = new Set()) {
  if (seen.has(name)) return [];
  seen.add(name);
  const service = data.serviceByName.get(name);
  if (!service) return [];
  const own = (service.options.servers || []).map((server) => ({
    ...server, up: (service.serverStatus || {})[server.url] !== "DOWN",
  }));
  return own.concat(childrenOf(service).flatMap((child) => serversOf(data, child.name, seen)));
}

export function childrenOf(service) {
  const options = service.options;
  const named = (options.services || []).map((child) => ({ name: qualified(child.name, service), weight: child.weight ?? 1 }));
  for (const key of ["service", "fallback"]) {
    if (typeof options[key] === "string") named.push({ name: qualified(options[key], service), word: key === "fallback" ? "fallback" : "" });
  }
  for (const mirror of options.mirrors || []) named.push({ name: qualified(mirror.name, service), word: "mirror" });
  const sum = named.reduce((total, child) => total + (child.weight || 0), 0);
  return named.map((child) => ({ ...child, share: child.weight !== undefined && sum ? child.weight / sum : null }));
}

const qualified = (name, parent) => (name.includes("@") ? name : `${name}@${parent.provider}`);

export function serviceHealth(data, service) {
  if (service.status === "disabled") return BAD;
  const servers = serversOf(data, service.name);
  const up = servers.filter((server) => server.up).length;
  if (servers.length && !up) return BAD;
  const below = childrenOf(service).filter((child) => child.word !== "mirror" && child.weight !== 0);
  if (below.length && below.every((child) => (service.serverStatus || {})[child.name] === "DOWN")) return BAD;
  const leaf = service.kind === "loadBalancer";
  if (service.status === "warning" || up < servers.length || (leaf && !servers.length)) return WARN;
  return OK;
}

export function routerHealth(data, router) {
  if (router.status === "disabled" || router.refused) return BAD;
  if (router.asleep) return WARN;
  const service = data.serviceByName.get(router.service);
  const below = service ? serviceHealth(data, service) : BAD;
  return router.status === "warning" && below === OK ? WARN : below;
}

// What a person must know about a router that is not well, in one sentence.
export function routerTrouble(data, router) {
  if (router.refused) return `Answers 500: ${router.refused}`;
  if ((router.error || []).length) return router.error.join(" · ");
  if (router.asleep) return `Asleep, answers 503: ${router.asleep}`;
  const service = data.serviceByName.get(router.service);
  if (!service) return `Its service ${router.service} does not exist.`;
  const servers = serversOf(data, service.name);
  const down = servers.filter((server) => !server.up).length;
  if (!servers.length) return service.kind === "loadBalancer" ? "Its service has no server." : "";
  if (down === servers.length) return down === 1 ? "Its only server is down." : `All ${down} servers are down.`;
  if (childrenOf(service).length && serviceHealth(data, service) === BAD) return "None of the services that it needs can answer.";
  if (down) return `${plural(down, "server")} of ${servers.length} down.`;
  return (service.error || []).join(" · ");
}

export function workloadHealth(workload) {
  if (workload.left) return "gone";
  return GOOD.has(workload.verdict) ? OK : CALM.has(workload.verdict) ? "quiet" : WARN;
}

// Adds the lookups and healths that all views use.
export function understand(answer) {
  const data = { ...answer, serviceByName: new Map() };
  const kinds = (shape) => Object.keys(shape).find((key) => key.toLowerCase() === shape.type) || shape.type;
  const opened = (shape) => { const kind = kinds(shape); return { ...shape, kind, options: shape[kind] || {} }; };
  data.services = answer.services.map(opened);
  data.middlewares = answer.middlewares.map(opened);
  for (const service of data.services) data.serviceByName.set(service.name, service);
  data.middlewareNames = new Set(answer.middlewares.map((item) => item.name));
  data.routers = answer.routers.map((router) => ({ ...router, health: routerHealth(data, router), trouble: routerTrouble(data, router) }));
  for (const service of data.services) service.health = serviceHealth(data, service);
  for (const item of data.middlewares) item.health = item.status === "enabled" ? OK : item.status === "warning" ? WARN : BAD;
  data.certificates = (answer.certificates || []).map((item) => ({ ...item, health: { enabled: OK, warning: WARN }[item.status] || BAD }));
  resolved(data, answer.workloads);
  data.workloads = answer.workloads.map((item) => ({ ...item, health: workloadHealth(item) }));
  data.verdict = verdict(data);
  return data;
}

// What resolvers say of their names: when a certificate is renewed, and the names that have none.
function resolved(data, workloads) {
  const served = new Map(data.certificates.map((item) => [`${item.provider} ${[...item.sans].sort()}`, item]));
  for (const line of workloads.filter((item) => item.kind === "certificate" && !item.left)) {
    const names = (line.detail.names || line.name).split(", ");
    const item = served.get(`${line.provider} ${[...names].sort()}`);
    const next = line.detail["next attempt"] || "";
    const trouble = [line.reason, line.fix && `To do: ${line.fix}`].filter(Boolean);
    if (item) Object.assign(item, { next, resolver: line.detail.resolver, error: trouble });
    else if (line.verdict !== "COVERED") {
      data.certificates.push({ name: line.id, sans: names, commonName: "", source: `resolver ${line.detail.resolver}`, provider: line.provider,
        status: line.verdict, notBefore: "", notAfter: "", next, resolver: line.detail.resolver, error: trouble, health: line.verdict.startsWith("FAILED") ? BAD : "quiet" });
    }
  }
}

// The one sentence at the top.
function verdict(data) {
  const routers = data.routers.filter((router) => !isInternal(router));
  const bad = routers.filter((router) => router.health === BAD).length;
  const warn = routers.filter((router) => router.health === WARN).length;
  const errors = data.problems.filter((problem) => (problem.severity || "error") === "error").length;
  const stale = data.providers.filter((provider) => provider.state === "stale");
  const lead = plural(routers.length, "router") + (routers.length === 1 ? " leads" : " lead") + " to "
    + plural(data.services.filter((service) => !isInternal(service)).length, "service");
  const parts = [];
  if (bad) parts.push(`${plural(bad, "router")} ${bad === 1 ? "does" : "do"} not work`);
  if (warn) parts.push(`${plural(warn, "router")} ${warn === 1 ? "is" : "are"} not at full strength`);
  if (stale.length) parts.push(`${stale.map((provider) => provider.name).join(", ")} ${stale.length === 1 ? "gives" : "give"} no news`);
  if (errors) parts.push(plural(errors, "configuration problem"));
  const idle = data.workers.filter((worker) => worker.state !== "serving").length;
  if (idle) parts.push(`${plural(idle, "worker")} of ${data.workers.length} not serving`);
  const words = parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}` : parts[0] || "";
  if (bad) return { level: BAD, title: "Some traffic is failing", text: `${words}. ${lead}.` };
  if (parts.length) return { level: WARN, title: "Working, with something to look at", text: `${words}. ${lead}.` };
  if (!routers.length) return { level: OK, title: "Ready, nothing to route yet", text: "No provider has named a router so far." };
  return { level: OK, title: "All is well", text: `${lead}, and no server is known to be down.` };
}

// The same, once it is known what is being answered: errors that servers send count too.
export function verdictNow(data, rates) {
  const failing = Object.values(rates).reduce((sum, item) => sum + item.errors, 0);
  if (data.verdict.level !== OK || !failing) return data.verdict;
  return { level: WARN, title: "Working, with something to look at", text: `${rate(failing)} of requests are answered with an error (5xx); the routers below say where.` };
}

export function filtered(items, search, status, texts) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return items.filter((item) => {
    if (status && !(status === "well" ? item.health === OK || item.health === "quiet" : item.health === status)) return false;
    const text = texts(item).join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

export function byHealth(items) {
  return [...items].sort((a, b) => (ORDER[a.health] ?? 2) - (ORDER[b.health] ?? 2) || a.name.localeCompare(b.name));
}

export function ago(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function rate(value) {
  if (value >= 10000) return `${(value / 1000).toFixed(0)}k/s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)}k/s`;
  return value >= 10 || value === 0 ? `${Math.round(value)}/s` : `${value.toFixed(1)}/s`;
}
