import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';

/** Kubernetes objects as files have them, and what the API server would have against them. */

export interface Container {
  name: string;
  image: string;
  args: string[];
  env: { name: string; value?: string; valueFrom?: { secretKeyRef: { name: string; key: string } } }[];
  ports?: { name: string; containerPort: number }[];
  volumeMounts: { name: string; mountPath: string; readOnly?: boolean }[];
  securityContext: Record<string, unknown>;
  resources: { requests: { memory: string }; limits: { memory: string } };
  startupProbe?: Probe;
  readinessProbe?: Probe;
  livenessProbe?: Probe;
}
interface Probe {
  httpGet: { path: string; port: string };
}
export interface PodTemplate {
  metadata: { labels: Record<string, string> };
  spec: {
    containers: Container[];
    volumes: { name: string }[];
    terminationGracePeriodSeconds: number;
    automountServiceAccountToken: boolean;
    securityContext: Record<string, unknown>;
  };
}
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; labels?: Record<string, string> };
  // Each kind has another: whoever reads it knows which.
  spec: Record<string, unknown> & { template?: PodTemplate };
}

export interface Kustomization {
  resources: string[];
  configMapGenerator?: { name: string; files: string[] }[];
  secretGenerator?: { name: string; envs: string[] }[];
  images: { name: string; newName?: string }[];
  patches?: { path: string }[];
}

export const readYaml = <T>(path: string): T => parse(readFileSync(path, 'utf8')) as T;

export const readManifests = (path: string): Manifest[] =>
  parseAllDocuments(readFileSync(path, 'utf8')).map((document) => document.toJS() as Manifest);

/** The objects that a kustomization lists in files of its own folder. */
export function manifestsIn(folder: string): Manifest[] {
  const { resources } = readYaml<Kustomization>(join(folder, 'kustomization.yaml'));
  return resources
    .filter((path) => path.endsWith('.yaml'))
    .flatMap((path) => readManifests(join(folder, path)));
}

type KindClass = new (data: object) => Record<string, unknown> & { validate(): void };

const TOP = ['apiVersion', 'kind', 'metadata', 'spec', 'automountServiceAccountToken'];

/** What the schema of its kind has against an object, and which of its fields no schema knows: `[]` when all is well. */
export async function complaintsOf(manifest: Manifest): Promise<string[]> {
  const kinds = (await import(`kubernetes-models/${manifest.apiVersion}`)) as Record<string, KindClass>;
  const Kind = kinds[manifest.kind];
  if (!Kind) return [`${manifest.apiVersion} has no kind ${manifest.kind}`];
  const unread = new Map<string, Set<string>>();
  const object = new Kind(manifest);
  // It copies what it is given, and so reads all of it: what is watched is put in afterwards.
  for (const [key, value] of Object.entries(manifest))
    if (typeof value === 'object') object[key] = watched(value, `/${key}`, unread);
  try {
    object.validate();
  } catch (error) {
    return [(error as Error).message];
  }
  const strange = Object.keys(manifest).filter((key) => !TOP.includes(key));
  return [...unread]
    .flatMap(([path, keys]) => [...keys].map((key) => `${path}/${key}`))
    .concat(strange)
    .map((path) => `${path} is no field`);
}

/** The same object, which takes note of the fields that nobody looks at. A validator looks at all that it knows. */
function watched(value: object, path: string, unread: Map<string, Set<string>>): object {
  const keys = new Set(Object.keys(value));
  unread.set(path, keys);
  const below = new Map<string, object>();
  return new Proxy(value, {
    get: (target, key) => {
      const found = Reflect.get(target, key) as unknown;
      if (typeof key !== 'string' || !Object.hasOwn(target, key)) return found;
      keys.delete(key);
      if (typeof found !== 'object' || found === null) return found;
      if (!below.has(key)) below.set(key, watched(found, `${path}/${key}`, unread));
      return below.get(key);
    },
  });
}

/** Whether a selector by labels meets a pod. */
export function selects(
  selector: {
    matchLabels?: Record<string, string>;
    matchExpressions?: { key: string; operator: string; values: string[] }[];
  },
  labels: Record<string, string>,
): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(
      ({ key, operator, values }) => operator === 'In' && values.includes(labels[key] ?? ''),
    )
  );
}

/** Bytes of a quantity such as 4Gi. */
export function bytesOf(quantity: string): number {
  const [, n, unit] = /^(\d+)(Ki|Mi|Gi)?$/.exec(quantity)!;
  return Number(n) * 1024 ** ['', 'Ki', 'Mi', 'Gi'].indexOf(unit ?? '');
}
