import {
  type AnswerFacts,
  asCount,
  asObject,
  asString,
  type Operation,
  type RequestContent,
  type RequestFacts,
} from '../protocol.ts';
import { ChoiceStream } from './choice-stream.ts';
import { textContent } from './completions.ts';

/** Embeddings: texts in, vectors out. The vectors are not content that anyone reads, and are not kept. */
export const embeddings: Operation = {
  name: 'embeddings',
  readRequest,
  readContent,
  readAnswer,
  readEnds,
  readStream: (textCharsMax) => new ChoiceStream(textCharsMax),
};

function readRequest(value: unknown): RequestFacts {
  return { model: asString(asObject(value)?.['model']) };
}

function readContent(value: unknown): RequestContent {
  return textContent(asObject(value)?.['input']);
}

function readAnswer(value: unknown): AnswerFacts {
  const body = asObject(value) ?? {};
  return {
    model: asString(body['model']),
    finishReasons: [],
    usage: { inputTokens: asCount(asObject(body['usage'])?.['prompt_tokens']) },
    text: '',
    messages: () => [],
    complete: Array.isArray(body['data']),
  };
}

/** Thousands of vectors are larger than what is parsed; between the ends there are only numbers. */
function readEnds(first: string, last: string): AnswerFacts {
  const find = (pattern: RegExp) => (pattern.exec(last) ?? pattern.exec(first))?.[1];
  const tokens = find(/"usage"\s*:\s*\{[^}]*"prompt_tokens"\s*:\s*(\d{1,15})\b/);
  return {
    model: find(/"model"\s*:\s*"([^"\\]{1,200})"/),
    finishReasons: [],
    usage: { inputTokens: tokens === undefined ? undefined : Number(tokens) },
    text: '',
    messages: () => [],
    complete: last.trimEnd().endsWith('}'),
  };
}
