// Small pieces that all views are made of. Data in, elements out.
import { html } from "./html.js";
import { providerOf, shortName } from "./model.js";

const WORDS = { ok: "works", warn: "look at this", bad: "does not work", quiet: "left alone", gone: "gone" };

export const Dot = ({ level, title }) =>
  html`<span class="dot ${level}" role="img" aria-label=${title || WORDS[level]} title=${title || WORDS[level]}></span>`;

export const Name = ({ name }) =>
  html`<span class="name">${shortName(name)}${providerOf(name) && html`<span class="at">@${providerOf(name)}</span>`}</span>`;

export const Chip = ({ kind = "", title, children }) => html`<span class="chip ${kind}" title=${title}>${children}</span>`;

// A rule with its matchers and texts told apart; whatever is no token is shown as it stands.
const TOKENS = /(`[^`]*`|"(?:[^"\\]|\\.)*"|&&|\|\||!|[A-Za-z]+(?=\())/g;

export function Rule({ rule }) {
  const parts = rule.split(TOKENS).filter((part) => part !== "");
  return html`<code class="rule">${parts.map((part) => {
    if (part[0] === "`" || part[0] === '"') return html`<b>${part.slice(1, -1)}</b>`;
    if (part === "&&") return html` <i>and</i> `;
    if (part === "||") return html` <i>or</i> `;
    if (part === "!") return html`<i>not </i>`;
    return /^[A-Za-z]+$/.test(part) ? html`<span class="matcher">${part}</span>` : part.trim() === "" ? " " : part;
  })}</code>`;
}

export const Servers = ({ servers, most = 4 }) => html`
  <span class="servers">
    ${servers.slice(0, most).map((server) => html`
      <span class="server ${server.up ? "" : "down"}" title=${server.up ? "up" : "down"}>
        <${Dot} level=${server.up ? "ok" : "bad"} title=${server.up ? "up" : "down"} />${address(server.url)}
      </span>`)}
    ${servers.length > most && html`<span class="more">+ ${servers.length - most}</span>`}
  </span>`;

export const address = (url) => url.replace(/^http:\/\//, "").replace(/^unix:.*\//, "unix:…/");

export const Options = ({ value }) => html`<pre class="options">${JSON.stringify(value, null, 2)}</pre>`;

export const Empty = ({ title, children }) => html`<div class="empty"><h3>${title}</h3>${children}</div>`;

export const Facts = ({ pairs }) => html`
  <dl class="facts">${pairs.filter(([, value]) => value !== undefined && value !== "" && value !== false).map(
    ([word, value]) => html`<div><dt>${word}</dt><dd>${value}</dd></div>`)}</dl>`;
