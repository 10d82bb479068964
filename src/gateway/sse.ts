import { StringDecoder } from 'node:string_decoder';

/**
 * Server-sent events (WHATWG HTML §9.2) read from bytes as they pass, however they are cut.
 *
 * - A line may end in LF, CR or CRLF, and a chunk in the middle of any of them or of a character.
 * - Held at most: one unfinished event of `eventCharsMax`. A larger one is skipped and counted, the next is read again.
 * - Unlike a browser, `end` gives out an event whose closing blank line is missing: some providers leave it off.
 */
export interface SseEvent {
  /** `''` where the stream names none. */
  event: string;
  data: string;
}

export class SseParser {
  readonly #onEvent: (event: SseEvent) => void;
  readonly #eventCharsMax: number;
  readonly #decoder = new StringDecoder('utf8');
  #line: string[] = [];
  #data: string[] = [];
  #event = '';
  /** Characters held in `#line` and `#data`. */
  #held = 0;
  #skipping = false;
  #lineThrownAway = false;
  #skipLf = false;
  #started = false;
  /** Events that were too large to read. */
  skipped = 0;

  constructor(onEvent: (event: SseEvent) => void, eventCharsMax: number) {
    this.#onEvent = onEvent;
    this.#eventCharsMax = eventCharsMax;
  }

  push(chunk: Buffer): void {
    this.#take(this.#decoder.write(chunk));
  }

  end(): void {
    this.#take(this.#decoder.end());
    if (this.#line.length > 0) this.#endLine('');
    this.#dispatch();
  }

  #take(text: string): void {
    if (text === '') return;
    let start = 0;
    if (!this.#started) {
      this.#started = true;
      if (text.startsWith('\uFEFF')) start = 1;
    }
    if (this.#skipLf) {
      if (text[start] === '\n') start++;
      this.#skipLf = false;
    }
    let cr = text.indexOf('\r', start);
    for (;;) {
      const lf = text.indexOf('\n', start);
      if (cr !== -1 && cr < start) cr = text.indexOf('\r', start);
      const end = lf === -1 || (cr !== -1 && cr < lf) ? cr : lf;
      if (end === -1) break;
      this.#endLine(text.slice(start, end));
      start = end + 1;
      if (end === cr) {
        if (start === text.length) this.#skipLf = true;
        else if (text[start] === '\n') start++;
      }
    }
    this.#hold(text.slice(start));
  }

  #hold(piece: string): void {
    if (piece === '') return;
    if (this.#skipping) {
      this.#lineThrownAway = true;
      return;
    }
    if (this.#held + piece.length > this.#eventCharsMax) {
      this.#skip();
      return;
    }
    this.#held += piece.length;
    this.#line.push(piece);
  }

  #skip(): void {
    this.#skipping = true;
    this.#lineThrownAway = true;
    this.#line = [];
    this.#data = [];
    this.#held = 0;
    this.skipped++;
  }

  #endLine(rest: string): void {
    this.#hold(rest);
    if (this.#skipping) {
      // The event that is too large ends where a line is blank, not merely where the rest of a line is.
      if (!this.#lineThrownAway) {
        this.#skipping = false;
        this.#event = '';
      }
      this.#lineThrownAway = false;
      return;
    }
    const line = this.#line.length === 1 ? this.#line[0]! : this.#line.join('');
    this.#line = [];
    if (line === '') {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) {
      this.#held -= line.length;
      return;
    }
    const field = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'data') this.#data.push(value);
    else {
      this.#held -= line.length;
      if (field === 'event') this.#event = value;
    }
  }

  #dispatch(): void {
    const { length } = this.#data;
    if (length > 0) {
      const data = length === 1 ? this.#data[0]! : this.#data.join('\n');
      this.#onEvent({ event: this.#event, data });
    }
    this.#data = [];
    this.#event = '';
    this.#held = 0;
  }
}
