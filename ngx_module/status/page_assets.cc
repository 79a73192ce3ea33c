// See page_assets.h.

#include "ngx_module/status/page_assets.h"

namespace dynweight {

const char kPageStyle[] = R"css(
:root { color-scheme: light dark; --bg: #f6f7f9; --card: #fff; --ink: #1c2430;
  --soft: #5b6675; --rule: #dfe3e8; --t: #b4bfcc; --o: #2563eb; --ok: #15803d;
  --bad: #c42b1c; --bad-bg: #fdecea; --off: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --bg: #12161c; --card: #1a2028;
  --ink: #e6eaf0; --soft: #9aa6b5; --rule: #2c3540; --t: #566374; --o: #6ea8fe;
  --ok: #4ade80; --bad: #ff7b72; --bad-bg: #3a1d1d; --off: #e3b341; } }
* { box-sizing: border-box; } [hidden] { display: none !important; }
body { margin: 0 auto; padding: 1rem; max-width: 90rem; background: var(--bg);
  color: var(--ink); font: 14px/1.45 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: baseline;
  gap: .25rem 1rem; }
h1 { font-size: 1.25rem; margin: 0; overflow-wrap: anywhere; }
h1 span { color: var(--soft); font-weight: 400; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
a { color: inherit; text-decoration-color: var(--t);
  text-underline-offset: 3px; }
#verdict { margin: 0; font-weight: 600; color: var(--ok); }
#verdict.bad { color: var(--bad); } #verdict.off { color: var(--off); }
#time { margin: 0 0 0 auto; color: var(--soft);
  font-variant-numeric: tabular-nums; }
section { background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; padding: .75rem 1rem; margin: .75rem 0; }
.wide { overflow-x: auto; } .why { white-space: nowrap; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; vertical-align: middle;
  border-top: 1px solid var(--rule); }
thead th { border: 0; color: var(--soft); font-weight: 500; font-size: .85em;
  white-space: nowrap; padding-top: 0; }
th:first-child, td:first-child { padding-left: 0; }
.n { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.ok { color: var(--ok); } .bad { color: var(--bad); }
.off { color: var(--off); }
.error { color: var(--bad); font-size: .9em; overflow-wrap: anywhere;
  max-width: 40rem; }
small, .why, .legend, #shown, #more { color: var(--soft); }
.legend { margin: 0 0 .5rem; font-size: .85em; }
.legend i { display: inline-block; width: 1.5em; height: .5em;
  margin-left: .75em; }
.legend i:first-child { margin-left: 0; } h1 a { text-decoration: none; }
.legend .t { background: var(--t); } .legend .o { background: var(--o); }
#upstreams tbody { border-top: 1px solid var(--rule); }
#upstreams tbody tr + tr td { border-top: 0; }
#upstreams tbody.problem th { box-shadow: inset 3px 0 var(--bad);
  padding-left: .6rem; }
#upstreams tbody th { vertical-align: top; overflow-wrap: anywhere;
  min-width: 8em; }
#upstreams tr td:first-child { padding-left: .6rem; }
.share { width: 32%; min-width: 16rem; white-space: nowrap; }
.bars { width: calc(100% - 8.5em); height: 14px; vertical-align: middle;
  background: var(--bg); border-radius: 2px; }
.bars .t { fill: var(--t); } .bars .o { fill: var(--o); }
.pct { display: inline-block; width: 8.2em; text-align: right;
  color: var(--soft); font-variant-numeric: tabular-nums; }
.pct b { display: inline-block; width: 4em; color: var(--ink);
  font-weight: 600; }
.h { width: 160px; } .h svg { display: block; width: 160px; height: 24px; }
.h polyline { fill: none; stroke-width: 1.5;
  vector-effect: non-scaling-stroke; }
.h .t { stroke: var(--t); } .h .o { stroke: var(--o); }
form { margin: 0 0 .5rem; display: flex; flex-wrap: wrap; gap: .5rem 1rem;
  align-items: center; }
input[type=search] { font: inherit; padding: .3rem .6rem; width: 20rem;
  max-width: 100%; border: 1px solid var(--t); border-radius: 6px;
  background: var(--bg); color: inherit; }
#decisions td, #peers td, #down td { white-space: nowrap; }
#peers td:nth-child(4), #down td:nth-child(4) { white-space: normal;
  overflow-wrap: anywhere; min-width: 8em; }
#decisions { font-variant-numeric: tabular-nums; }
#down:not(:has(tbody tr)) { display: none; } #time.bad { color: var(--bad); }
#more { margin: .25rem 0 0; } #more:empty { display: none; }
#tuning { margin: 0; } #rules:not(:has(tbody tr)) { display: none; }
@media (max-width: 60rem) { .h { display: none; } }
@media (max-width: 40rem) {
  body { padding: .5rem; } section { padding: .6rem .7rem; }
  #time { margin: 0; width: 100%; }
  input[type=search] { width: 100%; }
  #upstreams thead, #clusters thead, #clusters .n { display: none; }
  #upstreams, #clusters, #upstreams tbody, #clusters tbody { display: block; }
  #upstreams tr, #clusters tr { display: grid; gap: 0 .75rem;
    align-items: baseline; grid-template-columns: 1fr auto auto; }
  #upstreams th, #upstreams td, #clusters th, #clusters td { border: 0;
    padding: .1rem 0; min-width: 0; }
  #upstreams tbody { padding: .4rem 0; }
  #upstreams tr { padding-bottom: .3rem; }
  #upstreams tbody th { grid-area: 1 / 1 / auto / -1; }
  #upstreams tr td.to { grid-area: 2 / 1; padding: .1rem 0; }
  #upstreams td.w { grid-area: 2 / 2; } #upstreams td.up { grid-area: 2 / 3; }
  #upstreams td.w::before { content: "weight "; color: var(--soft); }
  #upstreams td.up::after { content: " up"; color: var(--soft); }
  #upstreams td.share { grid-area: 3 / 1 / auto / -1; width: auto; }
  #upstreams td.why { grid-area: 4 / 1 / auto / -1; font-size: .85em;
    white-space: normal; }
  #decisions thead, #down thead, #down td:nth-child(n+6) { display: none; }
  #decisions, #decisions tbody, #down, #down tbody { display: block; }
  #decisions tr, #down tr { display: grid; gap: 0 .75rem; padding: .3rem 0;
    grid-template-columns: auto 1fr auto; border-top: 1px solid var(--rule); }
  #decisions td, #down td { border: 0; padding: .1rem 0; white-space: normal;
    overflow-wrap: anywhere; }
  #decisions td:nth-child(1) { grid-area: 2 / 3; color: var(--soft);
    font-size: .85em; }
  #decisions td:nth-child(4) { grid-area: 1 / 3; }
  #decisions td:nth-child(5) { grid-area: 2 / 1 / auto / 3; font-size: .85em; }
  #down td:nth-child(3) { grid-area: 2 / 1 / auto / -1; }
  #down td:nth-child(4) { grid-area: 3 / 1 / auto / -1; color: var(--soft); }
  #down td:nth-child(5) { grid-area: 1 / 3; text-align: right; }
  #clusters td:nth-child(2) { grid-area: 1 / 2; }
  #clusters td:nth-child(3) { grid-area: 1 / 3; color: var(--soft); }
  #clusters td:nth-child(4) { grid-area: 2 / 1 / auto / -1;
    color: var(--soft); }
  #clusters td:nth-child(2):has(.error) { grid-area: 3 / 1 / auto / -1; }
}
)css";

const char kPageScript[] = R"js(
'use strict';
(() => {
const PACE = 500;          // milliseconds between two looks, at least
const POINT = 1000;        // and between two points of a chart
const KEEP = 300;          // points of a chart
const SPAN = 5;            // points that a point's share is counted over
const MAX_DOWN = 200;      // rows of the list of servers that do not serve
const MAX_NAMED = 3;       // upstreams with problems in the verdict
const only = new URLSearchParams(location.search).get('upstream');
const $ = id => document.getElementById(id);
const text = (node, value) => {
  value = String(value);
  if (node.textContent !== value) node.textContent = value;
};
const make = (name, className, ...children) => {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children);
  return node;
};
const shape = (name, attributes) => {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  return node;
};
const percent = share => share === null ? '–' : (100 * share).toFixed(1) + '%';
const plural = (n, word) => n + ' ' + word + (n === 1 ? '' : 's');
const when = ms => ms
  ? new Date(ms).toISOString().replace('T', ' ').replace(/\.\d+/, '') : 'never';

// ---- Upstreams: a body of rows each, made once and then kept up to date.

const table = $('upstreams');
const bodies = new Map();
let pointed = -POINT;      // when the charts got their last point
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) {
    const body = bodies.get(entry.target.dataset.name);
    if (!body) continue;
    body.visible = entry.isIntersecting;
    if (body.visible) body.parts.forEach(draw);
  }
});

// Which of the upstream's priorities a line is of, and whether it waits.
const standing = ({failover}, {priority, backup}) => !failover || backup ? ''
  : `priority ${priority}` + (failover.priorities.find(
    one => one.priority === priority).share ? '' : ', stands by');

const partsOf = upstream => [
  ...upstream.clusters.map(line => ({line, name: line.cluster,
    standing: standing(upstream, line), ...line})),
  ...upstream.servers.map(all => ({name: 'servers', standing: '', ...all})),
];

function makeBody(name, parts) {
  const body = {node: make('tbody'), parts: [], name, layout: layout(parts)};
  body.node.dataset.name = name;
  const link = make('a', '', name);
  link.href = '?upstream=' + encodeURIComponent(name);
  const head = make('th', '', link);
  head.rowSpan = parts.length;
  head.scope = 'rowgroup';
  parts.forEach((part, i) => {
    const row = make('tr', '', ...(i ? [] : [head]));
    const to = make('td', 'to', part.name);
    if (part.backup) to.append(' ', make('small', '', 'backup'));
    const priority = make('small');
    to.append(' ', priority);
    const target = shape('rect', {class: 't', height: 5});
    const observed = shape('rect', {class: 'o', y: 7, height: 5});
    const bars = shape('svg', {class: 'bars', viewBox: '0 0 1 12',
      preserveAspectRatio: 'none'});
    bars.append(target, observed);
    const now = make('b');
    const promised = document.createTextNode('');
    const chart = shape('svg', {viewBox: '0 0 160 24',
      preserveAspectRatio: 'none'});
    const lines = [shape('polyline', {class: 't'}),
      shape('polyline', {class: 'o'})];
    chart.append(...lines);
    const entry = {target, observed, now, promised, lines, priority,
      weight: make('td', 'n w'), why: make('td', 'why'),
      servers: make('td', 'n up'), history: [[], []], counts: []};
    row.append(to, entry.weight, entry.why,
      make('td', 'share', bars, make('span', 'pct', promised, ' ', now)),
      entry.servers, make('td', 'h', chart));
    body.node.append(row);
    body.parts.push(entry);
  });
  return body;
}

const layout = parts => parts.map(part =>
  [part.name, part.source, part.port, part.backup].join(' ')).join('\n');

const tuned = ({tuned: t}) => t ? ` · ${t.peers} by tuning: ${t.least}`
  + (t.least === t.most ? '' : ` to ${t.most}`) : '';

function updatePart(entry, part) {
  text(entry.weight, part.weight === null ? '?' : part.line ? part.weight
    : Math.floor(part.weight / Math.max(part.peers, 1)));
  text(entry.why, !part.line
    ? plural(part.peers, 'server') + (part.peers === 1 ? ', weight '
      : ', weights ') + part.weight + (part.peers === 1 ? '' : ' in all')
    : part.weight === null ? part.reason
    : part.kind === 'instances'
    ? plural(part.pods, 'instance') + (part.pods === 1 ? ' × ' : ', each × ')
      + part.base + tuned(part)
    : `${plural(part.pods, 'pod')} × ${part.base} ÷ `
      + plural(part.used_nodes, 'node')
      + (part.no_ingress ? ` · no ${part.ingress}` : '')
      + (part.provisional ? ' · provisional' : '')
      + tuned(part));
  if (part.line) entry.why.title = part.reason;
  text(entry.priority, part.standing);
  entry.target.setAttribute('width', part.target_share ?? 0);
  entry.observed.setAttribute('width', part.observed_share ?? 0);
  if (entry.promised.data !== percent(part.target_share)) {
    entry.promised.data = percent(part.target_share);
  }
  text(entry.now, percent(part.observed_share));
  text(entry.servers, part.serving + ' / ' + part.peers);
  entry.servers.classList.toggle('bad', part.failed > 0);
}

// The share of the last few looks; a counter that falls began anew.
function remember(body, parts) {
  const came = parts.map((part, i) => {
    const counts = body.parts[i].counts;
    counts.push(part.requests);
    if (counts.length > SPAN + 1) counts.shift();
    return Math.max(part.requests - counts[0], 0);
  });
  [false, true].forEach(backup => {
    const of = i => parts[i].backup === backup;
    const all = came.reduce((sum, n, i) => of(i) ? sum + n : sum, 0);
    parts.forEach((part, i) => {
      if (!of(i)) return;
      [part.target_share ?? NaN, all ? came[i] / all : NaN].forEach(
        (value, which) => {
          const points = body.parts[i].history[which];
          points.push(value);
          if (points.length > KEEP) points.shift();
        });
    });
  });
}

function draw(entry) {
  const known = entry.history.flat().filter(value => !isNaN(value));
  const top = Math.max(0.05, ...known);
  entry.history.forEach((values, which) => {
    const width = Math.max(values.length, 60) - 1;
    const points = [];
    values.forEach((value, i) => {
      if (isNaN(value)) return;
      const x = 160 * (width - values.length + 1 + i) / width;
      points.push(x.toFixed(1) + ',' + (23 - 22 * value / top).toFixed(1));
    });
    entry.lines[which].setAttribute('points', points.join(' '));
  });
}

function updateUpstreams(status) {
  // Problems first, as the page came.
  const names = Object.keys(status.upstreams);
  names.sort((a, b) => status.upstreams[b].problem
    - status.upstreams[a].problem);
  const point = performance.now() - pointed >= POINT;
  if (point) pointed = performance.now();
  let fresh = names.length !== bodies.size;
  const problems = [];
  for (const name of names) {
    const upstream = status.upstreams[name];
    const parts = partsOf(upstream);
    let body = bodies.get(name);
    if (!body || body.layout !== layout(parts)) {
      body = makeBody(name, parts);
      bodies.set(name, body);
      fresh = true;
    }
    if (point) remember(body, parts);
    parts.forEach((part, i) => updatePart(body.parts[i], part));
    fresh ||= body.problem !== upstream.problem;
    body.problem = upstream.problem;
    body.node.classList.toggle('problem', body.problem);
    if (body.problem) problems.push(name);
    if (body.visible && point) body.parts.forEach(draw);
  }
  if (fresh) {
    for (const name of bodies.keys()) {
      if (!(name in status.upstreams)) bodies.delete(name);
    }
    seen.disconnect();
    table.querySelectorAll('tbody').forEach(node => node.remove());
    for (const name of names) {
      table.append(bodies.get(name).node);
      seen.observe(bodies.get(name).node);
    }
  }
  filter();
  return problems;
}

function filter() {
  const box = $('filter');
  if (!box) return;
  const part = box.value.toLowerCase();
  let shown = 0;
  for (const body of bodies.values()) {
    body.node.hidden = !body.name.toLowerCase().includes(part)
      || ($('problems').checked && !body.problem);
    shown += !body.node.hidden;
  }
  text($('shown'),
    shown === bodies.size ? shown : `${shown} of ${bodies.size}`);
}

// ---- The other tables: short, made anew when something changed.

function fill(id, rows, signature) {
  const node = $(id);
  if (!node || node.dataset.signature === signature) return;
  node.dataset.signature = signature;
  node.querySelectorAll('tbody').forEach(old => old.remove());
  node.append(make('tbody', '', ...rows()));
}

function updateClusters(status) {
  const stale = [];
  const cells = [];
  for (const [name, cluster] of Object.entries(status.clusters)) {
    if (!cluster) continue;
    if (!cluster.up) stale.push(name);
    cells.push([name, cluster.up,
      [cluster.watch.last_error, ...cluster.watch.warnings].filter(Boolean),
      cluster.age === null ? 'never'
        : Math.round(cluster.age / 1000) + ' s ago',
      cluster.watch.mode + ' ' + cluster.watch.api, cluster.watch.events,
      cluster.watch.relists, cluster.watch.failures, cluster.watch.rejected]);
  }
  fill('clusters', () => cells.map(([name, up, errors, age, api, ...counts]) => {
    const head = make('th', '', name);
    head.scope = 'row';
    const state = make('td', '', make('b', up ? 'ok' : 'bad',
      up ? 'up' : 'stale'));
    state.append(...errors.map(error => make('div', 'error', error)));
    return make('tr', '', head, state, make('td', '', age),
      make('td', '', api), ...counts.map(n => make('td', 'n', n)));
  }), JSON.stringify(cells));
  return stale;
}

const isOut = peer => peer.reason !== undefined;

function peerRow([upstream, peer]) {
  const to = make('td', '', peer.cluster ?? '–');
  if (peer.backup) to.append(' ', make('small', '', 'backup'));
  const state = make('b', peer.state === 'up' ? 'ok'
    : isOut(peer) ? 'bad' : 'off', peer.state);
  state.title = peer.reason ?? '';
  return make('tr', '', make('td', '', upstream), to,
    make('td', '', peer.server), make('td', '', peer.node ?? ''),
    make('td', '', state),
    ...[peer.weight, peer.active, peer.requests, peer.responses['5xx'],
      peer.fails].map(n => make('td', 'n', n)),
    make('td', '', when(peer.selected)));
}

function updatePeers(status) {
  const peers = Object.entries(status.upstreams).flatMap(([name, upstream]) =>
    (upstream.peers ?? []).map(peer => [name, peer]));
  const down = peers.filter(([, peer]) => peer.state !== 'up');
  down.sort((a, b) => isOut(b[1]) - isOut(a[1]));
  const shown = down.slice(0, MAX_DOWN);
  if (only !== null) {
    fill('peers', () => peers.map(peerRow), JSON.stringify(peers));
  }
  fill('down', () => shown.map(peerRow), JSON.stringify(shown));
  text($('more'), down.length === 0 ? 'None.' : down.length > MAX_DOWN
    ? `and ${down.length - MAX_DOWN} more` : '');
  return peers.filter(([, peer]) => isOut(peer)).length;
}

function updateDecisions(status) {
  fill('decisions', () => status.decisions.slice().reverse().map(d =>
    make('tr', '', make('td', '', when(d.time)), make('td', '', d.upstream),
      make('td', '', d.cluster),
      make('td', 'n', (d.old ?? '?') + ' → ' + d.new), make('td', '', d.why))),
    JSON.stringify(status.decisions));
}

// ---- The loop.

// A rule in words, as the page came: whom, what, servers, until, reason, line.
function ruleCells(rule) {
  const named = (...names) => names.filter(name => name in rule)
    .map(name => `${name} ${rule[name]}`);
  const what = [...['drain', 'freeze'].filter(name => name in rule)
    .map(name => (rule[name] ? '' : 'no ') + name),
  ...named('weight', 'scale', 'min', 'max')].join(', ');
  const whom = named('upstream', 'cluster', 'server', 'node').join(', ');
  return [what ? whom || 'everything' : `see line ${rule.line} of the file`,
    what, rule.peers, !rule.in_force ? 'has expired' : rule.expires
    ?? 'removed', rule.reason ?? '', rule.line];
}

function updateOverrides({tuning}) {
  const rules = tuning?.rules ?? [];
  fill('rules', () => rules.map(rule => make('tr', '',
    ...ruleCells(rule).map((cell, i) => make('td', i === 2
      ? rule.in_force && !rule.peers ? 'n bad' : 'n' : i === 5 ? 'n' : '',
    cell)))), JSON.stringify(rules));
  text($('tuning'), tuning?.error ?? '');
  $('overrides').hidden = !rules.length && !tuning?.error;
  return {error: tuning?.error, active: rules.filter(rule => rule.in_force)};
}

function verdict(stale, failing, problems, overrides) {
  const wrong = [];
  if (stale.length) {
    wrong.push(`${plural(stale.length, 'cluster')} stale: ${stale.join(', ')}`);
  }
  if (failing) wrong.push(plural(failing, 'server') + ' failing');
  if (problems.length) {
    wrong.push(`${plural(problems.length, 'upstream')} with problems: `
      + problems.slice(0, MAX_NAMED).join(', ')
      + (problems.length > MAX_NAMED ? ', …' : ''));
  }
  if (overrides.error) wrong.push('tuning file not loaded');
  const active = overrides.active.length;
  const said = wrong.concat(active
    ? plural(active, 'runtime override') + ' in force' : []);
  text($('verdict'), said.length ? said.join(' · ') : 'OK');
  $('verdict').classList.toggle('bad', wrong.length > 0);
  $('verdict').classList.toggle('off', !wrong.length && active > 0);
}

async function look() {
  const began = performance.now();
  try {
    const answer = await fetch('status?' + (only === null ? 'peers=down'
      : 'upstream=' + encodeURIComponent(only)), {cache: 'no-store'});
    if (answer.ok) {
      const status = await answer.json();
      const stale = updateClusters(status);
      const problems = updateUpstreams(status);
      verdict(stale, updatePeers(status), problems, updateOverrides(status));
      updateDecisions(status);
      text($('time'), when(status.time));
      $('time').classList.remove('bad');
    } else if (answer.status !== 404) {
      throw new Error('HTTP ' + answer.status);
    }
  } catch (error) {
    text($('time'), `no answer from nginx (${error.message}), last seen `
      + $('time').textContent.replace(/^.*last seen /, ''));
    $('time').classList.add('bad');
  }
  // A large status is asked for less often.
  const took = performance.now() - began;
  setTimeout(() => document.hidden
    ? document.addEventListener('visibilitychange', look, {once: true})
    : look(), Math.max(PACE, 5 * took));
}

if ($('filter')) {
  $('problems').parentNode.hidden = false;
  $('filter').addEventListener('input', filter);
  $('problems').addEventListener('change', filter);
  $('filter').form.addEventListener('submit', event => event.preventDefault());
}
look();
})();
)js";

}  // namespace dynweight
