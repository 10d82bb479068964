import { LIMITS } from '../../span/limits.ts';
import type { Operation, Protocol } from '../protocol.ts';
import { DECODERS, DecompressingTap } from './decompressing.ts';
import { JsonTap } from './json.ts';
import { StreamTap } from './stream.ts';
import type { Sink, Tap, TapResult } from './tap.ts';

export interface TapOptions {
  protocol: Protocol;
  /** How to read the answer; without it only an error is read. */
  operation: Operation | undefined;
  /** Whether anybody asks for what was said in a stream, or only for usage and how it ended. */
  content: boolean;
  status: number;
  contentType: string;
  contentEncoding: string;
}

/** Opens what reads an answer that begins so. What nobody can read, or asks for, is passed over. */
export function openTap(options: TapOptions): Tap {
  const sink = openSink(options);
  const encoding = options.contentEncoding.trim().toLowerCase();
  if (sink === NOTHING || encoding === '' || encoding === 'identity') return sink;
  const decoder = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  return decoder ? new DecompressingTap(decoder(), sink) : UNREADABLE;
}

function openSink({ protocol, operation, content, status, contentType }: TapOptions): Sink {
  const failed = status >= 400;
  if (!failed && !operation) return NOTHING;
  if (operation && /^text\/event-stream\b/i.test(contentType))
    return new StreamTap(operation.readStream(content ? LIMITS.tapBytesMax : 0));
  if (/[/+]json\b/i.test(contentType)) return new JsonTap(protocol, failed ? undefined : operation);
  return NOTHING;
}

/** What is not read, for the reason in `result`. */
const unread = (result: TapResult): Sink => ({
  write: () => {},
  textChars: 0,
  isComplete: false,
  isBetweenEvents: true,
  isFull: true,
  errorEvent: () => undefined,
  endsShort: () => false,
  isGenerated: () => false,
  end: () => result,
});
const NOTHING = unread({});
const UNREADABLE = unread({ skipped: 'encoding' });
