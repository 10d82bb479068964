import type { Connections } from '../../src/gateway/connections/connections.ts';
import type { ProviderRequest } from '../../src/gateway/connections/exchange.ts';
import type { ProviderCall, ProviderListener, ProviderTarget } from '../../src/gateway/provider.ts';

/** Sends one request and passes on what comes, chunk by chunk. Follows no redirects and tries nothing twice. */
export function callProvider(
  connections: Connections,
  target: ProviderTarget,
  request: ProviderRequest,
  listener: ProviderListener,
): ProviderCall {
  const exchange = connections.send(target, request, {
    sent: () => {},
    head: (status, statusText, headers) => listener.start(status, statusText, headers),
    body: (chunk) => {
      if (!listener.data(chunk)) exchange.pause();
    },
    end: () => listener.end(),
    failed: (error) => listener.fail(error),
  });
  return { resume: () => exchange.resume(), cancel: () => exchange.abort() };
}
