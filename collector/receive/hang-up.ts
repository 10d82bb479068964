import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { HttpAnswer } from './answer.ts';

/** Closing a socket with bytes unread resets it, and the sender may lose the answer; it has this long to read it. */
const LINGER_MS = 2_000;

/**
 * Answers a request whose body is not worth reading, and ends the connection: the rest of the body stays where it is,
 * and costs nothing. The sender has to connect anew.
 */
export function answerAndHangUp(
  request: IncomingMessage,
  response: ServerResponse,
  answer: HttpAnswer,
): void {
  const { socket } = request;
  response.detachSocket(socket);
  request.pause();
  const headers = { ...answer.headers, connection: 'close', 'content-length': String(answer.body.length) };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}\r\n${lines.join('')}\r\n`);
  socket.end(answer.body);
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
