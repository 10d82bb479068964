import { chat } from './openai/chat.ts';
import { completions } from './openai/completions.ts';
import { embeddings } from './openai/embeddings.ts';
import { errorBody, readError } from './openai/errors.ts';
import { responses } from './openai/responses.ts';
import type { Operation, Protocol } from './protocol.ts';

const OPERATIONS = new Map<string, Operation>([
  ['/chat/completions', chat],
  ['/responses', responses],
  ['/completions', completions],
  ['/embeddings', embeddings],
]);

/** Where Azure has them: below a version of its own, or below the deployment of a model. */
const AZURE =
  /^\/openai(?:\/v1|\/deployments\/([^/]+))(\/(?:chat\/completions|responses|completions|embeddings))$/;

function azureOperation(path: string): Operation | undefined {
  const [, deployment, rest = ''] = AZURE.exec(path) ?? [];
  const operation = OPERATIONS.get(rest);
  if (!operation || deployment === undefined) return operation;
  // The deployment says which model it is where the body does not.
  const readRequest = (body: unknown) => {
    const request = operation.readRequest(body);
    return { ...request, model: request.model ?? deployment };
  };
  return { ...operation, readRequest };
}

/** OpenAI's API, as OpenAI and everyone compatible with it speaks it. */
export const openai: Protocol = {
  api: 'openai',
  operation(method, path) {
    if (method !== 'POST') return undefined;
    return OPERATIONS.get(path) ?? azureOperation(path);
  },
  keyHeaders: ['authorization'],
  keyHeaderValue: (key) => `Bearer ${key}`,
  readError,
  errorBody,
};
