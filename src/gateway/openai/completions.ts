import {
  asArray,
  asObject,
  asString,
  type Operation,
  type RequestContent,
  type RequestFacts,
} from '../protocol.ts';
import { readAnswer, readSampling } from './chat.ts';
import { ChoiceStream, isChoiceOpening } from './choice-stream.ts';

/** The older text completions: a prompt in, choices with a text out. Base models and code models still take them. */
export const completions: Operation = {
  name: 'text_completion',
  readRequest,
  readContent,
  readAnswer,
  readStream: (textCharsMax) => new ChoiceStream(textCharsMax),
  isOpening: isChoiceOpening,
};

function readRequest(value: unknown): RequestFacts {
  return readSampling(asObject(value) ?? {});
}

function readContent(value: unknown): RequestContent {
  return textContent(asObject(value)?.['prompt']);
}

/** The content of a request that has nothing but an input. */
export function textContent(input: unknown): RequestContent {
  const userText = inputText(input);
  return {
    systemText: '',
    userText,
    messages: () => (userText === '' ? [] : [{ role: 'user', parts: [{ type: 'text', content: userText }] }]),
  };
}

/** Text of an input that is a text or a list of them; one that comes as tokens has none. */
const inputText = (input: unknown): string =>
  asString(input) ??
  asArray(input)
    .flatMap((text) => asString(text) ?? [])
    .join('\n');
