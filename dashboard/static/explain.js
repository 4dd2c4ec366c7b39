// The question "why does this request go there?": a form, and the router's answer clause by clause.
import { Component } from "./vendor/preact.mjs";
import { html } from "./html.js";
import { Chip, Dot, Name, Rule } from "./parts.js";

const ID = /^404-[0-9a-f]{10}$/;
const METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
let last = { url: "", method: "GET", headers: "", answer: null, fault: "", busy: false };

export class Explain extends Component {
  state = last;

  componentDidUpdate() {
    last = this.state;
  }

  async ask(event) {
    event.preventDefault();
    const url = this.state.url.trim();
    if (!url || this.state.busy) return;
    this.setState({ busy: true });
    try {
      const found = await fetch(`../api/explain?${this.query(url)}`, { cache: "no-store", signal: AbortSignal.timeout(10000) });
      const answer = await found.json();
      this.setState(found.ok ? { answer, fault: "", busy: false } : { answer: null, fault: answer.message, busy: false });
    } catch (fault) {
      this.setState({ fault: fault.message || "no answer", busy: false });
    }
  }

  query(url) {
    if (ID.test(url)) return new URLSearchParams({ id: url });
    const query = new URLSearchParams({ url, method: this.state.method });
    for (const line of this.state.headers.split("\n")) if (line.trim()) query.append("header", line.trim());
    return query;
  }

  render(_, { url, method, headers, answer, fault, busy }) {
    const id = ID.test(url.trim());
    return html`<form class="ask" onSubmit=${(event) => this.ask(event)}>
        <div class="asked"><select aria-label="Method" disabled=${id} value=${method} onChange=${(event) => this.setState({ method: event.target.value })}>
            ${METHODS.map((name) => html`<option>${name}</option>`)}</select>
          <input id="url" type="text" spellcheck="false" autocomplete="off" aria-label="URL or id of a 404 page" placeholder="shop.example.com/cart, or the id of a 404 page"
            value=${url} onInput=${(event) => this.setState({ url: event.target.value })} />
          <button class="go" disabled=${busy || !url.trim()}>Explain</button></div>
        ${!id && html`<textarea rows="2" spellcheck="false" aria-label="Headers" placeholder="Headers, one a line. Host: shop.example.com" value=${headers}
          onInput=${(event) => this.setState({ headers: event.target.value })}></textarea>`}
      </form>
      ${fault && html`<p class="lost" role="alert">${fault}</p>`}
      ${answer ? html`<${Answer} answer=${answer} />` : !fault && html`<div class="empty"><h3>Where does a request go, and why?</h3>
        <p>Ask for a URL: the answer names the router that takes it, those that came near, and what discovery left out that would have taken it, with what to write.</p></div>`}`;
  }
}

const LEVELS = (answer) => (!answer.status ? "ok" : answer.status === 503 ? "warn" : "bad");

function Answer({ answer }) {
  const servers = answer.services.flatMap((service) => service.servers);
  return html`<section class="answer" aria-live="polite">
    <h2><${Dot} level=${LEVELS(answer)} />${outcome(answer)}</h2>
    <p class="under"><code>${answer.method} ${answer.url}</code><${Chip} kind="point" title="entry point">${answer.entryPoint}<//></p>
    ${answer.note && html`<p class="soft">${answer.note}</p>`}
    ${answer.findings.length > 0 && html`<ul class="rows findings">${answer.findings.map((finding) => html`
      <li class="row"><div class="story"><span class="verdict warn">${finding.code}</span> ${finding.message}
        ${finding.fix && html`<p class="fix"><span class="label">To do</span> <code>${finding.fix}</code></p>`}</div></li>`)}</ul>`}
    ${answer.middlewares.length > 0 && html`<h3>Middlewares, outermost first</h3><ul>${answer.middlewares.map((step) => html`
      <li><${Dot} level=${step.status === "enabled" ? "ok" : "bad"} title=${step.status} /> <${Name} name=${step.name} /> <span class="kind">${step.kind || "missing"}, from ${step.origin}</span></li>`)}</ul>`}
    ${servers.length > 0 && html`<h3>Servers</h3><ul>${servers.map(([url, weight, up]) => html`
      <li><${Dot} level=${up ? "ok" : "bad"} title=${up ? "up" : "down"} /> <code>${url}</code> <span class="kind">weight ${weight}</span></li>`)}</ul>`}
    ${answer.tried.length > 0 && html`<h3>Routers, as they are tried</h3><ul class="rows">${answer.tried.map((tried) => html`<${Tried} tried=${tried} />`)}</ul>`}
    ${answer.others > 0 && html`<p class="soft">and ${answer.others} more whose rule does not hold</p>`}
  </section>`;
}

function outcome(answer) {
  if (answer.status === 404) return "404: no router takes it";
  if (answer.status) return `${answer.status} ${answer.verdict}${answer.router ? ` at router ${answer.router}` : ""}`;
  return `Router ${answer.router} takes it`;
}

const OUTCOMES = { won: "ok", lost: "quiet", near: "warn" };

const Tried = ({ tried }) => html`<li class="row tried">
  <${Dot} level=${OUTCOMES[tried.outcome] || "quiet"} title=${tried.outcome} />
  <div class="what"><span><${Name} name=${tried.router} /> <span class="kind">${tried.outcome}${Number.isSafeInteger(tried.priority) ? `, priority ${tried.priority}` : ""}</span></span>
    ${tried.clauses.length ? html`<ul class="clauses">${tried.clauses.map((clause) => html`
      <li class=${clause.holds ? "holds" : "fails"}><span class="truth">${clause.holds ? "true" : "false"}</span><${Rule} rule=${clause.text} /></li>`)}</ul>` : html`<${Rule} rule=${tried.rule || "no rule"} />`}
    ${tried.outcome !== "won" && html`<span class="under">${tried.reason}</span>`}</div></li>`;
