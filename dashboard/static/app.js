// The page's life: asks /api/present every 2 s while it is seen, keeps what was chosen, shows one view.
import { Component, render } from "./vendor/preact.mjs";
import { Explain } from "./explain.js";
import { html } from "./html.js";
import { ago, byHealth, filtered, isInternal, plural, understand, verdictNow } from "./model.js";
import { Chip, Dot, Empty } from "./parts.js";
import { Certificates, EMPTY, Middlewares, Problems, Routers, Services, Workloads } from "./views.js";

const PERIOD = 2000, STEP = 200;
const TABS = [["routers", "Routers"], ["services", "Services"], ["middlewares", "Middlewares"], ["certificates", "Certificates"], ["workloads", "Workloads"], ["problems", "Problems"], ["explain", "Explain"]];
const FILTERS = [["", "All"], ["well", "Working"], ["warn", "To look at"], ["bad", "Failing"]];
const TEXTS = {
  routers: (item) => [item.name, item.rule, item.service, ...(item.middlewares || []), ...(item.using || [])],
  services: (item) => [item.name, item.kind, ...(item.options.servers || []).map((server) => server.url)],
  middlewares: (item) => [item.name, item.kind],
  certificates: (item) => [item.name, item.commonName, item.source, item.provider, ...item.sans],
  workloads: (item) => [item.name, item.provider, item.verdict, item.reason || "", ...(item.routers || [])],
  problems: (item) => [item.path, item.message, item.hint || "", item.source || ""],
};

class App extends Component {
  state = { data: null, rates: {}, heard: 0, fault: "", search: "", status: "", open: "", internal: false, shown: STEP, tab: tabNow() };

  componentDidMount() {
    addEventListener("hashchange", () => this.setState({ tab: tabNow(), open: "", shown: STEP }));
    document.addEventListener("visibilitychange", () => document.hidden || this.ask());
    addEventListener("keydown", (event) => this.key(event));
    this.ask();
  }

  componentDidUpdate(_, before) {
    if (before.tab !== this.state.tab || !before.data) {
      document.querySelector(".tabs [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
    }
  }

  async ask() {
    clearTimeout(this.timer);
    if (document.hidden || this.asking) return;
    this.asking = true;
    try {
      await this.fetch();
    } catch (fault) {
      this.setState({ fault: fault.message || "no answer" });
    }
    this.asking = false;
    this.timer = setTimeout(() => this.ask(), PERIOD);
  }

  async fetch() {
    const answer = await fetch("../api/present", {
      cache: "no-store", headers: this.tag ? { "If-None-Match": this.tag } : {}, signal: AbortSignal.timeout(10000),
    });
    const heard = Date.now();
    if (answer.status === 304) return this.setState({ heard, fault: "", rates: {} });
    if (!answer.ok) throw new Error((await answer.json()).message || `status ${answer.status}`);
    const data = understand(await answer.json());
    this.tag = answer.headers.get("ETag");
    const rates = this.rates(data.traffic.routers, heard);
    document.title = `${{ ok: "●", warn: "▲", bad: "✕" }[verdictNow(data, rates).level]} ${data.name || "EdgeRouter"}`;
    this.setState({ data, rates, heard, fault: "" });
  }

  rates(traffic, heard) {
    const before = this.before, seconds = before ? (heard - before.heard) / 1000 : 0, rates = {};
    this.before = { traffic, heard };
    if (!seconds) return rates;
    for (const [name, [requests, errors]] of Object.entries(traffic)) {
      const [r, e] = before.traffic[name] || [requests, errors];
      rates[name] = { requests: Math.max(0, requests - r) / seconds, errors: Math.max(0, errors - e) / seconds };
    }
    return rates;
  }

  key(event) {
    if (event.key === "/" && !["INPUT", "TEXTAREA"].includes(event.target.tagName)) {
      event.preventDefault();
      document.querySelector("#search")?.focus();
    } else if (event.key === "Escape") this.setState({ search: "", open: "" });
  }

  items(tab) {
    const { data, internal } = this.state;
    if (tab === "problems") return data.problems.map((item) => ({ ...item, name: item.path, health: item.severity === "warning" ? "warn" : "bad" }));
    if (tab === "workloads") return data.workloads;
    return data[tab].filter((item) => internal || !isInternal(item));
  }

  render(_, { data, rates, heard, fault, tab }) {
    if (!data) return html`<p class="waiting">${fault ? html`The router does not answer: ${fault}. Trying again …` : "Asking the router …"}</p>`;
    return html`
      <${Head} data=${data} />
      <main>
        ${fault && html`<p class="lost" role="alert">The router does not answer (${fault}). This is how it was ${ago((Date.now() - heard) / 1000)} ago.</p>`}
        <${Verdict} verdict=${verdictNow(data, rates)} />
        <${Strip} data=${data} />
        <nav class="tabs">${TABS.map(([name, title]) => html`
          <a href="#${name}" aria-current=${tab === name ? "page" : undefined}>${title}${name !== "explain" && html`<span class="count ${this.alarm(name)}">${this.items(name).length}</span>`}</a>`)}</nav>
        ${tab === "explain" ? html`<${Explain} />` : html`<${Tools} app=${this} />${this.list(tab)}`}
      </main>
      <footer>Changes show by themselves. <a href="../api/overview">API</a> <a href="../api/rawdata">Raw data</a>
        <button class="plain" onClick=${() => this.setState({ internal: !this.state.internal })}>${this.state.internal ? "Hide" : "Show"} internal routers</button></footer>`;
  }

  alarm(tab) {
    const items = this.items(tab);
    if (tab === "workloads") return "";
    return items.some((item) => item.health === "bad") ? "bad" : items.some((item) => item.health === "warn") ? "warn" : "";
  }

  list(tab) {
    const { data, search, status, shown, open, rates } = this.state;
    const all = this.items(tab);
    if (!all.length) return EMPTY[tab];
    const found = byHealth(filtered(all, search, status, TEXTS[tab]));
    if (!found.length) return html`<${Empty} title="Nothing fits">
      <p>None of ${plural(all.length, "entry", "entries")} has these words and this status. <button class="plain" onClick=${() => this.setState({ search: "", status: "" })}>Show all</button></p><//>`;
    const View = { routers: Routers, services: Services, middlewares: Middlewares, certificates: Certificates, workloads: Workloads, problems: Problems }[tab];
    return html`<${View} data=${data} items=${found.slice(0, shown)} rates=${rates} open=${open} now=${Date.now() / 1000}
        toggle=${(name) => this.setState({ open: open === name ? "" : name })} />
      ${found.length > shown && html`<button class="further" onClick=${() => this.setState({ shown: shown + STEP * 5 })}>Show more of ${plural(found.length, "entry", "entries")}</button>`}`;
  }
}

const Head = ({ data }) => html`
  <header><img src="icon.svg" alt="" width="28" height="28" /><span class="brand">${data.name || "EdgeRouter"}</span>
    <span class="version">${data.version}</span><span class="since">up for ${ago(Date.now() / 1000 - data.started)}</span></header>`;

const Verdict = ({ verdict }) => html`
  <section class="verdict-box ${verdict.level}" aria-live="polite"><span class="lamp" aria-hidden="true"></span>
    <div><h1>${verdict.title}</h1><p>${verdict.text}</p></div></section>`;

const STATES = { running: "ok", starting: "warn", stale: "bad", ended: "ok" };

function Strip({ data }) {
  const working = data.workers.filter((worker) => worker.state === "serving");
  const behind = working.filter((worker) => worker.generation !== data.generation).length;
  const providers = data.providers.filter((provider) => provider.name !== "internal");
  return html`<section class="strip">
    <div><h2>Entry points</h2><ul>${data.entryPoints.map((point) => html`
      <li><${Chip} kind="point">${point.name}<//><code>${point.address}</code><span class="soft">${plural(data.traffic.connections[point.name] || 0, "connection")}</span></li>`)}</ul></div>
    <div><h2>Providers</h2><ul>${providers.map((provider) => html`
      <li><${Dot} level=${STATES[provider.state] || "warn"} title=${provider.state} />${provider.name}
        <span class="soft">${provider.state === "stale" ? `${provider.reason}, for ${ago(Date.now() / 1000 - provider.since)}; its last routes stay` : provider.state}</span></li>`)}
      ${!providers.length && html`<li class="soft">none: add one, such as --providers.docker</li>`}</ul></div>
    <div><h2>Workers</h2><ul><li><${Dot} level=${working.length === data.workers.length && working.length ? "ok" : "warn"} />${working.length} of ${plural(data.workers.length, "worker")} serving</li>
      <li class="soft">${behind ? `${behind} still on an older plan` : `plan ${data.generation}, ${data.published ? `since ${ago(Date.now() / 1000 - data.published)}` : "none yet"}`}</li></ul></div>
  </section>`;
}

const Tools = ({ app }) => html`
  <div class="tools"><input id="search" type="search" placeholder="Search names, hosts, paths, servers" aria-label="Search" value=${app.state.search}
      onInput=${(event) => app.setState({ search: event.target.value, shown: STEP })} />
    <div class="filters" role="group" aria-label="Status">${FILTERS.map(([value, title]) => html`
      <button aria-pressed=${app.state.status === value} onClick=${() => app.setState({ status: value, shown: STEP })}>${title}</button>`)}</div></div>`;

function tabNow() {
  const name = location.hash.slice(1);
  return TABS.some(([tab]) => tab === name) ? name : "routers";
}

render(html`<${App} />`, document.querySelector("#page"));
