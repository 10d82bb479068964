import { A } from '../../src/span/attributes.ts';
import { LIMITS } from '../../src/span/limits.ts';
import type { Attributes } from '../../src/span/span.ts';

/**
 * Which model was asked for and which answered, out of what OpenInference says. Its one `llm.model_name` is the asked
 * one with some libraries and the served one with others; where it does not say which, the request's parameters and
 * the answer do. A model that nobody saw answering is not said to have served.
 */
export function addModels(attributes: Attributes): void {
  const named = shortName(attributes['llm.model_name']);
  if (named === undefined) return;
  const asked = askedModel(attributes['llm.invocation_parameters']);
  attributes[A.requestModel] ??= asked ?? named;
  if (A.responseModel in attributes) return;
  const served = asked !== undefined && asked !== named ? named : answeringModel(attributes['output.value']);
  if (served !== undefined) attributes[A.responseModel] = served;
}

function askedModel(parameters: string | undefined): string | undefined {
  const { model, model_name } = object(parse(parameters));
  return shortName(model) ?? shortName(model_name);
}

/** The model that the answer of a provider names, or LangChain's wrapping of it. */
function answeringModel(answer: string | undefined): string | undefined {
  // Not every value is JSON, and most that are not JSON show it at once.
  const value = answer?.startsWith('{') ? object(parse(answer)) : {};
  const direct = shortName(value['model']);
  if (direct !== undefined) return direct;
  const message = object(object(first(first(value['generations'])))['message']);
  const metadata = object(object(message['kwargs'])['response_metadata'] ?? message['response_metadata']);
  return shortName(metadata['model_name']) ?? shortName(metadata['model']);
}

/** Answers longer than this are not searched for their model. */
const JSON_LENGTH_MAX = 1024 * 1024;

function parse(json: string | undefined): unknown {
  if (json === undefined || json.length > JSON_LENGTH_MAX) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

const object = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
const first = (value: unknown): unknown => (Array.isArray(value) ? value[0] : undefined);
const shortName = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' && value.length <= LIMITS.nameLengthMax ? value : undefined;
