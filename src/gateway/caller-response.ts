import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { answerError } from './answer-error.ts';
import { reasonPhrase, responseHeaders } from './headers.ts';
import type { GatewayError, Protocol } from './protocol.ts';

/**
 * The answer on its way to the caller. It goes out as it comes, but for what is held: the last piece of an answer that
 * is whole, until its span is on disk (`release`), and the beginning of an event whose end has not come.
 *
 * Nothing is written to a caller that has left, and nobody has to ask whether it did.
 */
export class CallerResponse {
  /** What we add to the answer's headers. */
  readonly ours: Record<string, string> = {};
  private readonly response: ServerResponse;
  private readonly onDrain: () => void;
  private status = 0;
  private statusText = '';
  private rawHeaders: string[] = [];
  private held: Buffer | undefined;
  private headIsOut = false;
  private hasLeft = false;

  /** `onDrain`: the caller takes more again, after a write gave `false`. */
  constructor(response: ServerResponse, onDrain: () => void) {
    this.response = response;
    this.onDrain = onDrain;
    // A caller that is gone in the middle of a write is told of by `close`, which follows.
    response.on('error', () => {});
  }

  /** Whether some of an answer went out, or will: then it cannot be another one any more. */
  get hasBegun(): boolean {
    return this.response.headersSent || this.held !== undefined;
  }

  /** The caller hung up, before it had all. */
  left(): void {
    this.hasLeft = true;
  }

  /** What the answer begins with; it goes out with the first piece, or at once where that may be long in coming. */
  start(status: number, statusText: string, rawHeaders: string[], atOnce: boolean): void {
    this.status = status;
    this.statusText = statusText;
    this.rawHeaders = rawHeaders;
    if (!atOnce || this.hasLeft) return;
    this.writeHead();
    // Mostly the first piece is there already, and goes out with it.
    process.nextTick(() => this.flushHead());
  }

  private flushHead(): void {
    if (this.headIsOut || this.hasLeft || this.response.writableEnded) return;
    this.headIsOut = true;
    this.response.flushHeaders();
  }

  /** Gives `false` when the caller takes no more for now. */
  write(chunk: Buffer): boolean {
    if (this.hasLeft) return true;
    const { response } = this;
    if (!response.headersSent) this.writeHead();
    const socket = this.headIsOut ? socketOf(response) : null;
    this.headIsOut = true;
    // Behind its head a chunk goes out as one buffer with its frame: Node would make a list of three texts and buffers of it.
    // An empty one would be the end.
    const goesOn = socket && chunk.length > 0 ? socket.write(framed(chunk)) : response.write(chunk);
    if (!goesOn) (socket ?? response).once('drain', this.onDrain);
    return goesOn;
  }

  /**
   * Passes a stream on in whole events, as far as they are not larger than `HELD_EVENT_BYTES_MAX`: to a caller who has
   * half of one nothing can be said any more when the stream breaks.
   */
  writeEvents(chunk: Buffer, isWhole: boolean): boolean {
    const { held } = this;
    if (isWhole && held === undefined) return this.write(chunk);
    const bytes = held === undefined ? chunk : Buffer.concat([held, chunk]);
    if (!isWhole && bytes.length <= HELD_EVENT_BYTES_MAX) {
      this.held = bytes;
      return true;
    }
    this.held = undefined;
    return this.write(bytes);
  }

  /** Holds a piece that may be the last one, and writes what was held before it. */
  hold(chunk: Buffer): boolean {
    const goesOn = this.held === undefined || this.write(this.held);
    this.held = chunk;
    return goesOn;
  }

  /** What is held, and where the answer is over its end. */
  release(isOver: boolean): void {
    const { response, held } = this;
    this.held = undefined;
    if (response.destroyed) return;
    if (!isOver) {
      if (held) this.write(held);
      return;
    }
    if (response.headersSent || held === undefined || held.length > ONE_WRITE_BYTES_MAX) {
      if (!response.headersSent) this.writeHead();
      response.end(held);
      return;
    }
    // As text it goes out in one piece with its head, which is cheaper; a byte is a character of Latin-1.
    this.writeHead();
    response.end(held.toString('latin1'), 'latin1');
  }

  /** An error in place of an answer. */
  refuse(protocol: Protocol, error: GatewayError & { retryable: boolean }): void {
    if (!this.hasLeft) answerError(this.response, protocol, error, this.ours);
  }

  /**
   * Closing it in good order would tell the caller that the answer is whole: its SDK is told by `event`, in its own
   * words, where the protocol has some, and the connection breaks off.
   */
  breakOff(event: Buffer | undefined): void {
    const { response, held } = this;
    if (event === undefined || response.destroyed) {
      response.destroy();
      return;
    }
    const rest = held ? wholeEvents(held) : NO_BYTES;
    response.write(Buffer.concat([rest, event]), () => response.destroy());
  }

  /** Nobody gets an answer that is on no record. */
  destroy(): void {
    this.response.destroy();
  }

  private writeHead(): void {
    const { response } = this;
    response.sendDate = false;
    response.writeHead(
      this.status,
      reasonPhrase(this.statusText),
      responseHeaders(this.rawHeaders, this.ours),
    );
  }
}

const NO_BYTES = Buffer.alloc(0);
/** An event that is larger goes to the caller as it comes. */
const HELD_EVENT_BYTES_MAX = 64 * 1024;
/** Longer answers gain nothing by going out in one piece. */
const ONE_WRITE_BYTES_MAX = 8 * 1024;

/** Where a chunk may be written with its frame: `null` where the body has none, or others' answers come first. */
const socketOf = (response: ServerResponse): Socket | null =>
  response.chunkedEncoding && !response.writableEnded ? response.socket : null;

/** A chunk of a body as RFC 9112 §7.1 has it. */
function framed(chunk: Buffer): Buffer {
  const { length } = chunk;
  const digits = length.toString(16);
  const frame = Buffer.allocUnsafe(digits.length + length + 4);
  let at = 0;
  for (; at < digits.length; at++) frame[at] = digits.charCodeAt(at);
  frame[at] = CR;
  frame[at + 1] = LF;
  chunk.copy(frame, at + 2);
  frame[at + 2 + length] = CR;
  frame[at + 3 + length] = LF;
  return frame;
}

const CR = 0x0d;
const LF = 0x0a;

/** The part of a stream's bytes that is whole events. */
function wholeEvents(bytes: Buffer): Buffer {
  const lf = bytes.lastIndexOf('\n\n');
  const crlf = bytes.lastIndexOf('\r\n\r\n');
  return bytes.subarray(0, Math.max(lf === -1 ? 0 : lf + 2, crlf === -1 ? 0 : crlf + 4));
}
