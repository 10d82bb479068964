import type { Chunk } from '../../src/span/batch.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { type Attributes, emptyAttributes, type Span } from '../../src/span/span.ts';
import type { Admission } from '../admit/admit.ts';
import { decodeSpan, keyValue } from '../decode/protobuf.ts';
import { rowsTooLong } from '../decode/refusals.ts';
import { appendSpan, high, low } from './append.ts';
import { KeyValueReader } from './key-value.ts';
import { SpanBlock } from './span-block.ts';
import { SpanReader } from './span-reader.ts';

const LEN = 2;
/** Field 1 of a ResourceSpans is the resource, of a ScopeSpans the scope, of these the attributes and the name. */
const FIRST = (1 << 3) | LEN;
/** Field 2 of them is a list of what is below, of a scope the version. */
const SECOND = (2 << 3) | LEN;

/**
 * `ExportTraceServiceRequest` in protobuf → blocks of `otel_traces` in Native, with no object for a span or an
 * attribute in between: bytes go from the request into columns.
 *
 * A span that must be looked at as a whole takes the longer way, through `decodeSpan` and admission: one with prompts or
 * answers in it, one of another convention, one past a limit, one that names an attribute twice. Both ways give the
 * same rows; which one is taken is decided span by span.
 */
export class Transcoder {
  private readonly block = new SpanBlock();
  private readonly chunks: Chunk[] = [];
  /** Of the chunks. */
  private bytes = 0;

  private readonly reader = new SpanReader(this.block);

  // What the spans being read belong to.
  private resource: Attributes = emptyAttributes();
  private readonly scope = { name: '', version: '' };

  /** Gives blocks of the spans that `admission` kept, in order. Throws `bad_input` or `body_too_large`. */
  transcode(body: Buffer, admission: Admission): Chunk[] {
    return this.collect(() => {
      const r = new KeyValueReader(body);
      for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
        if (tag === FIRST) this.resourceSpans(r, admission);
        else r.skip(tag);
      }
    });
  }

  /** The same of spans that are objects, and admitted. */
  append(spans: readonly Span[]): Chunk[] {
    return this.collect(() => {
      for (const span of spans) this.appendOne(span);
    });
  }

  private collect(fill: () => void): Chunk[] {
    this.bytes = 0;
    try {
      fill();
      this.finishBlock();
      return this.chunks.splice(0);
    } catch (error) {
      this.block.reset();
      this.chunks.length = 0;
      throw error;
    }
  }

  private finishBlock(): void {
    const chunk = this.block.finish();
    if (!chunk) return;
    this.chunks.push(chunk);
    this.bytes += chunk.bytes.length;
    // Each row has its resource and scope, so that a short request may become rows without end.
    if (this.bytes > LIMITS.rowsPerRequestLengthMax) throw rowsTooLong();
  }

  private appendOne(span: Span): void {
    if (this.block.isFull(low(span.startNs), high(span.startNs))) this.finishBlock();
    appendSpan(this.block, span);
  }

  private resourceSpans(r: KeyValueReader, admission: Admission): void {
    const outer = r.enter();
    // Fields may come in any order, and what all spans share must be known before the first of them.
    const start = r.position;
    this.resource = emptyAttributes();
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag === FIRST) this.readResource(r);
      else r.skip(tag);
    }
    admission.boundResource(this.resource);
    r.seek(start);
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag === SECOND) this.scopeSpans(r, admission);
      else r.skip(tag);
    }
    r.leave(outer);
  }

  private readResource(r: KeyValueReader): void {
    const outer = r.enter();
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag === FIRST) keyValue(r, this.resource);
      else r.skip(tag);
    }
    r.leave(outer);
  }

  private scopeSpans(r: KeyValueReader, admission: Admission): void {
    const outer = r.enter();
    const start = r.position;
    this.scope.name = '';
    this.scope.version = '';
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag === FIRST) this.readScope(r);
      else r.skip(tag);
    }
    r.seek(start);
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag === SECOND) this.span(r, admission);
      else r.skip(tag);
    }
    r.leave(outer);
  }

  private readScope(r: KeyValueReader): void {
    const outer = r.enter();
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag === FIRST) this.scope.name = r.string();
      else if (tag === SECOND) this.scope.version = r.string();
      else r.skip(tag);
    }
    r.leave(outer);
  }

  private span(r: KeyValueReader, admission: Admission): void {
    const start = r.position;
    const { block, reader } = this;
    block.begin();
    const isPlain = reader.read(r);
    if (isPlain && block.isFull(reader.startLow, reader.startHigh)) {
      // Its lists are in the block that is now to be finished: it is read again, into the next one.
      block.cancel();
      this.finishBlock();
      r.seek(start);
      this.span(r, admission);
      return;
    }
    const rejection = isPlain ? reader.rejectionOf(r.bytes) : undefined;
    if (isPlain && rejection === undefined) {
      reader.write(r.bytes, this.resource, this.scope);
      return;
    }
    block.cancel();
    if (rejection !== undefined) admission.reject(rejection);
    else this.takeALook(r.bytes, start, admission);
  }

  /** The longer way. */
  private takeALook(body: Buffer, start: number, admission: Admission): void {
    const r = new KeyValueReader(body);
    r.seek(start);
    const span = decodeSpan(r, this.resource);
    span.scopeName = this.scope.name;
    span.scopeVersion = this.scope.version;
    if (admission.admit(span)) this.appendOne(span);
  }
}
