// SPDX-License-Identifier: GPL-2.0-or-later
//
// Does something again and again while the page is to be seen: the next time begins when the last one is over,
// and after failures later.

export class Poll {
  #timer = null;
  #running = false;
  #again = false;
  #failures = 0;

  // work() resolves or rejects; onState('live' | 'lost' | 'paused', error) hears how it went.
  constructor(work, onState, period = 5000) {
    this.work = work;
    this.onState = onState;
    this.period = period;
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.#stop();
      else this.now();
    });
  }

  // At once; if it is just being done, once more after that.
  async now() {
    if (this.#running) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#running = true;
    try {
      await this.work();
      this.#failures = 0;
      this.onState('live');
    } catch (error) {
      this.#failures++;
      this.onState('lost', error);
    }
    this.#running = false;
    if (document.hidden) {
      this.#stop();
    } else if (this.#again) {
      this.#again = false;
      this.now();
    } else {
      this.#timer = setTimeout(() => this.now(), this.period * Math.min(6, 1 + this.#failures));
    }
  }

  #stop() {
    clearTimeout(this.#timer);
    this.onState('paused');
  }
}
