// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the daemon says, as the page uses it. All knowledge of the REST interface is here.

const DEADLINE_MS = 10000;
const MOST = 2000; // items of a list

async function get(path) {
  let response;
  try {
    response = await fetch(`api/v1/${path}`, {signal: AbortSignal.timeout(DEADLINE_MS), cache: 'no-store'});
  } catch (error) {
    throw new Error(error.name === 'TimeoutError' ? 'tidemarkd did not answer in time' : 'tidemarkd does not answer');
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Error(body?.detail || body?.title || `tidemarkd answered ${response.status} to ${path}`);
  return body;
}

async function list(path) {
  const items = [];
  let after = '';
  do {
    const page = await get(`${path}?limit=200${after ? `&after=${encodeURIComponent(after)}` : ''}`);
    items.push(...(page.items ?? []));
    if (page.next === after) break;
    after = page.next ?? '';
  } while (after && items.length < MOST);
  return items;
}

const number = (value) => (Number.isFinite(value) ? value : 0);

function policyText(policy = {}) {
  const parts = [];
  if (policy.evictionPolicy) parts.push(policy.evictionPolicy.toLowerCase());
  if (policy.prefetchEnabled !== undefined && policy.prefetchEnabled !== null)
    parts.push(policy.prefetchEnabled ? 'prefetch' : 'no prefetch');
  if (policy.prefetchWindow) parts.push(`window ${policy.prefetchWindow} s`);
  if (policy.coldAge) parts.push(`cold after ${policy.coldAge} s`);
  return parts.length > 0 ? parts.join(', ') : 'defaults';
}

export async function status() {
  const said = await get('status');
  return {budget: number(said.dramBudget)};
}

function guestOf(said) {
  return {
    uuid: said.uuid,
    name: said.name || said.uuid,
    title: said.title ?? '',
    labels: said.labels ?? [],
    group: said.group?.name ?? '',
    workload: said.workload ?? '',
    confidence: number(said.workloadConfidence),
    workingSet: number(said.workingSet),
    connected: Boolean(said.connected),
    memory: number(said.memory),
    used: number(said.dramUsed),
    limit: number(said.dramLimit),
    floor: number(said.dramFloor),
    priority: number(said.priority),
    policy: policyText(said.policy),
    problem: said.settingsProblem ?? said.elementProblem ?? '',
    stored: number(said.stored),
    lost: number(said.heldPages),
    tiers: said.tiers ?? [],
    faults: number(said.faultsPerSecond),
    waits: number(said.waitsPerSecond),
    p50: number(said.latencyP50Ns),
    p99: number(said.latencyP99Ns),
    p999: number(said.latencyP999Ns),
  };
}

export async function guests() {
  return (await list('guests')).map(guestOf);
}

// Oldest first; heat: one number from 0 to 255 for each part of the memory.
export async function history(guest) {
  const said = await get(`guests/${guest.uuid}/heat`);
  return (said.samples ?? []).map((sample) => ({
    time: sample.at,
    cells: sample.heat ?? [],
    faults: number(sample.faultsPerSecond),
    waits: number(sample.waitsPerSecond),
    used: number(sample.dramUsed),
    limit: number(sample.dramLimit),
    p99: number(sample.latencyP99Us) * 1000,
  }));
}

export async function groups() {
  return (await list('affinity_groups')).map((said) => ({
    id: said.groupID,
    name: said.name,
    members: said.members ?? [],
    priority: number(said.priority),
    origin: said.origin,
    policy: policyText(said.policy),
  }));
}

export async function tiers() {
  return (await list('tiers')).map((said) => ({
    name: said.name || said.path,
    class: said.class,
    path: said.path,
    capacity: number(said.capacity) || number(said.allotted),
    used: number(said.used),
    guests: number(said.guests),
    degraded: number(said.degradedFor),
  }));
}
