// One view a kind of object: routers, services, middlewares, problems, workloads.
import { html } from "./html.js";
import { ago, childrenOf, rate, serversOf, shortName } from "./model.js";
import { Chip, Dot, Empty, Facts, Name, Options, Rule, Servers } from "./parts.js";

const LABELS = `docker run -d \\
  --label 'edgerouter.http.routers.web.rule=Host(\`web.localhost\`)' \\
  your-image`;

export function Routers({ data, items, rates, open, toggle }) {
  return html`<ul class="rows">${items.map((router) => html`
    <li key=${router.name} class="row ${router.health} ${open === router.name ? "open" : ""}">
      <button class="line route" aria-expanded=${open === router.name} onClick=${() => toggle(router.name)}>
        <${Dot} level=${router.health} />
        <span class="what"><${Rule} rule=${router.rule || "no rule"} />
          <span class="under"><${Name} name=${router.name} />${router.tls ? html`<${Chip} kind="tls" title="TLS connections only">TLS<//>` : ""}${(router.using || []).map(
            (point) => html`<${Chip} kind="point" title="entry point">${point}<//>`)}</span></span>
        <span class="where"><${Way} data=${data} router=${router} /></span>
        <${Rate} rates=${rates[router.name]} />
      </button>
      ${router.trouble && html`<p class="trouble">${router.trouble}</p>`}
      ${open === router.name && html`<${RouterDetail} data=${data} router=${router} />`}
    </li>`)}</ul>`;
}

// middlewares → service → servers, which is where a router leads.
function Way({ data, router }) {
  const servers = serversOf(data, router.service), service = data.serviceByName.get(router.service);
  return html`
    <span class="way">
      ${(router.middlewares || []).map((name) => html`<span class="arrow">→</span>${data.middlewareNames.has(name)
        ? html`<${Chip} kind="middleware" title=${`middleware ${name}`}>${shortName(name)}<//>`
        : html`<${Chip} kind="absent" title=${`middleware ${name} does not exist`}>${shortName(name)}<//>`}`)}
      <span class="arrow">→</span><span class="target"><${Name} name=${router.service || "no service"} /></span>
      ${service ? childrenOf(service).map((child) => html`<${Share} child=${child} />`) : ""}
    </span>
    ${servers.length ? html`<${Servers} servers=${servers} most=${3} />` : ""}`;
}

const Share = ({ child }) => html`<${Chip} title=${child.name}>${child.share !== null ? percent(child.share) : child.word} ${shortName(child.name)}<//>`;

function Rate({ rates }) {
  if (!rates) return html`<span class="rate quiet" title="requests a second">0/s</span>`;
  const failing = rates.errors > 0;
  return html`<span class="rate ${rates.requests ? "" : "quiet"}" title="requests a second">${rate(rates.requests)}
    ${failing && html`<span class="failing" title="answers with 5xx a second">${rate(rates.errors)} failing</span>`}</span>`;
}

// What requests really pass, and who put it there.
const link = (item) => `${shortName(item.name)} (${item.leftOut ? "left out, " : ""}${item.origin})`;

function RouterDetail({ data, router }) {
  const service = data.serviceByName.get(router.service);
  return html`<div class="detail">
    <${Facts} pairs=${[["Priority", router.priorityStr], ["Provider", router.provider], ["Entry points", (router.using || []).join(", ")],
      ["TLS", router.tls ? (typeof router.tls === "object" && router.tls.certResolver) || "yes" : "no"],
      ["Middlewares", (router.middlewares || []).join(", ") || "none"],
      ...(router.chain || []).length ? [["Chain", router.chain.map(link).join(" → ")]] : [], ["Service", router.service]]} />
    <code class="rule raw">${router.rule}</code>
    ${service && html`<${Tree} data=${data} service=${service} depth=${0} />`}
  </div>`;
}

function Tree({ data, service, depth }) {
  if (depth > 6) return "";
  return html`<div class="tree">
    <div><${Dot} level=${service.health} /><${Name} name=${service.name} /> <span class="kind">${service.kind}</span></div>
    <ul>${serversHere(service).map((server) => html`<li class=${server.up ? "" : "down"}>
        <${Dot} level=${server.up ? "ok" : "bad"} title=${server.up ? "up" : "down"} /><code>${server.url}</code>
        ${server.weight !== undefined && html` <span class="kind">weight ${server.weight}</span>`}</li>`)}
      ${childrenOf(service).map((child) => html`<li>
        ${child.share !== null && html`<span class="share">${percent(child.share)}</span>`}${child.word && html`<span class="share">${child.word}</span>`}
        ${data.serviceByName.has(child.name) ? html`<${Tree} data=${data} service=${data.serviceByName.get(child.name)} depth=${depth + 1} />` : html`<span class="missing">${child.name} does not exist</span>`}</li>`)}</ul>
  </div>`;
}

const percent = (share) => `${Number((share * 100).toFixed(share < 0.1 ? 1 : 0))} %`;

const serversHere = (service) => (service.options.servers || []).map((server) => ({ ...server, up: (service.serverStatus || {})[server.url] !== "DOWN" }));

export function Services({ data, items, open, toggle }) {
  return html`<ul class="rows">${items.map((service) => html`
    <li key=${service.name} class="row ${service.health} ${open === service.name ? "open" : ""}">
      <button class="line" aria-expanded=${open === service.name} onClick=${() => toggle(service.name)}>
        <${Dot} level=${service.health} />
        <span class="what"><${Name} name=${service.name} /><span class="under"><span class="kind">${service.kind}</span>
          <span>${usedBy(service)}</span></span></span>
        <span class="where">${childrenOf(service).length ? html`<span class="way">${childrenOf(service).map((child) => html`<${Share} child=${child} />`)}</span>` : ""}
          ${serversOf(data, service.name).length ? html`<${Servers} servers=${serversOf(data, service.name)} />` : html`<span class="kind">no server</span>`}</span>
      </button>
      ${(service.error || []).map((text) => html`<p class="trouble">${text}</p>`)}
      ${open === service.name && html`<div class="detail"><${Tree} data=${data} service=${service} depth=${0} /><${Options} value=${{ [service.kind]: service.options }} /></div>`}
    </li>`)}</ul>`;
}

const usedBy = (item) => ((item.usedBy || []).length ? `used by ${item.usedBy.slice(0, 3).map(shortName).join(", ")}${item.usedBy.length > 3 ? ` and ${item.usedBy.length - 3} more` : ""}` : "not used by any router");

export function Middlewares({ items, open, toggle }) {
  return html`<ul class="rows">${items.map((item) => html`
    <li key=${item.name} class="row ${item.health} ${open === item.name ? "open" : ""}">
      <button class="line" aria-expanded=${open === item.name} onClick=${() => toggle(item.name)}>
        <${Dot} level=${item.health} />
        <span class="what"><${Name} name=${item.name} /><span class="under"><span class="kind">${item.kind}</span></span></span>
        <span class="where"><span class="under">${usedBy(item)}</span></span>
      </button>
      ${(item.error || []).map((text) => html`<p class="trouble">${text}</p>`)}
      ${open === item.name && html`<div class="detail"><${Options} value=${{ [item.kind]: item.options }} /></div>`}
    </li>`)}</ul>`;
}

export function Certificates({ items, open, toggle, now }) {
  return html`<ul class="rows">${items.map((item) => html`
    <li key=${item.name} class="row ${item.health} ${open === item.name ? "open" : ""}">
      <button class="line" aria-expanded=${open === item.name} onClick=${() => toggle(item.name)}>
        <${Dot} level=${item.health} title=${item.status} />
        <span class="what"><span class="name">${item.sans.slice(0, 3).join(", ") || item.commonName || "no name"}${item.sans.length > 3 ? ` and ${item.sans.length - 3} more` : ""}</span>
          <span class="under"><span class="kind">${item.source}</span>${item.default && html`<${Chip} title="served where no certificate bears the asked name">default<//>`}</span></span>
        <span class="where"><span class="under">${expiry(item, now)}</span></span>
      </button>
      ${(item.error || []).map((text) => html`<p class="trouble">${text}</p>`)}
      ${open === item.name && html`<div class="detail"><${Facts} pairs=${[["Names", item.sans.join(", ") || "none"], ["State", item.status], ["Resolver", item.resolver || ""], ["Next attempt", item.next || ""],
        ...(item.notAfter ? [["Issuer", item.issuerCN || item.issuerOrg], ["Valid", `${item.notBefore.slice(0, 10)} to ${item.notAfter.slice(0, 10)}`],
          ["Serial", item.serialNumber], ["Key", `${item.keyType} ${item.keySize || ""}`], ["Fingerprint", item.certFingerprint]] : [])]} /></div>`}
    </li>`)}</ul>`;
}

function expiry(item, now) {
  if (!item.notAfter) return item.resolver ? item.status.toLowerCase().replace("_", ": ") : "is not served";
  const left = Date.parse(item.notAfter) / 1000 - now;
  return left < 0 ? `expired ${ago(-left)} ago` : `${ago(left)} left`;
}

export function Problems({ items }) {
  return html`<ul class="rows">${items.map((problem) => html`
    <li class="row problem ${problem.health}">
      <div class="line still"><${Dot} level=${problem.health} title=${problem.health === "bad" ? "error" : "warning"} />
        <span class="what"><strong>${problem.message}</strong>
          <span class="under"><code>${problem.path}</code>${problem.source && html`<span class="kind">${problem.source}</span>`}</span>
          ${problem.hint && html`<span class="fix"><span class="label">To do</span> ${problem.hint}</span>`}</span></div>
    </li>`)}</ul>`;
}

export function Workloads({ items, now }) {
  return html`<ul class="rows">${items.map((item) => html`
    <li key=${item.provider + item.id} class="row ${item.health}">
      <div class="line still"><${Dot} level=${item.health} title=${item.verdict} />
        <span class="what"><span class="name">${item.name}<span class="at">@${item.provider}</span></span>
          <span class="under"><span class="kind">${item.kind}</span>${item.left ? html`<span>left ${ago(now - item.left)} ago</span>` : item.changed ? html`<span>for ${ago(now - item.changed)}</span>` : ""}</span></span>
        <span class="where story"><span class="verdict ${item.health}">${item.left ? `was ${item.verdict}` : item.verdict}</span>
          ${item.reason && html`<span>${item.reason}</span>`}
          ${item.routers && item.routers.length > 0 && html`<span class="under">${item.routers.map((name) => html`<${Chip} kind="target">${name}<//>`)}</span>`}
          ${item.fix && html`<span class="fix"><span class="label">To do</span> <code>${item.fix}</code></span>`}</span></div>
    </li>`)}</ul>`;
}

export const EMPTY = {
  routers: html`<${Empty} title="No router yet"><p>Give a container a label and it appears here within a second:</p><pre>${LABELS}</pre>
    <p>or write a file that <code>--providers.file.filename</code> names.</p><//>`,
  services: html`<${Empty} title="No service yet"><p>Services come with routers: every labelled container is one.</p><//>`,
  middlewares: html`<${Empty} title="No middleware in use"><p>Middlewares change requests on their way, for example a label <code>edgerouter.http.middlewares.cut.stripprefix.prefixes=/api</code>.</p><//>`,
  certificates: html`<${Empty} title="No certificate yet"><p>Give one in <code>tls.certificates</code> of a file: <code>certFile</code> and <code>keyFile</code>; or let a router name a resolver: <code>tls.certResolver</code>.</p><//>`,
  problems: html`<${Empty} title="No problems"><p>Every label, file and option that was read made sense.</p><//>`,
  workloads: html`<${Empty} title="Nothing has been seen yet"><p>Turn on a provider that finds workloads, for example <code>--providers.docker</code>; each container is then listed here with what became of it, and why.</p><//>`,
};
