import { StringDecoder } from 'node:string_decoder';

/**
 * Server-sent events (WHATWG HTML §9.2) read from bytes as they pass, however they are cut.
 *
 * - A line may end in LF, CR or CRLF, and a chunk in the middle of any of them or of a character.
 * - Held at most: one unfinished event of `eventCharsMax`. A larger one is skipped and counted, the next is read again.
 * - Unlike a browser, `end` gives out an event whose closing blank line is missing: some providers leave it off.
 *
 * A chunk is decoded once, and a line that it holds whole is looked at in place.
 */
export class SseParser {
  /** `event` is `''` where the stream names none. */
  readonly #onEvent: (data: string, event: string) => void;
  readonly #eventCharsMax: number;
  readonly #decoder = new StringDecoder('utf8');
  /** Whether the decoder may hold the beginning of a character. */
  #cutCharacter = false;
  /** The beginning of a line whose end has not come. */
  #line = '';
  /** The lines of data of an event whose end has not come; `undefined` before the first. */
  #data: string | undefined;
  #event = '';
  #skipping = false;
  #lineThrownAway = false;
  #skipLf = false;
  #started = false;
  /** Events that were too large to read. */
  skipped = 0;

  constructor(onEvent: (data: string, event: string) => void, eventCharsMax: number) {
    this.#onEvent = onEvent;
    this.#eventCharsMax = eventCharsMax;
  }

  /** Whether all that came so far are whole events. */
  get isBetweenEvents(): boolean {
    return (
      this.#line === '' &&
      this.#data === undefined &&
      this.#event === '' &&
      !this.#skipping &&
      !this.#cutCharacter
    );
  }

  push(chunk: Buffer): void {
    const { length } = chunk;
    if (length === 0) return;
    const endsInAscii = chunk[length - 1]! < 0x80;
    const whole = endsInAscii && !this.#cutCharacter;
    this.#cutCharacter = !endsInAscii;
    this.#take(whole ? chunk.toString() : this.#decoder.write(chunk));
  }

  end(): void {
    this.#take(this.#decoder.end());
    if (this.#line !== '') this.#endLine('', 0, 0);
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
      this.#endLine(text, start, end);
      start = end + 1;
      if (end === cr) {
        if (start === text.length) this.#skipLf = true;
        else if (text[start] === '\n') start++;
      }
    }
    if (start < text.length && this.#hasRoom(text.length - start)) this.#line += text.slice(start);
  }

  /** Whether an event has room for more of a line; where not, the event is skipped. */
  #hasRoom(chars: number): boolean {
    if (!this.#skipping && this.#line.length + (this.#data?.length ?? 0) + chars <= this.#eventCharsMax)
      return true;
    if (!this.#skipping) {
      this.#skipping = true;
      this.#line = '';
      this.#data = undefined;
      this.skipped++;
    }
    this.#lineThrownAway = true;
    return false;
  }

  /** A line ends at `end` of `text`; where its beginning was held, that comes before. */
  #endLine(text: string, start: number, end: number): void {
    if (end > start && !this.#hasRoom(end - start)) {
      this.#lineThrownAway = false;
      return;
    }
    if (this.#skipping) {
      // The event that is too large ends where a line is blank, not merely where the rest of a line is.
      if (!this.#lineThrownAway) {
        this.#skipping = false;
        this.#event = '';
      }
      this.#lineThrownAway = false;
      return;
    }
    if (this.#line === '') {
      this.#readLine(text, start, end);
      return;
    }
    const line = this.#line + text.slice(start, end);
    this.#line = '';
    this.#readLine(line, 0, line.length);
  }

  #readLine(text: string, start: number, end: number): void {
    if (start === end) {
      this.#dispatch();
      return;
    }
    if (text.startsWith('data:', start)) {
      const value = fieldValue(text, start + 'data:'.length, end);
      this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
      return;
    }
    const line = text.slice(start, end);
    if (line === 'data') this.#data = this.#data === undefined ? '' : `${this.#data}\n`;
    else if (line === 'event') this.#event = '';
    else if (line.startsWith('event:')) this.#event = fieldValue(line, 'event:'.length, line.length);
  }

  #dispatch(): void {
    const data = this.#data;
    const event = this.#event;
    this.#data = undefined;
    this.#event = '';
    if (data !== undefined) this.#onEvent(data, event);
  }
}

/** A field's value: one space behind the colon is not part of it. */
const fieldValue = (text: string, from: number, end: number) =>
  text.slice(from < end && text.charCodeAt(from) === 0x20 ? from + 1 : from, end);
