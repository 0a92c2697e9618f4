/** Asks the kernel whether something was missed, when it is silent where it should not be: after sleep, or in an answer. */

/** Milliseconds between two looks, and of silence in the middle of an answer after which the kernel is asked. */
const BEAT = 5000;
/** Milliseconds that the connection has after the page is seen again. */
const WAKING = 1000;

export interface Pulsed {
  /** Milliseconds since the kernel said something. */
  silence(): number;
  /** Whether more is to come. */
  expects(): boolean;
  check(): void;
}

export class Pulse {
  private readonly beat: number;
  private waking = 0;

  constructor(private readonly of: Pulsed) {
    this.beat = window.setInterval(() => {
      if (of.expects() && of.silence() >= BEAT) of.check();
    }, BEAT);
    document.addEventListener("visibilitychange", this.wake);
    window.addEventListener("online", this.wake);
  }

  close(): void {
    window.clearInterval(this.beat);
    window.clearTimeout(this.waking);
    document.removeEventListener("visibilitychange", this.wake);
    window.removeEventListener("online", this.wake);
  }

  /** The last messages may have been lost while nobody looked; messages that come tell of a gap themselves. */
  private readonly wake = (): void => {
    if (document.visibilityState === "hidden") return;
    window.clearTimeout(this.waking);
    this.waking = window.setTimeout(() => {
      if (this.of.silence() >= WAKING) this.of.check();
    }, WAKING);
  };
}
