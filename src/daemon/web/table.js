// SPDX-License-Identifier: GPL-2.0-or-later
//
// A table that sorts by its headings, filters, and changes in place: rows keep their elements, so focus and
// selection survive a new set of numbers.
import {element} from './format.js';

// columns: {id, title, value(row) to sort by, cell(row) to show (text or element), number, hint}
export class Table {
  constructor(table, columns, {key, sort, onRow = null, match = () => true} = {}) {
    this.table = table;
    this.columns = columns;
    this.key = key;
    this.sort = sort;
    this.onRow = onRow;
    this.match = match;
    this.rows = [];
    this.elements = new Map();
    this.#heading();
  }

  #heading() {
    const row = element('tr');
    for (const column of this.columns) {
      const button = element('button', {type: 'button', title: column.hint}, column.title);
      button.addEventListener('click', () => {
        const again = this.sort.id === column.id;
        this.sort = {id: column.id, down: again ? !this.sort.down : Boolean(column.number)};
        this.draw();
      });
      row.append(element('th', {scope: 'col', class: column.number ? 'number' : undefined}, button));
    }
    this.table.tHead.replaceChildren(row);
  }

  show(rows) {
    this.rows = rows;
    this.draw();
  }

  // Returns how many rows are to be seen.
  draw() {
    const column = this.columns.find((c) => c.id === this.sort.id);
    const order = (a, b) => {
      const x = column.value(a);
      const y = column.value(b);
      const by = typeof x === 'string' ? x.localeCompare(y, undefined, {numeric: true}) : x - y;
      return (this.sort.down ? -by : by) || String(this.key(a)).localeCompare(String(this.key(b)));
    };
    const seen = this.rows.filter(this.match).sort(order);
    this.columns.forEach((c, i) => {
      const sorted = c.id === this.sort.id;
      this.table.tHead.rows[0].cells[i].setAttribute('aria-sort',
        sorted ? (this.sort.down ? 'descending' : 'ascending') : 'none');
    });
    const next = seen.map((row) => this.#element(row));
    const body = this.table.tBodies[0];
    // Only when the order is another one: moving a row drops the focus in it.
    if (next.length !== body.rows.length || next.some((tr, i) => tr !== body.rows[i])) body.replaceChildren(...next);
    const alive = new Set(this.rows.map((row) => String(this.key(row))));
    for (const key of this.elements.keys()) if (!alive.has(key)) this.elements.delete(key);
    this.table.hidden = seen.length === 0;
    return seen.length;
  }

  #element(row) {
    const key = String(this.key(row));
    let tr = this.elements.get(key);
    if (!tr) {
      tr = element('tr', {'data-key': key});
      for (const column of this.columns) tr.append(element('td', {class: column.number ? 'number' : undefined}));
      if (this.onRow) {
        tr.tabIndex = 0;
        tr.addEventListener('click', () => this.onRow(key));
        tr.addEventListener('keydown', (event) => {
          if (event.key === 'Enter') this.onRow(key);
        });
      }
      this.elements.set(key, tr);
    }
    this.columns.forEach((column, i) => {
      const content = column.cell(row);
      if (content instanceof Node) tr.cells[i].replaceChildren(content);
      else if (tr.cells[i].textContent !== content) tr.cells[i].textContent = content;
    });
    return tr;
  }
}

// A bar with text: how much of a whole.
export function bar(part, whole, text, state = '') {
  const share = whole > 0 ? Math.min(1, part / whole) : 0;
  const fill = element('span', {class: 'fill', 'data-state': state || undefined});
  fill.style.width = `${(share * 100).toFixed(1)}%`;
  return element('span', {class: 'bar'}, element('span', {class: 'track'}, fill), element('span', {}, text));
}
