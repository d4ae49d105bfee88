// SPDX-License-Identifier: GPL-2.0-or-later
//
// One guest: what it is, and its last minutes as pictures.
import {bytes, clock, count, element, nanoseconds, percent} from './format.js';
import {drawHeat, drawLegend, drawLines} from './plot.js';

const $ = (id) => document.getElementById(id);

export class GuestView {
  #below = new Map(); // figure id -> function that says what lies below a point
  #drawn = null;

  constructor(onClose) {
    $('guest-close').addEventListener('click', onClose);
    drawLegend($('heat').querySelector('.legend canvas'));
    for (const id of ['heat', 'latency', 'faults', 'dram']) this.#listen(id);
    const again = () => this.#drawn && this.#pictures(...this.#drawn);
    new ResizeObserver(() => {
      for (const tip of document.querySelectorAll('.tip')) tip.hidden = true;
      again();
    }).observe($('guest'));
    window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', again);
  }

  hide() {
    $('guest').hidden = true;
    this.#drawn = null;
  }

  show(guest, history) {
    $('guest').hidden = false;
    $('guest-name').textContent = guest.name || guest.uuid;
    $('guest-what').textContent = [guest.title, guest.uuid].filter(Boolean).join(' · ');
    this.#facts(guest);
    this.#drawn = [guest, history];
    this.#pictures(guest, history);
  }

  #facts(guest) {
    const limit = guest.limit > 0 ? bytes(guest.limit) : 'no limit';
    const facts = [
      ['Memory', bytes(guest.memory)],
      ['DRAM used of limit', `${bytes(guest.used)} of ${limit}`],
      ['Floor', bytes(guest.floor)],
      ['Priority', String(guest.priority)],
      ['Group', guest.group || 'none'],
      ['Workload', guest.workload ? `${guest.workload} (${percent(guest.confidence)} sure)` : 'not known yet'],
      ['Working set', guest.workingSet > 0 ? bytes(guest.workingSet) : 'not known yet'],
      ['Fault latency p50, p99, p99.9', guest.p99 > 0
        ? [guest.p50, guest.p99, guest.p999].map(nanoseconds).join(', ') : 'no faults yet'],
      ...guest.tiers.map((tier) => [`On ${tier.class}${tier.degraded ? ', degraded' : ''}`,
        `${bytes(tier.used)} of ${bytes(tier.capacity)}`]),
      ['Policy', guest.policy || 'defaults'],
    ];
    if (guest.problem) facts.push(['Not in force', guest.problem]);
    $('guest-facts').replaceChildren(...facts.map(([what, value]) =>
      element('div', {}, element('dt', {}, what), element('dd', {}, value))));
  }

  #pictures(guest, history) {
    const columns = history.filter((sample) => sample.cells.length > 0);
    const times = history.map((sample) => sample.time);
    this.#picture('heat', columns.length > 1, guest.connected
      ? 'Nothing recorded yet: the picture begins after half a minute.' : 'The guest is not connected.',
    (canvas) => {
      const below = drawHeat(canvas, columns, guest.memory, bytes);
      return (x, y) => {
        const found = below(x, y);
        return found && `${clock(found.time)}  ${bytes(found.from)} to ${bytes(found.to)}: ${
          count(Math.round(2 ** (found.value / 16) - 1))} pages used`;
      };
    });
    const lines = (id, series, options) => this.#picture(id, times.length > 1, 'Nothing recorded yet.', (canvas) => {
      const below = drawLines(canvas, times, series, options);
      return (x) => {
        const found = below(x);
        return found && `${clock(found.time)}  ${found.values.map((v) => Number.isFinite(v) ? options.text(v) : '-').join(' / ')}`;
      };
    });
    lines('latency', [history.map((s) => s.p99 > 0 ? s.p99 : NaN)], {text: nanoseconds, log: true});
    lines('faults', [history.map((s) => s.faults), history.map((s) => s.waits)], {text: count});
    lines('dram', [history.map((s) => s.used), history.map((s) => s.limit)], {text: bytes, base: 1024});
  }

  #picture(id, possible, otherwise, draw) {
    const figure = $(id);
    const empty = figure.querySelector('.empty');
    const canvas = figure.querySelector('.plot canvas');
    empty.hidden = possible;
    empty.textContent = possible ? '' : otherwise;
    canvas.style.visibility = possible ? 'visible' : 'hidden';
    if (possible) this.#below.set(id, draw(canvas));
    else this.#below.delete(id);
  }

  #listen(id) {
    const plot = $(id).querySelector('.plot');
    const tip = plot.querySelector('.tip');
    plot.addEventListener('pointermove', (event) => {
      const box = plot.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      const text = this.#below.get(id)?.(x, y);
      tip.hidden = !text;
      if (!text) return;
      tip.textContent = text;
      tip.style.left = `${Math.min(x + 12, Math.max(0, box.width - tip.offsetWidth))}px`;
      tip.style.top = `${Math.max(0, y - tip.offsetHeight - 8)}px`;
    });
    plot.addEventListener('pointerleave', () => { tip.hidden = true; });
  }
}
