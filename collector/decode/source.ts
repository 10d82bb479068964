import { type Attributes, emptyAttributes } from '../../src/span/span.ts';
import { type Fields, fields, type JsonLists, optional, text } from './json-fields.ts';
import { keyValue } from './protobuf.ts';
import type { WireReader } from './wire.ts';

/**
 * Where a log record or a metric comes from: logs and metrics come in resources and scopes alike. Each is one object,
 * shared by all that come from it.
 */
export interface Source {
  resource: Resource;
  scope: Scope;
}

export interface Resource {
  attributes: Attributes;
  schemaUrl: string;
}

export interface Scope {
  name: string;
  version: string;
  attributes: Attributes;
  droppedAttributes: number;
  schemaUrl: string;
}

const LEN = 2;
const VARINT = 0;

/** Walks an export request in protobuf; `item` reads a log record or a metric, whose length is what `r` reads next. */
export function protobufSources(r: WireReader, item: (source: Source) => void): void {
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | LEN)) protobufResource(r, item);
    else r.skip(tag);
  }
}

function protobufResource(r: WireReader, item: (source: Source) => void): void {
  const outer = r.enter();
  // Fields may come in any order: these are filled in while those that share them are read.
  const resource: Resource = { attributes: emptyAttributes(), schemaUrl: '' };
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | LEN)) {
      const message = r.enter();
      for (let t = r.tag(); t !== 0; t = r.tag()) {
        if (t === ((1 << 3) | LEN)) keyValue(r, resource.attributes);
        else r.skip(t);
      }
      r.leave(message);
    } else if (tag === ((2 << 3) | LEN)) protobufScope(r, resource, item);
    else if (tag === ((3 << 3) | LEN)) resource.schemaUrl = r.string();
    else r.skip(tag);
  }
  r.leave(outer);
}

function protobufScope(r: WireReader, resource: Resource, item: (source: Source) => void): void {
  const outer = r.enter();
  const scope = noScope();
  const source = { resource, scope };
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | LEN)) {
      const message = r.enter();
      for (let t = r.tag(); t !== 0; t = r.tag()) {
        if (t === ((1 << 3) | LEN)) scope.name = r.string();
        else if (t === ((2 << 3) | LEN)) scope.version = r.string();
        else if (t === ((3 << 3) | LEN)) keyValue(r, scope.attributes);
        else if (t === ((4 << 3) | VARINT)) scope.droppedAttributes = r.uint32();
        else r.skip(t);
      }
      r.leave(message);
    } else if (tag === ((2 << 3) | LEN)) item(source);
    else if (tag === ((3 << 3) | LEN)) scope.schemaUrl = r.string();
    else r.skip(tag);
  }
  r.leave(outer);
}

/** What the lists of a signal are called in JSON, from the outermost in, and the share of memory of an item. */
export interface JsonNames {
  resources: string;
  scopes: string;
  items: string;
  cost: number;
}

/** Walks an export request in JSON. */
export function jsonSources(
  root: unknown,
  lists: JsonLists,
  { resources, scopes, items, cost }: JsonNames,
  item: (fields: Fields, source: Source) => void,
): void {
  for (const ofResource of lists.list(fields(root, 'the request'), resources, 1)) {
    const resource: Resource = {
      attributes: lists.attributes(optional(ofResource, 'resource')),
      schemaUrl: text(ofResource, 'schemaUrl'),
    };
    for (const ofScope of lists.list(ofResource, scopes, 1)) {
      const scope = optional(ofScope, 'scope');
      const source: Source = {
        resource,
        scope: {
          name: text(scope, 'name'),
          version: text(scope, 'version'),
          attributes: lists.attributes(scope),
          droppedAttributes: Number(scope['droppedAttributesCount'] ?? 0) >>> 0,
          schemaUrl: text(ofScope, 'schemaUrl'),
        },
      };
      for (const one of lists.list(ofScope, items, cost)) item(one, source);
    }
  }
}

const noScope = (): Scope => ({
  name: '',
  version: '',
  attributes: emptyAttributes(),
  droppedAttributes: 0,
  schemaUrl: '',
});
