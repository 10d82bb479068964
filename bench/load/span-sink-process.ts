import { serve } from '../harness/child-side.ts';
import { startSpanSink } from './span-sink.ts';

const { url } = await startSpanSink();
serve({ url }, () => ({}));
