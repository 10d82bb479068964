export type AttributeValue = string | number | boolean | readonly string[];

/** Attributes of a span, in the order they were said. A list, as an object of so many changing names is slow to build. */
export class Attributes {
  readonly names: string[] = [];
  readonly values: AttributeValue[] = [];

  static of(entries: Readonly<Record<string, AttributeValue | undefined>>): Attributes {
    const attributes = new Attributes();
    for (const [name, value] of Object.entries(entries)) attributes.add(name, value);
    return attributes;
  }

  /** What is `undefined` is not on the span. A name is said once. */
  add(name: string, value: AttributeValue | undefined): void {
    if (value === undefined) return;
    this.names.push(name);
    this.values.push(value);
  }

  get(name: string): AttributeValue | undefined {
    return this.values[this.names.indexOf(name)];
  }

  entries(): [string, AttributeValue][] {
    return this.names.map((name, i) => [name, this.values[i]!]);
  }
}

/** One finished span of the gateway. */
export interface SpanDraft {
  /** 32 and 16 lower-case hexadecimal digits. */
  traceId: string;
  spanId: string;
  /** `undefined` for the root of a trace. */
  parentSpanId: string | undefined;
  /** As the caller sent it. */
  traceState?: string | undefined;
  name: string;
  kind: 'Internal' | 'Client';
  /** Nanoseconds since 1970. */
  startNs: bigint;
  endNs: bigint;
  attributes: Attributes;
  /** Makes it an error; says what kind, never what the provider's message was. */
  error?: string | undefined;
  event?: { name: string; attributes: Attributes } | undefined;
}
