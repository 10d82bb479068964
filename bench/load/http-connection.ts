import { connect, type Socket } from 'node:net';

/**
 * One HTTP/1.1 connection of the load generator: sends requests that are ready as bytes and reads just enough of
 * the answers to know where they end. A full client would cost as much as the gateways that are measured.
 */
export interface Answered {
  status: number;
  /** Milliseconds (of `performance.now`) at which the first byte of the body came. */
  firstBodyAt: number;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');

export class HttpConnection {
  #socket: Socket;
  #pending: { resolve: (answered: Answered) => void; reject: (error: Error) => void } | undefined;
  #head: Buffer = Buffer.alloc(0);
  #inBody = false;
  #status = 0;
  /** Bytes of the body still to come; −1 for a chunked one. */
  #left = 0;
  #firstBodyAt = 0;
  #tail: Buffer = Buffer.alloc(0);
  /** The last answer said that it is the last. */
  #isLast = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (data) => this.#read(data));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the connection was closed')));
  }

  static open(url: string): Promise<HttpConnection> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname);
      socket.once('error', reject);
      socket.once('connect', () => resolve(new HttpConnection(socket)));
    });
  }

  /** Whether it can carry another request. */
  get isOpen(): boolean {
    return !this.#isLast && !this.#socket.destroyed;
  }

  /** One request at a time. */
  send(...parts: readonly Uint8Array[]): Promise<Answered> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error('the connection was closed'));
      this.#pending = { resolve, reject };
      for (const part of parts) this.#socket.write(part);
    });
  }

  /** What is under way fails. */
  close(): void {
    this.#socket.destroy();
    this.#fail(new Error('the connection was closed'));
  }

  #read(data: Buffer): void {
    if (this.#inBody) {
      this.#readBody(data);
      return;
    }
    const all = this.#head.length === 0 ? data : Buffer.concat([this.#head, data]);
    const end = all.indexOf(HEAD_END);
    if (end < 0) {
      this.#head = all;
      return;
    }
    const head = all.toString('latin1', 0, end);
    this.#head = Buffer.alloc(0);
    this.#status = Number(head.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/i.exec(head);
    this.#isLast = /\r\nconnection: *close/i.test(head);
    this.#left = length ? Number(length[1]) : -1;
    this.#inBody = true;
    this.#firstBodyAt = 0;
    this.#tail = Buffer.alloc(0);
    const body = all.subarray(end + HEAD_END.length);
    if (body.length > 0 || this.#left === 0) this.#readBody(body);
  }

  #readBody(data: Buffer): void {
    if (this.#firstBodyAt === 0) this.#firstBodyAt = performance.now();
    if (this.#left >= 0) {
      this.#left -= data.length;
      if (this.#left <= 0) this.#done();
      return;
    }
    // The content of these benchmarks never holds the last chunk's bytes; they may come in two pieces.
    this.#tail = Buffer.concat([this.#tail, data]).subarray(-LAST_CHUNK.length);
    if (this.#tail.equals(LAST_CHUNK)) this.#done();
  }

  #done(): void {
    this.#inBody = false;
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.resolve({ status: this.#status, firstBodyAt: this.#firstBodyAt });
  }

  #fail(error: Error): void {
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.reject(error);
  }
}
