// SPDX-License-Identifier: GPL-2.0-or-later
//
// Numbers as people read them; the same as the `tidemark` command prints.

function scaled(value, step, units, between) {
  let unit = 0;
  while (unit + 1 < units.length && value >= Math.min(step, 999.5)) {
    value /= step;
    unit++;
  }
  const digits = value < 10 && value !== Math.floor(value) ? 1 : 0;
  return value.toFixed(digits) + (units[unit] ? between + units[unit] : '');
}

export const bytes = (n) => scaled(n, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'], ' ');
export const nanoseconds = (n) => scaled(n, 1000, ['ns', 'µs', 'ms', 's'], ' ');
export const count = (n) => scaled(n, 1000, ['', 'k', 'M', 'G', 'T'], '');
export const percent = (share) => `${Math.round(share * 100)} %`;
export const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;

export function clock(ms) {
  return new Date(ms).toLocaleTimeString([], {hour: '2-digit', minute: '2-digit', hour12: false});
}

export function ago(ms) {
  const seconds = Math.max(0, Math.round((Date.now() - ms) / 1000));
  return seconds < 90 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
}

// An element with a class, text or children; text is never read as markup.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
