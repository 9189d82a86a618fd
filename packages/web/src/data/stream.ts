/** The connection to the coordinator: made again whenever it is lost, for as long as the page is open. */
import { type Message, parseMessage } from './message.ts';

export type Connection =
  | { readonly state: 'connecting' }
  | { readonly state: 'open' }
  /** Milliseconds since 1970; undefined when nothing has ever come. */
  | { readonly state: 'lost'; readonly heardAt: number | undefined };

type Timer = ReturnType<typeof setTimeout>;

/** A status comes every second: a stream that is silent for so long is dead, whatever the browser thinks. */
const SILENCE_MS = 10_000;
const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 8_000;

export interface StreamListener {
  onMessage(message: Message): void;
  onConnection(connection: Connection): void;
}

/**
 * Listens until the page is left. An EventSource comes back by itself only from some losses, and each browser has its own
 * idea of which: so each one lives for one connection.
 */
export function listen(url: string, { onMessage, onConnection }: StreamListener): void {
  let source: EventSource | undefined;
  let silence: Timer | undefined;
  let retry: Timer | undefined;
  let delayMs = FIRST_DELAY_MS;
  let heardAt: number | undefined;

  const lost = (): void => {
    source?.close();
    source = undefined;
    clearTimeout(silence);
    onConnection({ state: 'lost', heardAt });
    clearTimeout(retry);
    retry = setTimeout(open, delayMs);
    delayMs = Math.min(MAX_DELAY_MS, delayMs * 2);
  };

  const heard = (): void => {
    clearTimeout(silence);
    silence = setTimeout(lost, SILENCE_MS);
  };

  function open(): void {
    clearTimeout(retry);
    source = new EventSource(url);
    source.onerror = lost;
    source.onmessage = ({ data }) => {
      heard();
      const message = parseMessage(String(data));
      if (!message) return;
      heardAt = Date.now();
      delayMs = FIRST_DELAY_MS;
      onConnection({ state: 'open' });
      onMessage(message);
    };
    heard();
  }

  // Somebody looks again, or the network is back: no reason to wait any longer.
  const hurry = (): void => {
    if (!source && document.visibilityState === 'visible') open();
  };
  document.addEventListener('visibilitychange', hurry);
  addEventListener('online', hurry);
  open();
}
