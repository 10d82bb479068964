import type { Chunk } from '../../src/span/batch.ts';
import type { Attributes } from '../../src/span/span.ts';
import { AttributesColumn } from './attributes.ts';
import { Bytes } from './bytes.ts';
import { LowCardinality, Offsets } from './columns.ts';
import { spanNames } from './span-names.ts';

/**
 * Bounds of one block. ClickHouse refuses a block of more than 100 partitions (days, here), and only a block it need
 * not split is stored whole or not at all.
 */
const ROWS_MAX = 10_000;
const BYTES_MAX = 8_000_000;
const DAYS_MAX = 50;
/** Memory that a column keeps from one block to the next. */
const KEPT_BYTES_MAX = 4_000_000;
const NS_PER_DAY = 86_400e9;
const TWO_32 = 0x1_0000_0000;

const MAP = 'Map(LowCardinality(String), String)';

/**
 * Rows of `otel_traces` on their way to become a block in ClickHouse's Native format. A row is begun, its attributes,
 * events and links are written, then its other columns; or it is taken back.
 */
export class SpanBlock {
  readonly names = spanNames();
  rows = 0;

  readonly timestamp = new Bytes();
  readonly traceId = new Bytes();
  readonly spanId = new Bytes();
  readonly parentSpanId = new Bytes();
  readonly traceState = new Bytes();
  readonly spanName = new LowCardinality(this.names);
  readonly spanKind = new LowCardinality(this.names);
  readonly serviceName = new LowCardinality(this.names);
  readonly resources = new AttributesColumn(this.names);
  readonly scopeName = new Bytes();
  readonly scopeVersion = new Bytes();
  readonly attributes = new AttributesColumn(this.names);
  readonly duration = new Bytes();
  readonly statusCode = new LowCardinality(this.names);
  readonly statusMessage = new Bytes();

  /** Ends of the rows' lists of events, and of links. */
  readonly events = new Offsets();
  readonly eventTimestamp = new Bytes();
  readonly eventName = new LowCardinality(this.names);
  readonly eventAttributes = new AttributesColumn(this.names);
  readonly links = new Offsets();
  readonly linkTraceId = new Bytes();
  readonly linkSpanId = new Bytes();
  readonly linkTraceState = new Bytes();
  readonly linkAttributes = new AttributesColumn(this.names);

  /** Where the columns are put together. */
  private readonly out = new Bytes();
  private readonly marks = new Int32Array(16);
  private readonly days = new Set<number>();
  private lastDay = -1;
  /** The resource of the last row, the first row that had it, and where its values are. */
  private last:
    | { resource: Attributes; row: number; valuesFrom: number; valuesTo: number; service: number }
    | undefined;

  /** Whether a row more, of this time, would be too much for one insert. */
  isFull(startLow: number, startHigh: number): boolean {
    if (this.rows === 0) return false;
    if (this.rows >= ROWS_MAX || this.attributes.values.length + this.resources.values.length >= BYTES_MAX)
      return true;
    if (this.eventAttributes.values.length + this.linkAttributes.values.length >= BYTES_MAX) return true;
    // All rows have their scope's texts, which may be long.
    if (this.scopeName.length + this.scopeVersion.length >= BYTES_MAX) return true;
    if (this.statusMessage.length + this.traceState.length >= BYTES_MAX) return true;
    const day = dayOf(startLow, startHigh);
    return day !== this.lastDay && this.days.size >= DAYS_MAX && !this.days.has(day);
  }

  /** Begins a row. */
  begin(): void {
    const { marks, attributes, eventAttributes, linkAttributes } = this;
    marks[0] = attributes.keys.length;
    marks[1] = attributes.values.length;
    marks[2] = eventAttributes.maps.length;
    marks[3] = eventAttributes.keys.length;
    marks[4] = eventAttributes.values.length;
    marks[5] = this.eventTimestamp.length;
    marks[6] = this.eventName.length;
    marks[7] = linkAttributes.maps.length;
    marks[8] = linkAttributes.keys.length;
    marks[9] = linkAttributes.values.length;
    marks[10] = this.linkTraceId.length;
    marks[11] = this.linkSpanId.length;
    marks[12] = this.linkTraceState.length;
    marks[13] = this.traceState.length;
    marks[14] = this.statusMessage.length;
  }

  /** Takes back what was written since `begin`. */
  cancel(): void {
    const m = this.marks;
    this.attributes.cut(this.rows, m[0]!, m[1]!);
    this.eventAttributes.cut(m[2]!, m[3]!, m[4]!);
    this.eventTimestamp.length = m[5]!;
    this.eventName.length = m[6]!;
    this.linkAttributes.cut(m[7]!, m[8]!, m[9]!);
    this.linkTraceId.length = m[10]!;
    this.linkSpanId.length = m[11]!;
    this.linkTraceState.length = m[12]!;
    this.traceState.length = m[13]!;
    this.statusMessage.length = m[14]!;
  }

  /** Time and duration of the row; a clock that was set back is no reason for a duration of 584 years. */
  times(startLow: number, startHigh: number, endLow: number, endHigh: number): void {
    this.timestamp.uint64(startLow, startHigh);
    const isLater = endHigh > startHigh || (endHigh === startHigh && endLow > startLow);
    const borrow = endLow < startLow ? 1 : 0;
    if (isLater) this.duration.uint64((endLow - startLow) >>> 0, endHigh - startHigh - borrow);
    else this.duration.uint64(0, 0);
    const day = dayOf(startLow, startHigh);
    if (day === this.lastDay) return;
    this.lastDay = day;
    this.days.add(day);
  }

  /** The row's resource; rows of one resource come one after the other and share its object. */
  ofResource(resource: Attributes): void {
    const { resources } = this;
    const { last } = this;
    if (last?.resource === resource) resources.repeat(last.row, last.valuesFrom, last.valuesTo);
    else {
      const valuesFrom = resources.values.length;
      this.writeAttributes(resources, resource);
      const valuesTo = resources.values.length;
      const service = this.names.ofText(resource['service.name'] ?? '');
      this.last = { resource, row: this.rows, valuesFrom, valuesTo, service };
    }
    this.serviceName.push(this.last!.service);
  }

  /** One more map. */
  writeAttributes(column: AttributesColumn, attributes: Attributes): void {
    let size = 0;
    for (const key in attributes) {
      column.key(this.names.ofText(key), size++);
      column.values.text(attributes[key]!);
    }
    column.end(size);
  }

  /** Ends the row whose every column was written. */
  end(): void {
    this.events.push(this.eventName.length);
    this.links.push(this.linkAttributes.maps.length);
    this.rows++;
  }

  /** The rows as one insert, and an empty block again; `undefined` where there is none. */
  finish(): Chunk | undefined {
    if (this.rows === 0) {
      this.reset(); // rows that were taken back leave names
      return undefined;
    }
    const chunk: Chunk = {
      table: 'otel_traces',
      format: 'Native',
      rows: this.rows,
      partitions: [...this.days],
      bytes: this.bytes(),
    };
    this.reset();
    return chunk;
  }

  private bytes(): Buffer {
    const { out } = this;
    out.length = 0;
    const column = (name: string, type: string) => {
      out.text(name);
      out.text(type);
    };
    const plain = (name: string, type: string, values: Bytes) => {
      column(name, type);
      out.append(values);
    };
    const lowCardinality = (name: string, values: LowCardinality) => {
      column(name, 'LowCardinality(String)');
      values.writePrefix(out);
      values.write(out);
    };
    const maps = (name: string, values: AttributesColumn, lists?: Offsets) => {
      column(name, lists ? `Array(${MAP})` : MAP);
      values.keys.writePrefix(out);
      lists?.write(out);
      values.write(out);
    };
    const list = (name: string, type: string, lists: Offsets, values: Bytes) => {
      column(name, `Array(${type})`);
      lists.write(out);
      out.append(values);
    };
    out.varint(COLUMNS);
    out.varint(this.rows);
    plain('Timestamp', 'DateTime64(9)', this.timestamp);
    plain('TraceId', 'String', this.traceId);
    plain('SpanId', 'String', this.spanId);
    plain('ParentSpanId', 'String', this.parentSpanId);
    plain('TraceState', 'String', this.traceState);
    lowCardinality('SpanName', this.spanName);
    lowCardinality('SpanKind', this.spanKind);
    lowCardinality('ServiceName', this.serviceName);
    maps('ResourceAttributes', this.resources);
    plain('ScopeName', 'String', this.scopeName);
    plain('ScopeVersion', 'String', this.scopeVersion);
    maps('SpanAttributes', this.attributes);
    plain('Duration', 'UInt64', this.duration);
    lowCardinality('StatusCode', this.statusCode);
    plain('StatusMessage', 'String', this.statusMessage);
    list('Events.Timestamp', 'DateTime64(9)', this.events, this.eventTimestamp);
    column('Events.Name', 'Array(LowCardinality(String))');
    this.eventName.writePrefix(out);
    this.events.write(out);
    this.eventName.write(out);
    maps('Events.Attributes', this.eventAttributes, this.events);
    list('Links.TraceId', 'String', this.links, this.linkTraceId);
    list('Links.SpanId', 'String', this.links, this.linkSpanId);
    list('Links.TraceState', 'String', this.links, this.linkTraceState);
    maps('Links.Attributes', this.linkAttributes, this.links);
    // Memory of its own size: a block may wait long, and what waits is bounded by what it takes.
    return Buffer.from(out.buffer.subarray(0, out.length));
  }

  /** Empties the block, whatever state a row is in. */
  reset(): void {
    this.rows = 0;
    this.last = undefined;
    this.days.clear();
    this.lastDay = -1;
    for (const column of Object.values(this)) {
      if (column instanceof Bytes) column.reset(KEPT_BYTES_MAX);
      else if (column instanceof AttributesColumn) column.reset(KEPT_BYTES_MAX);
      else if (column instanceof LowCardinality || column instanceof Offsets) column.reset();
    }
    this.names.shrink();
  }
}

const COLUMNS = 22;

/** Days since 1970, UTC: the partition a row goes to, or, within a microsecond of midnight, the one beside it. */
const dayOf = (low: number, high: number) => Math.floor((high * TWO_32 + low) / NS_PER_DAY);
