import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { anthropic } from '../../src/gateway/anthropic.ts';
import { openai } from '../../src/gateway/openai.ts';
import type { RequestContent, RequestFacts } from '../../src/gateway/protocol.ts';
import { WIRES } from '../../src/replay/play/answers.ts';
import type { Message } from '../../src/replay/recording.ts';

/** A provider of both APIs on loopback whose model is a function of what it is asked. */
export interface ThinkingProvider {
  url: string;
  /** Models that were asked, in order. */
  asked: string[];
  close(): Promise<void>;
}

export async function startThinkingProvider(
  think: (request: RequestFacts & RequestContent) => Message,
): Promise<ThinkingProvider> {
  const asked: string[] = [];
  let nth = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const json = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
      const isMessages = request.url === '/v1/messages';
      const operation = isMessages
        ? anthropic.operation('POST', request.url!)
        : openai.operation('POST', request.url!.replace(/^\/v1/, ''));
      const facts = operation!.readRequest(json);
      const wire = WIRES[isMessages ? 'messages' : (operation!.apiType ?? 'chat_completions')];
      asked.push(facts.model ?? '');
      const answer = {
        id: String(++nth).padStart(24, '0'),
        createdS: 1_700_000_000,
        model: `${facts.model}-2025`,
        output: [think({ ...facts, ...operation!.readContent(json) })],
        finishReasons: [],
        inputTokens: 100,
        outputTokens: 20,
        customTools: new Set<string>(),
        pieces: undefined,
        streamUsage: true,
      };
      response.writeHead(200, { 'content-type': facts.stream ? 'text/event-stream' : 'application/json' });
      if (facts.stream) for (const { text } of wire.frames(answer)) response.write(text);
      else response.write(JSON.stringify(wire.document(answer)));
      response.end();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
