// Node's `eventsource` package, the one most services use.

import { nodeReader } from "./reader.ts";
import { testResuming } from "./resuming.ts";

testResuming({
  reader: () => nodeReader,
  origins: () => [],
  // Version 4.1 takes an id over only from an event with data.
  keepsBareIds: false,
});
