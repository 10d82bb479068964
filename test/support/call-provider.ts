import type { Dispatcher } from 'undici';
import type {
  ProviderCall,
  ProviderListener,
  ProviderRequest,
  ProviderTarget,
} from '../../src/gateway/provider.ts';

/** Sends one request and passes on what comes, chunk by chunk. Follows no redirects and tries nothing twice. */
export function callProvider(
  connections: Dispatcher,
  target: ProviderTarget,
  request: ProviderRequest,
  listener: ProviderListener,
): ProviderCall {
  let controller: Dispatcher.DispatchController | undefined;
  let cancelled = false;
  const abort = () => controller?.abort(new Error('the caller hung up'));
  connections.dispatch(
    {
      origin: target.origin,
      path: target.basePath + request.path || '/',
      method: request.method,
      headers: request.headers,
      body: request.body,
    },
    {
      onRequestStart: (c) => {
        controller = c;
        if (cancelled) abort();
      },
      onResponseStart: (c, status, headers, statusText) => {
        if (status < 200 || cancelled) return;
        listener.start(status, statusText ?? '', rawHeaders(c.rawHeaders ?? headers));
      },
      onResponseData: (c, chunk) => {
        if (!cancelled && !listener.data(chunk)) c.pause();
      },
      onResponseEnd: () => {
        if (!cancelled) listener.end();
      },
      onResponseError: (_, error) => {
        if (!cancelled) listener.fail(error);
      },
    },
  );
  return {
    resume: () => controller?.resume(),
    cancel: () => {
      cancelled = true;
      abort();
    },
  };
}

function rawHeaders(headers: NonNullable<Dispatcher.DispatchController['rawHeaders']>): string[] {
  if (Array.isArray(headers))
    return headers.map((part) => (typeof part === 'string' ? part : part.toString('latin1')));
  return Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().flatMap((one) => [name, one]),
  );
}
