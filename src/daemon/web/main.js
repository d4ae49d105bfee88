// SPDX-License-Identifier: GPL-2.0-or-later
//
// Puts the parts of the page together: asks, and shows what came.
import * as api from './api.js';
import {ago, bytes, count, element, nanoseconds, percent, plural} from './format.js';
import {GuestView} from './guest_view.js';
import {Poll} from './poll.js';
import {Table, bar} from './table.js';

const $ = (id) => document.getElementById(id);
let chosen = null; // UUID of the guest that is looked at
let guests = [];
let updated = 0;

function stateOf(guest) {
  if (!guest.connected) return ['not connected', 'bad'];
  if (guest.lost > 0) return [plural(guest.lost, 'page held', 'pages held'), 'bad'];
  if (guest.tiers.some((tier) => tier.degraded)) return ['tier degraded', 'warn'];
  if (guest.problem) return ['not as set', 'warn'];
  return ['ok', 'good'];
}

const guestColumns = [
  {id: 'name', title: 'Guest', value: (g) => g.name, cell: (g) => element('span', {class: 'name', title: g.uuid}, g.name)},
  {id: 'group', title: 'Group', value: (g) => g.group, cell: (g) => g.group || '–'},
  {id: 'workload', title: 'Workload', value: (g) => g.workload, cell: (g) => g.workload || '–'},
  {id: 'memory', title: 'Memory', number: true, value: (g) => g.memory, cell: (g) => bytes(g.memory)},
  {id: 'dram', title: 'DRAM', hint: 'used, of its limit', value: (g) => g.used,
    cell: (g) => bar(g.used, g.limit || g.memory, `${bytes(g.used)} / ${g.limit > 0 ? bytes(g.limit) : 'all'}`)},
  {id: 'stored', title: 'On flash', number: true, hint: 'only on a tier', value: (g) => g.stored, cell: (g) => bytes(g.stored)},
  {id: 'faults', title: 'Faults/s', number: true, value: (g) => g.faults, cell: (g) => count(Math.round(g.faults))},
  {id: 'waits', title: 'Waits/s', number: true, hint: 'faults that waited for a tier', value: (g) => g.waits,
    cell: (g) => count(Math.round(g.waits))},
  {id: 'p99', title: 'p99', number: true, hint: '99 % of faults took less', value: (g) => g.p99,
    cell: (g) => g.p99 > 0 ? nanoseconds(g.p99) : '–'},
  {id: 'state', title: 'State', value: (g) => stateOf(g)[0],
    cell: (g) => element('span', {class: 'state', 'data-state': stateOf(g)[1]}, stateOf(g)[0])},
];

const groupColumns = [
  {id: 'name', title: 'Group', value: (g) => g.name, cell: (g) => element('span', {class: 'name', title: g.id}, g.name)},
  {id: 'members', title: 'Members', number: true, value: (g) => g.members.length, cell: (g) => String(g.members.length)},
  {id: 'priority', title: 'Priority', number: true, value: (g) => g.priority, cell: (g) => String(g.priority)},
  {id: 'origin', title: 'Formed by', value: (g) => g.origin, cell: (g) => g.origin},
  {id: 'policy', title: 'Policy', value: (g) => g.policy, cell: (g) => g.policy},
];

const tierColumns = [
  {id: 'name', title: 'Tier', value: (t) => t.name, cell: (t) => element('span', {class: 'name'}, t.name)},
  {id: 'class', title: 'Class', value: (t) => t.class, cell: (t) => t.class},
  {id: 'path', title: 'Path', value: (t) => t.path, cell: (t) => t.path},
  {id: 'used', title: 'Used', value: (t) => t.used,
    cell: (t) => bar(t.used, t.capacity, `${bytes(t.used)} / ${t.capacity > 0 ? bytes(t.capacity) : 'all'}`)},
  {id: 'guests', title: 'Guests', number: true, value: (t) => t.guests, cell: (t) => String(t.guests)},
  {id: 'state', title: 'State', value: (t) => String(t.degraded),
    cell: (t) => element('span', {class: 'state', 'data-state': t.degraded > 0 ? 'bad' : 'good'},
      t.degraded > 0 ? `degraded for ${plural(t.degraded, 'guest', 'guests')}` : 'ok')},
];

const tables = {
  guests: new Table($('guests-table'), guestColumns, {key: (g) => g.uuid, sort: {id: 'faults', down: true},
    onRow: (uuid) => { location.hash = `guest=${uuid}`; }, match: matches}),
  groups: new Table($('groups-table'), groupColumns, {key: (g) => g.id, sort: {id: 'name', down: false}}),
  tiers: new Table($('tiers-table'), tierColumns, {key: (t) => t.path, sort: {id: 'name', down: false}}),
};

function matches(guest) {
  const text = [guest.name, guest.title, guest.group, guest.workload, guest.uuid, ...guest.labels].join(' ').toLowerCase();
  return $('filter').value.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

// A sentence with commands in it: `so`.
function saying(sentence) {
  return sentence.split('`').map((part, i) => (i % 2 ? element('code', {}, part) : part));
}

function fill(name, rows, nothing) {
  tables[name].show(rows);
  const empty = $(name).querySelector(':scope > .empty');
  empty.hidden = rows.length > 0;
  empty.replaceChildren(...saying(rows.length > 0 ? '' : nothing));
}

function drawGuests() {
  const seen = tables.guests.draw();
  const empty = $('guests').querySelector(':scope > .empty');
  $('guests-count').textContent = guests.length === 0 ? '' : seen === guests.length ? plural(seen, 'guest', 'guests') : `${seen} of ${guests.length}`;
  if (guests.length > 0) {
    empty.hidden = seen > 0;
    empty.textContent = 'No guest matches the filter.';
  }
  for (const row of $('guests-table').tBodies[0].rows) row.toggleAttribute('data-chosen', row.dataset.key === chosen);
}

function tile(label, value, more, extra = null) {
  return element('div', {}, element('p', {class: 'label'}, label), element('p', {class: 'value'}, value),
    element('p', {class: 'more'}, more), extra);
}

function drawOverview(status, tiers) {
  const connected = guests.filter((g) => g.connected).length;
  const sum = (list, of) => list.reduce((total, one) => total + of(one), 0);
  const used = sum(guests, (g) => g.used);
  const slowest = guests.reduce((most, g) => (g.p99 > (most?.p99 ?? 0) ? g : most), null);
  const memory = sum(guests, (g) => g.memory);
  $('overview').replaceChildren(
    tile('Guests', String(guests.length), guests.length === 0 ? 'none runs here' : connected === guests.length ? 'all connected' : `${connected} connected`),
    tile('Guest memory', bytes(memory), used > 0 ? `${(memory / used).toFixed(1)} times the DRAM it uses` : 'none in DRAM'),
    tile('DRAM', bytes(used), status.budget > 0 ? `${percent(used / status.budget)} of ${bytes(status.budget)} for guests` : '',
      status.budget > 0 ? bar(used, status.budget, '', used > status.budget * 0.95 ? 'warn' : '') : null),
    tile('On flash', bytes(sum(guests, (g) => g.stored)), plural(tiers.length, 'tier', 'tiers')),
    tile('Faults a second', count(Math.round(sum(guests, (g) => g.faults))),
      `${count(Math.round(sum(guests, (g) => g.waits)))} waited for a tier`),
    tile('Slowest p99', slowest ? nanoseconds(slowest.p99) : '–', slowest ? slowest.name : 'no faults yet'),
  );
}

const view = new GuestView(() => { location.hash = ''; });

async function drawChosen() {
  const guest = guests.find((g) => g.uuid === chosen);
  if (!guest) {
    view.hide();
    return;
  }
  const history = await api.history(guest);
  if (guest.uuid === chosen) view.show(guest, history);
}

async function refresh() {
  const [status, list, groups, tiers] = await Promise.all([api.status(), api.guests(), api.groups(), api.tiers()]);
  guests = list;
  fill('guests', guests, 'No tiered guest runs here. Add the `tidemark:memory` element to a domain and `virsh start` it.');
  fill('groups', groups, 'No affinity groups. `tidemark groups create NAME` makes one, or a domain that names one.');
  fill('tiers', tiers, 'The host offers no tiers: `tidemark.toml` names them.');
  drawOverview(status, tiers);
  drawGuests();
  document.body.dataset.ready = 'yes';
  await drawChosen();
}

function onState(state, error) {
  if (state === 'live') updated = Date.now();
  $('live').dataset.state = state;
  $('live').textContent = {live: 'Live', paused: 'Paused', lost: 'No answer'}[state];
  $('live').title = updated > 0 ? `Updated ${ago(updated)}` : '';
  if (state === 'paused') return;
  $('problem').hidden = !error;
  $('problem').textContent = error
    ? `${error.message[0].toUpperCase()}${error.message.slice(1)}. ${updated > 0 ? `What is shown is from ${ago(updated)}. ` : ''}Trying again.` : '';
}

const poll = new Poll(refresh, onState);

function follow() {
  const match = /^#guest=([0-9a-f-]{36})$/.exec(location.hash);
  chosen = match ? match[1] : null;
  drawGuests();
  poll.now();
  if (match) $('guest').scrollIntoView({block: 'nearest'});
}

$('filter').addEventListener('input', drawGuests);
window.addEventListener('hashchange', follow);
follow();
