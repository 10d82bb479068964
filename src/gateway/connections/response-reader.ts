import { malformed } from './exchange.ts';
import { type ResponseHead, readHead } from './response-head.ts';

/** In this order: `head` once, `body` any number of times, `end`. */
export interface ResponseEvents {
  head(head: ResponseHead): void;
  /** A part of the bytes that were read. */
  body(chunk: Buffer): void;
  /** `isLast`: bytes came behind the answer that belong to none. */
  end(isLast: boolean): void;
}

/**
 * Reads the answers that come over a connection, one after the other, in whatever pieces (RFC 9112 §6, §7). What one read
 * brought of a body is given as one chunk, as its frames are of no use to anyone. Bytes are not copied, but the frames
 * between them are closed up in place.
 */
export class ResponseReader {
  private readonly to: ResponseEvents;
  private method = '';
  private state: State = 'over';
  /** Of a head that is not whole. */
  private headSoFar: Buffer | undefined;
  /** Bytes to come of the body or chunk, or the size of the chunk as far as it was read. */
  private left = 0;
  private digits = 0;
  /** Bytes of extensions of a chunk, or of trailers. */
  private idleBytes = 0;

  constructor(to: ResponseEvents) {
    this.to = to;
  }

  /** An answer to such a request comes next. */
  expect(method: string): void {
    this.method = method;
    this.state = 'head';
    this.headSoFar = undefined;
  }

  /** Reads no further; may be called by whoever is told something. */
  stop(): void {
    this.state = 'over';
    this.headSoFar = undefined;
  }

  /** Throws a `ConnectionError` (`malformed`) for what is no answer; what came before it was told. The bytes are ours. */
  read(received: Buffer): void {
    let bytes = received;
    let at = 0;
    if (this.state === 'head') {
      if (this.headSoFar) bytes = Buffer.concat([this.headSoFar, received]);
      at = this.readHeads(bytes);
      if (at === -1) return;
    }
    this.readBody(bytes, at);
  }

  /** No more bytes come. Whether that is the end of an answer, which is told then. */
  close(): boolean {
    if (this.state !== 'until_close') return false;
    this.state = 'over';
    this.to.end(true);
    return true;
  }

  /** Where the body begins, -1 where the head is not whole. What comes before the answer proper (1xx) is passed over. */
  private readHeads(bytes: Buffer): number {
    for (let at = 0; ; ) {
      const end = bytes.indexOf(HEAD_END, at);
      const headEnd = end === -1 ? bytes.length - HEAD_END.length + 1 : end;
      if (headEnd - at > HEAD_BYTES_MAX) throw malformed('HEAD_TOO_LARGE');
      if (end === -1) {
        if (!beginsAsHttp(bytes, at)) throw malformed('STATUS_LINE_INVALID');
        this.headSoFar = bytes.subarray(at);
        return -1;
      }
      const head = readHead(bytes.toString('latin1', at, end), this.method);
      at = end + HEAD_END.length;
      if (head.status < 200) continue;
      this.headSoFar = undefined;
      this.begin(head.body);
      this.to.head(head);
      return at;
    }
  }

  private begin(body: ResponseHead['body']): void {
    this.digits = this.idleBytes = 0;
    this.left = typeof body === 'number' ? body : 0;
    if (body === 'chunked') this.state = 'size';
    else if (body === 'until_close') this.state = 'until_close';
    else this.state = body === 0 ? 'whole' : 'length';
  }

  private readBody(bytes: Buffer, begin: number): void {
    let at = begin;
    // What there is of the body stands between these.
    let from = at;
    let to = at;
    while (at < bytes.length && !isEnd(this.state)) {
      if (this.state !== 'length' && this.state !== 'data' && this.state !== 'until_close') {
        this.readFrame(bytes[at++]!);
        continue;
      }
      const end = this.state === 'until_close' ? bytes.length : Math.min(bytes.length, at + this.left);
      if (from === to) from = at;
      else bytes.copyWithin(to, at, end);
      to = from === at ? end : to + end - at;
      this.left -= end - at;
      at = end;
      if (this.left === 0 && this.state !== 'until_close')
        this.state = this.state === 'data' ? 'data_cr' : 'whole';
    }
    if (to > from) this.to.body(bytes.subarray(from, to));
    if (this.state === 'malformed') throw malformed('CHUNK_INVALID');
    if (this.state !== 'whole') return;
    this.state = 'over';
    this.to.end(at < bytes.length);
  }

  /** A byte of what stands around chunks: `size [; extension] CR LF data CR LF`, and behind the last `trailer CR LF` and `CR LF`. */
  private readFrame(byte: number): void {
    switch (this.state) {
      case 'size':
        this.readSize(byte);
        break;
      case 'blank':
        this.readBehindSize(byte);
        break;
      case 'extension':
        if (byte === CR) this.state = 'size_lf';
        else this.pass(byte);
        break;
      case 'size_lf':
        if (byte !== LF) this.state = 'malformed';
        else this.state = this.left === 0 ? 'trailer_start' : 'data';
        this.digits = this.idleBytes = 0;
        break;
      case 'data_cr':
        this.state = byte === CR ? 'data_lf' : 'malformed';
        break;
      case 'data_lf':
        this.state = byte === LF ? 'size' : 'malformed';
        break;
      case 'trailer_start':
        if (byte === CR) this.state = 'last_lf';
        else {
          this.state = 'trailer';
          this.pass(byte);
        }
        break;
      case 'trailer':
        if (byte === CR) this.state = 'trailer_lf';
        else this.pass(byte);
        break;
      case 'trailer_lf':
        this.state = byte === LF ? 'trailer_start' : 'malformed';
        break;
      case 'last_lf':
        this.state = byte === LF ? 'whole' : 'malformed';
        break;
    }
  }

  private readSize(byte: number): void {
    const digit = hexDigit(byte);
    if (digit !== -1) {
      this.left = this.left * 16 + digit;
      if (++this.digits > SIZE_DIGITS_MAX) this.state = 'malformed';
    } else if (this.digits === 0) this.state = 'malformed';
    else this.readBehindSize(byte);
  }

  private readBehindSize(byte: number): void {
    if (byte === CR) this.state = 'size_lf';
    else if (byte === SEMICOLON) this.state = 'extension';
    else if (byte === SPACE || byte === TAB) {
      this.state = 'blank';
      this.pass(byte);
    } else this.state = 'malformed';
  }

  /** Extensions and trailers mean nothing to us, but there is an end to them. */
  private pass(byte: number): void {
    const isControl = byte < SPACE && byte !== TAB;
    if (isControl || ++this.idleBytes > HEAD_BYTES_MAX) this.state = 'malformed';
  }
}

type State =
  | 'head'
  | 'length'
  | 'until_close'
  | 'size'
  | 'blank'
  | 'extension'
  | 'size_lf'
  | 'data'
  | 'data_cr'
  | 'data_lf'
  | 'trailer_start'
  | 'trailer'
  | 'trailer_lf'
  | 'last_lf'
  | 'whole'
  | 'malformed'
  /** Nothing is expected. */
  | 'over';

const isEnd = (state: State) => state === 'whole' || state === 'malformed' || state === 'over';

const HEAD_END = Buffer.from('\r\n\r\n');
/** As Node allows it. */
const HEAD_BYTES_MAX = 16 * 1024;
/** 2⁵² bytes: exact as a number. */
const SIZE_DIGITS_MAX = 13;
const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;
const SPACE = 0x20;
const TAB = 0x09;

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

const HTTP = Buffer.from('HTTP/1.');

/** As far as it came. */
const beginsAsHttp = (bytes: Buffer, at: number): boolean => {
  for (let i = 0; i < HTTP.length && at + i < bytes.length; i++) if (bytes[at + i] !== HTTP[i]) return false;
  return true;
};
